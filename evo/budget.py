"""What a campaign may spend, and what it has spent. Calls in flight count at their worst case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evo.config import BudgetConfig


@dataclass(frozen=True, slots=True)
class Spent:
    """What is recorded as spent. Seconds are those during which the campaign ran, over all sessions."""

    proposals: int = 0
    """Steps that got a reply, whatever became of it."""
    evaluations: int = 0
    """Trainings that were scored or failed."""
    seconds: float = 0.0
    tokens: int = 0
    usd: float = 0.0
    possibly_paid: int = 0
    """Calls that were cut off: sent, never answered, perhaps charged."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """What the calls and trainings under way may still cost at most."""

    proposals: int = 0
    evaluations: int = 0
    tokens: int = 0
    usd: float = 0.0


def reached(budget: BudgetConfig, used: Spent, under_way: InFlight) -> str | None:
    """The limit that forbids one more proposal, in words, or None."""
    amounts: Mapping[str, tuple[float | None, float]] = {
        "proposals": (budget.proposals, used.proposals + under_way.proposals),
        "evaluations": (budget.evaluations, used.evaluations + under_way.evaluations),
        "seconds": (budget.seconds, used.seconds),
        "tokens": (budget.tokens, used.tokens + under_way.tokens),
        "usd": (budget.usd, used.usd + under_way.usd),
    }
    for name, (limit, amount) in amounts.items():
        if limit is not None and amount >= limit:
            return f"the budget of {limit:g} {name} is reached"
    return None
