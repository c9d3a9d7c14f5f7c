"""What a campaign may spend, and what it has spent. What is under way counts at its worst case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evo.config.schema import BudgetConfig


@dataclass(frozen=True, slots=True)
class Spent:
    """What is recorded as spent, on proposers and judges. Seconds are those that the campaign ran, over all sessions."""

    proposals: int = 0
    """Steps whose request was answered, whatever the answer was; those of an outage are asked for again."""
    evaluations: int = 0
    """Trainings that were scored or failed."""
    seconds: float = 0.0
    tokens: int = 0
    usd: float = 0.0
    possibly_paid: int = 0
    """Calls and judged trainings that were cut off: sent, never answered, perhaps charged."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something may cost at most: a call, a training, or all that are under way."""

    proposals: int = 0
    evaluations: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.proposals + other.proposals,
            self.evaluations + other.evaluations,
            self.tokens + other.tokens,
            self.usd + other.usd,
        )

    def times(self, count: int) -> Cost:
        """The cost of `count` of these."""
        return Cost(self.proposals * count, self.evaluations * count, self.tokens * count, self.usd * count)


NOTHING = Cost()


def lacking(budget: BudgetConfig, used: Spent, under_way: Cost, wanted: Cost) -> str | None:
    """The limit that has no room for what is wanted beside what is used and under way, in words, or None."""
    if budget.seconds is not None and used.seconds >= budget.seconds:
        return f"the budget of {budget.seconds:g} seconds is reached"
    amounts: Mapping[str, tuple[float, float]] = {
        "proposals": (used.proposals + under_way.proposals, wanted.proposals),
        "evaluations": (used.evaluations + under_way.evaluations, wanted.evaluations),
        "tokens": (used.tokens + under_way.tokens, wanted.tokens),
        "usd": (used.usd + under_way.usd, wanted.usd),
    }
    for name, (amount, more) in amounts.items():
        limit = budget.limits.get(name)
        if limit is None or not more or amount + more <= limit:
            continue
        rest = f": {amount:.10g} are spent or under way, and the next may take {more:.10g}" if amount < limit else ""
        return f"the budget of {limit:.10g} {name} is reached{rest}"
    return None
