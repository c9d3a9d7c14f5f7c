"""How old the results are from which parents are selected."""

from pathlib import Path

from tiny_archive import tiny

from analysis.lineage.staleness import staleness
from analysis.snapshot import Snapshot
from archive.query import Reader


def test_results_after_the_selection_and_before_the_candidate_s_own_first_one(tmp_path: Path) -> None:
    """All selections of this archive saw no event, and a person's loss has no selection."""
    results = {"short": {1: 0.5}, "full": {1: 0.5}}
    with Reader.open(tiny(tmp_path, dict.fromkeys(("dpo", "a", "own", "b"), results), by_person=("own",))) as reader:
        assert staleness(Snapshot.of(reader)) == [1, 3]


def test_nothing_without_results(tmp_path: Path) -> None:
    with Reader.open(tiny(tmp_path, {"dpo": {}, "a": {}})) as reader:
        assert staleness(Snapshot.of(reader)) == []
