"""The lineage of a run: its graph, what each operator did, how well rungs predict each other, export to other programs.

Describes only; what may be claimed about a loss is decided in `analysis.claims`.
"""

from analysis.lineage.graph import edges, nodes

__all__ = ["edges", "nodes"]
