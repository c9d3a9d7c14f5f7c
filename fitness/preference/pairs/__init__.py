"""Preference pairs: where they come from, their tokens, the rules about them, and how much a model can take.

Data only: loads no model, and trains nothing.
"""
