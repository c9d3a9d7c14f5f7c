"""Training schedule: which trainings are due next (candidate, rung, seed), and their estimated cost.

Pure functions of the results so far. Nothing is trained here.
"""
