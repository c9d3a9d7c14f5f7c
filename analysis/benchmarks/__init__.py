"""Statistics, tables and pictures of benchmarks, and the published figures that they are held against.

Works on recorded rows and numbers. Questions, prompts and the reading of grades are in `fitness/benchmarks/`.
"""
