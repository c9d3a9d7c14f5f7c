"""The operations a loss graph may contain: one record of each, which says everything that is known of it.

What source code may *say* is in `policy`; what a graph may *do* is here. The verifier, the tracer, the interpreter, the printers,
the numeric tests and the genetic operators all read these records. Not here: anything about a whole graph. No torch.
"""

from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.operations.record import IncompleteRecord, Operation
from sandbox.graph.operations.table import OPERATIONS, SOURCES, computes_in_floats, relatives

__all__ = ["OPERATIONS", "SOURCES", "Attr", "IncompleteRecord", "Operation", "computes_in_floats", "relatives"]
