"""Grammars of the built-in proposer, one for each contract.

Probabilities and forms of new losses only; the operators are in `evo.proposing.genetic`.
"""
