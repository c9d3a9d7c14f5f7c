"""Vetting as a whole: `vet`, the pool of vetting processes, the parent's side of the jail, and the command line.

Contains no rule and no test of its own: those are in `child`, `graph`, `numeric` and `identity`.
"""
