"""What a run may claim: comparisons with the baseline and with every known loss, what stands in the way, and the headline."""
