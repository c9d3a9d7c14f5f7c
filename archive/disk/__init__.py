"""Files and folders of a run directory: safe opening, locking and replacing."""
