"""The embedded preference task: a tiny language model that learns to write positive movie reviews.

Its model and its data are in this package; it downloads nothing.
"""
