"""Printers of graphs: Python source, expressions, one line, LaTeX, a TRL trainer file. All take linear time; none imports torch."""

from sandbox.graph.printers.formula import Formula, to_formula
from sandbox.graph.printers.latex import to_latex
from sandbox.graph.printers.python import to_expression, to_python
from sandbox.graph.printers.trl import to_trl

__all__ = ["Formula", "to_expression", "to_formula", "to_latex", "to_python", "to_trl"]
