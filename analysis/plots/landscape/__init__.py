"""The shape of a loss in the policy's log-probabilities: along the margin, and over the plane of the two log-ratios.

What is computed here and drawn here concerns single losses and their formulas. Nothing here knows of runs or scores.
"""
