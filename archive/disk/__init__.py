"""Files and folders of a run directory: safe opening, locking and replacing.

Nothing here knows what the files contain.
"""
