"""Which training is due next, at which rung and on which seeds, and what that costs.

Pure functions of results: nothing is trained here.
"""
