"""Statistics, tables and pictures of judged policies from the rows of an evaluation, and the published figures beside them.

Questions, prompts for the judge and the reading of its replies are in `fitness/benchmarks/`. Nothing here asks a judge.
"""
