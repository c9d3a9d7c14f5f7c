"""The lineage of a run: its graph, what each operator did, how well rungs predict each other, export to other programs."""

from analysis.lineage.graph import lineage

__all__ = ["lineage"]
