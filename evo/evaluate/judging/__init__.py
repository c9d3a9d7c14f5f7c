"""Judging: the requests about all answers, and a judge that is asked each of them once, within the budget.

What a benchmark asks and how its replies are read is in `fitness/benchmarks/`; what is made of the grades is in
`analysis/benchmarks/`.
"""
