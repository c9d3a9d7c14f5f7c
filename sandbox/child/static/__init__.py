"""The static layer: from a candidate's source to a checked syntax tree and byte code, or to complaints.

Nothing is executed here.
"""
