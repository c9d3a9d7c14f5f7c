"""Grammars of the built-in proposer, one for each contract."""
