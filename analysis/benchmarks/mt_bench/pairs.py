"""Pairs of answers that a judge compared in both orders: who won, and how much the judge prefers the first position.

A win counts only if both orders agree on it, else the pair is a tie (Zheng et al. 2023, section 3.4), so a judge that only looks at
the position decides nothing. The position bias of a pair is the mean of the points of the answer that was shown first, over both
orders, minus one half: the answers' own quality cancels in it. It lies between -1/2 (always the second) and 1/2 (always the first).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis import stats
from archive.judgements import JudgementRow


@dataclass(frozen=True)
class Pair:
    """Two answers to one turn of a question, compared in both orders."""

    question: str
    turn: int
    ours: int
    """Answer (id) that the points are of."""
    theirs: int
    points: float
    """1 for a win in both orders, 0 for a loss in both, else one half."""
    bias: float
    agreed: bool
    """Whether both orders gave the same verdict."""

    def seen_from(self, answer: int) -> Pair:
        """The same pair with the points of this one of its answers."""
        if answer == self.ours:
            return self
        return Pair(self.question, self.turn, self.theirs, self.ours, 1 - self.points, self.bias, self.agreed)


def in_both_orders(comparisons: Iterable[JudgementRow]) -> list[Pair]:
    """The pairs that have a grade in both orders. A pair with an order that has none, or was not asked for yet, is left out."""
    orders: dict[tuple[str, int, int, int], tuple[list[float], list[float]]] = {}
    for row in comparisons:
        if row.second is not None and row.grade is not None:
            low, high = sorted((row.first, row.second))
            forward, backward = orders.setdefault((row.question, row.turn, low, high), ([], []))
            (forward if row.first == low else backward).append(row.grade)
    found = []
    for (question, turn, low, high), (forward, backward) in orders.items():
        if forward and backward:
            one, other = stats.mean(forward), 1 - stats.mean(backward)
            points = 1.0 if min(one, other) > 0.5 else 0.0 if max(one, other) < 0.5 else 0.5
            found.append(Pair(question, turn, low, high, points, (one - other) / 2, _side(one) == _side(other)))
    return found


def _side(points: float) -> int:
    return (points > 0.5) - (points < 0.5)
