"""MT-Bench: tables of grades, of pairs in both orders and of the judge's position bias, and the radar picture by category.

Works on recorded rows only. Questions, prompts and the reading of grades are in `fitness/benchmarks/mt_bench/`.
"""

from analysis.benchmarks.mt_bench.tables import draw, tables

__all__ = ["draw", "tables"]
