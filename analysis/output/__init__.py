"""Output of an analysis: one text encoder per format, atomic writing of files, error classes.

What is written is computed elsewhere: nothing here knows of losses or scores.
"""
