"""Benchmarks that judge trained policies: questions, prompts for the judge, and the reading of its replies.

Statistics and pictures of judgements are not here but in `analysis/benchmarks/`; training, generation and recording in `evo/evaluate/`.
"""
