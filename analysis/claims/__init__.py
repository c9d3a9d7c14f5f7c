"""What a run may claim: comparisons with the baseline and with every known loss, obstacles to a discovery, the headline.

No pictures and no files here, and only this package decides what is claimed.
"""
