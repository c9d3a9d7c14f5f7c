"""A loss as data: the graph, its operations, the types and shapes of its values, what can be proved of it, and its printers.

No torch is imported here, nothing is computed on tensors (that is `sandbox.execute`), and no source of a candidate is read.
"""

from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, verify
from sandbox.graph.nodes import GraphError

__all__ = ["GraphError", "LossGraph", "VerifiedGraph", "verify"]
