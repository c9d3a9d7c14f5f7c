"""`evopo paper`: the published tables beside the figures that were measured here, as text, page, JSON and CSV.

Statistics of one benchmark are in `analysis/benchmarks/`; nothing is trained or judged here.
"""
