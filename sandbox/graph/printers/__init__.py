"""Printers of graphs: Python source, expressions, LaTeX, a TRL trainer file. All take linear time, and none imports torch."""

from sandbox.graph.printers.latex import to_latex
from sandbox.graph.printers.python import to_expression, to_python
from sandbox.graph.printers.trl import to_trl

__all__ = ["to_expression", "to_latex", "to_python", "to_trl"]
