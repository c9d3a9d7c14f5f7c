"""The checks themselves: those of each contract, and the parts that they share."""
