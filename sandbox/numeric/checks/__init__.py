"""The checks of the numeric tests: one module per contract (`preference`, `classification`, `general`), and shared parts."""
