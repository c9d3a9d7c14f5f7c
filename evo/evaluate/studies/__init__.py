"""Studies: benchmarks without a judge, each a module that measures in its own way, and the interface of them all.

Benchmarks with a judge are in `fitness/benchmarks/`; tables and pictures of both in `analysis/benchmarks/`, not here.
"""
