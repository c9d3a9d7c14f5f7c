"""The state of a search, rebuilt from the archive's events, and what is decided from it: selection, duplicates, budgets.

Pure decisions: nothing is asked, trained or written here.
"""
