"""Benchmarks that judge trained policies: questions, prompts for the judge, and the reading of its replies.

Not here: statistics and pictures of judgements (`analysis/benchmarks/`), and training, generation and recording (`evo/evaluate/`).
"""
