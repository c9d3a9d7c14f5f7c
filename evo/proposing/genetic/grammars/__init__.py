"""What the built-in proposer draws from: the grammar of each contract."""
