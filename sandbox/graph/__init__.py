"""Loss graphs: the data structure, its operations, types and shapes, static analyses, and printers.

No torch here: computation on tensors is in `sandbox.execute`. No source of a candidate is read.
"""

from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, verify
from sandbox.graph.nodes import GraphError

__all__ = ["GraphError", "LossGraph", "VerifiedGraph", "verify"]
