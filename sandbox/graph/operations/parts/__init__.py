"""The parts of an operation's record: attributes, calls, shape rules, kernels, bounds, edges, and printed forms.

Properties of a single operation are in its record, not here.
"""
