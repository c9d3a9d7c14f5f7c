"""`evopo evaluate`: trains losses to saved policies, which answer the questions of benchmarks, and has a judge grade the answers.

Questions, prompts and the reading of grades are in `fitness/benchmarks/`; tables and pictures in `analysis/benchmarks/`. Nothing
here searches for losses.
"""
