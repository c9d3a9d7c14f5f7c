"""What each proposer of a run did and cost, as a table. Runs with one proposer have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.recorded import STANDING
from analysis.snapshot import Snapshot
from archive.records import PERSON, STUDIES, ProposalRow
from sandbox.verdicts.verdict import VerdictStatus


@dataclass(frozen=True)
class ProposerRow:
    """A proposer of a run with several."""

    name: str
    models: Sequence[str]
    proposals: int
    """Steps that asked it."""
    replies: int
    accepted: int
    """New losses that the sandbox accepted."""
    reward: float | None
    """The bandit's last estimate of the reward of a proposal, in [0, 1]; None in modes without a bandit."""
    share: float | None
    """Its last probability of being chosen, in [0, 1]."""
    usd: float | None
    """Cost of its replies, USD; None if a reply came without a price."""
    seconds: float
    """Mean time to a reply, seconds."""


def proposer_rows(snapshot: Snapshot) -> list[ProposerRow]:
    """A row per proposer in order of appearance; empty if the run asked fewer than two."""
    asked: dict[str, list[ProposalRow]] = {}
    last: Mapping[str, Any] = {}
    for row in snapshot.proposals.values():
        if row.proposer != PERSON and row.operator not in STUDIES:
            asked.setdefault(row.proposer, []).append(row)
            standing = row.references.get(STANDING)
            last = standing if isinstance(standing, Mapping) else last
    names = dict.fromkeys([*asked, *map(str, last)])
    if len(names) < 2:
        return []
    accepted = {
        row.proposal_id
        for id, row in snapshot.candidates.items()
        if (verdict := snapshot.verdicts.get(id)) and verdict.status == VerdictStatus.ACCEPTED and verdict.is_new
    }
    return [_row(name, asked.get(name, []), accepted, last.get(name)) for name in names]


def _row(name: str, asked: Sequence[ProposalRow], accepted: set[int | None], standing: Any) -> ProposerRow:
    replies = [row for row in asked if row.reply is not None]
    prices = [row.usd for row in replies if row.usd is not None]
    figures = [float(x) for x in standing if isinstance(x, int | float)] if isinstance(standing, list) else []
    reward, share = figures if len(figures) == 2 else (None, None)
    return ProposerRow(
        name,
        sorted({row.model for row in asked if row.model}),
        len({row.step for row in asked}),
        len(replies),
        sum(row.id in accepted for row in asked),
        reward,
        share,
        sum(prices) if len(prices) == len(replies) else None,
        sum(row.seconds or 0.0 for row in replies) / len(replies) if replies else 0.0,
    )
