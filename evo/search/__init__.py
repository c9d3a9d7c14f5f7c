"""State of a search, rebuilt from the archive's events, and the decisions based on it: selection, duplicates, budgets.

Modules here decide only: they send no requests, train nothing and write nothing.
"""
