"""Snapshot of an archive: its rows, read once, and the values that several analyses derive from them. No claims, no output."""

from analysis.snapshot.arms import Arm, CandidateStatus
from analysis.snapshot.outline import Outline
from analysis.snapshot.rows import CAUTION, SINGLES_OUT, Snapshot

__all__ = ["CAUTION", "SINGLES_OUT", "Arm", "CandidateStatus", "Outline", "Snapshot"]
