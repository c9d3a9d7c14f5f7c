"""The tracer: runs a checked candidate once on symbolic values and records its operations as a graph.

Runs only byte code that `sandbox.child.static` compiled, and only in the jailed child.
"""
