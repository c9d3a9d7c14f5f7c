"""MT-Bench (Zheng et al. 2023, arXiv 2306.05685): questions of two turns in eight categories, graded or compared by a judge.

Its statistics are in `analysis/benchmarks/mt_bench.py`. Nothing here generates an answer or asks a judge.
"""
