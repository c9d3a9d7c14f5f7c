"""Printers of graphs: Python source, one line, LaTeX, and a TRL trainer file. All take linear time, and none imports torch."""

from sandbox.graph.printers.formula import Formula, to_formula
from sandbox.graph.printers.latex import to_latex
from sandbox.graph.printers.python import to_python
from sandbox.graph.printers.trl import to_trl

__all__ = ["Formula", "to_formula", "to_latex", "to_python", "to_trl"]
