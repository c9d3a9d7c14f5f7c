"""The allow-list for a candidate's source, as data: syntax, names, limits, and the calls with their parameters.

Tables and their look-up only; `sandbox.child.static` applies them to a source.
"""
