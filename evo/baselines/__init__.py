"""`evopo baselines`: comparison of published losses and the user's own, with the same tuning, on fresh seeds; table and picture.

It proposes nothing and searches nothing: only given losses are trained.
"""
