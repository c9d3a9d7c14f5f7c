"""Evaluation of a trained policy: sampled answers, and the evaluators."""
