"""The latest replies of each proposer: what they cost, and which held no loss. The bandit compares proposers by them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from archive.records import ASIDE, PERSON, ProposalRow

LATEST = 512
"""Number of replies that are kept; older ones would hardly count (`SelectionSettings.discount`)."""


class Answer(NamedTuple):
    """A reply of a proposer."""

    proposer: str
    at: int
    """Number of vetted candidates when it arrived: its age is counted in later ones."""
    usd: float | None
    """None if unknown."""
    seconds: float


class Replies:
    """The latest replies, and those of them that held no loss."""

    def __init__(self) -> None:
        self.answered: deque[Answer] = deque(maxlen=LATEST)
        self.without_loss: deque[Answer] = deque(maxlen=LATEST)

    def take(self, row: ProposalRow, now: int) -> None:
        """Count a reply. `now`: number of vetted candidates."""
        if row.proposer != PERSON and row.operator not in ASIDE:
            self.answered.append(Answer(row.proposer, now, row.usd, row.seconds or 0.0))

    def lose(self, row: ProposalRow, now: int) -> None:
        """Count an answer that held no loss."""
        if row.proposer != PERSON and row.operator not in ASIDE:
            self.without_loss.append(Answer(row.proposer, now, row.usd, row.seconds or 0.0))

    def costs(self, names: Iterable[str], now: int, discount: float) -> Mapping[str, float]:
        """Cost of a proposal of each proposer, in units of the cost of all that follows its reply: at least 1.

        It is 1 plus the mean cost of the proposer's replies over the mean of all proposers whose replies cost something: 1 for a
        free one, 2 for one like the others and for one that has not replied yet. Counted in USD if all kept replies have a price,
        else in seconds of waiting. Newer replies count more. `now`: number of vetted candidates.
        """
        in_usd = all(a.usd is not None for a in self.answered) and any(a.usd for a in self.answered)
        mass, paid = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        for answer in self.answered:
            if answer.proposer in mass:
                weight = discount ** (now - answer.at)
                mass[answer.proposer] += weight
                paid[answer.proposer] += weight * ((answer.usd or 0.0) if in_usd else answer.seconds)
        means = {name: paid[name] / mass[name] for name in mass if mass[name]}
        costly = [mean for mean in means.values() if mean > 0]
        typical = sum(costly) / len(costly) if costly else 1.0
        return {name: 1 + means.get(name, typical) / typical for name in mass}
