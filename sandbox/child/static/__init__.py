"""The static layer: turns a candidate's source into checked byte code, or into violations. Executes nothing."""
