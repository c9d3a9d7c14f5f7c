"""What a run may claim: comparisons with the baseline and with every known loss, obstacles to a discovery, the headline."""
