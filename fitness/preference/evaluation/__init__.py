"""Evaluation of a trained policy: sampled answers, and the evaluators.

Trains nothing, and asks no endpoint itself: the judge is in `fitness.preference.judge`.
"""
