"""The operations that a loss graph may contain: one record for each, with all its properties.

The verifier, the tracer, the interpreter, the printers, the numeric tests and the genetic operators read these records. The syntax
and names that source may use are in `sandbox.child.allowlist`. Not here: anything about a whole graph. No torch.
"""

from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.operations.record import IncompleteRecord, Operation
from sandbox.graph.operations.table import OPERATIONS, SOURCES, computes_in_floats, relatives

__all__ = ["OPERATIONS", "SOURCES", "Attr", "IncompleteRecord", "Operation", "computes_in_floats", "relatives"]
