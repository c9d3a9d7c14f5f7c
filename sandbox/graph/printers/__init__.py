"""Graphs as text: Python source, LaTeX, a TRL trainer. All linear in the size of the graph, and without torch."""

from sandbox.graph.printers.latex import to_latex
from sandbox.graph.printers.python import to_python
from sandbox.graph.printers.trl import to_trl

__all__ = ["to_latex", "to_python", "to_trl"]
