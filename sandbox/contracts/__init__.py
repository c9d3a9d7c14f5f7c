"""Contracts: the arguments and result of each kind of loss, and the matching of parameter names to arguments.

No torch and no graphs here: all other packages of the sandbox import this one.
"""
