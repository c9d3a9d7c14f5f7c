"""`evopo landscape`: the losses that a command names, and the margins of training pairs after training with them.

Curves, features and pictures of losses are computed in `analysis.plots.landscape`, not here.
"""
