"""Autopsies of the report: one section per examined loss. The template only formats them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.claims.autopsy import Autopsy, plans
from analysis.claims.autopsy_table import PartRow, conclusions, part_rows, smallest_code
from analysis.snapshot import Snapshot
from analysis.wording import display_name, full_name


@dataclass(frozen=True)
class AutopsySection:
    """The last autopsy of one loss."""

    id: int
    name: str
    rung: str
    rows: Sequence[PartRow]
    conclusions: Sequence[str]
    code: str


def autopsy_sections(snapshot: Snapshot) -> list[AutopsySection]:
    """The autopsies in the order of their candidates. Candidates without a valid graph are left out. Raises CorruptArchive."""
    return [_section(snapshot, found) for _, found in sorted(autopsies_of(snapshot).items())]


def autopsies_of(snapshot: Snapshot) -> dict[int, Autopsy]:
    """The last autopsy of each candidate that has one and a valid graph."""
    return {
        id: Autopsy(
            plan, graph, [row for row in snapshot.variants if row.candidate_id == id], snapshot.variant_evaluations
        )
        for id, plan in plans(snapshot.events).items()
        if id in snapshot.candidates and (graph := snapshot.graph(id)) is not None
    }


def _section(snapshot: Snapshot, autopsy: Autopsy) -> AutopsySection:
    id = autopsy.plan.candidate
    name = display_name(snapshot.candidates[id])
    return AutopsySection(
        id,
        full_name(snapshot, id),
        autopsy.plan.rung,
        part_rows(autopsy),
        conclusions(autopsy),
        smallest_code(autopsy, name),
    )
