"""AlpacaEval 2.0: answers to single instructions, compared with those of a baseline model and of the reference model.

Files in alpaca_eval's formats, the judge's prompt and the requests. No statistics: win rates are in `analysis/benchmarks/`.
"""
