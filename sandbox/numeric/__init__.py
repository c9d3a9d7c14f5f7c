"""The numeric unit tests: a verified graph is evaluated at many inputs, measured, and refused where it cannot train.

Everything here works on graphs and needs torch; candidate code is never seen.
"""
