"""Budget of a campaign: limits, recorded spending, and the maximum cost of work in progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evo.config.budget_settings import BudgetConfig


@dataclass(frozen=True, slots=True)
class Spent:
    """Recorded spending of a run; tokens and USD are those of the proposer and of judges."""

    proposals: int = 0
    """Steps whose request was answered, with a loss or without. Steps that failed because of an outage do not count."""
    evaluations: int = 0
    """Trainings that were scored or failed."""
    seconds: float = 0.0
    """Running time over all sessions."""
    tokens: int = 0
    usd: float = 0.0
    possibly_paid: int = 0
    """Calls and judged trainings that were cut off: sent, not answered, possibly charged."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Maximum cost of a call, of a training, or of all work in progress."""

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
        """`count` times this cost."""
        return Cost(self.proposals * count, self.evaluations * count, self.tokens * count, self.usd * count)


NO_COST = Cost()


def exceeded_limit(budget: BudgetConfig, used: Spent, under_way: Cost, wanted: Cost) -> str | None:
    """The first limit that `used`, `under_way` and `wanted` together would exceed, as a message; None if no limit would be."""
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
        rest = f": {amount:.10g} are spent or in progress, and the next may take {more:.10g}" if amount < limit else ""
        return f"the budget of {limit:.10g} {name} is reached{rest}"
    return None
