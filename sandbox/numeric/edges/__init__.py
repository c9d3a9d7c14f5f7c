"""Abrupt changes of a loss: the operations that can cause them, the inputs where they occur, and checks at these inputs.

Smooth behaviour is not examined here but in `sandbox.numeric.checks`.
"""
