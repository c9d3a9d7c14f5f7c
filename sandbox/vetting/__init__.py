"""Vetting as a whole: `vet`, the pool of vetting processes, the parent's side of the jail, and the command line.

Also here: the supervisor of worker processes (`process`, and `serving` on the worker's side), which `fitness` uses too. Contains no
rule and no test of its own: those are in `child`, `graph`, `numeric` and `identity`.
"""
