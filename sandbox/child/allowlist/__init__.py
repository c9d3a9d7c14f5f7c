"""What a candidate's source may say, as data: syntax, names, limits, and the calls with their parameters.

Tables and their look-up only; the walk over a source that applies them is `sandbox.child.static`.
"""
