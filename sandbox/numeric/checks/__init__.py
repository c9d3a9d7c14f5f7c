"""The checks of the numeric tests: one module per contract (`preference`, `classification`, `general`), and shared parts.

Points are drawn and values measured in `sandbox.numeric.measure`, not here.
"""
