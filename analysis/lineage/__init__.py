"""The lineage of a run: who came from whom, what each operator did, what the rungs were worth, and export to other programs."""

from analysis.lineage.graph import lineage

__all__ = ["lineage"]
