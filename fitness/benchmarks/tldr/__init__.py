"""TL;DR: summaries of forum posts, compared with a person's summary and with the reference model's.

Data in the published formats, the judge's prompt and the requests. No statistics: win rates are in `analysis/benchmarks/`.
"""
