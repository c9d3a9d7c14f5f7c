"""The tracer: runs a checked candidate once on symbols and records what it does as a graph.

Only byte code that `sandbox.child.static` made is run here, and only in the jailed child.
"""
