"""Judging: the requests about all answers, and a judge that is asked each of them once, within the budget.

Not here: what a benchmark asks and how its replies are read (`fitness/benchmarks`), and what is made of the grades
(`analysis/benchmarks`).
"""
