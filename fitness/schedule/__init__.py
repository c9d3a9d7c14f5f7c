"""Training schedule: which trainings are due next (candidate, rung, seed), and their estimated cost.

They depend on recorded results alone. Nothing is trained here.
"""
