"""Benchmarks that judge trained policies: questions, prompts for the judge, and the reading of its replies.

Statistics and pictures of judgements are in `analysis/benchmarks/`, training and recording in `evo/evaluate/`: nothing here reads an
archive or asks a judge.
"""
