"""Settings of a campaign's budget: the section `budget` of a configuration."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Unlimited = Literal["unlimited"]


def _amount(value: Any) -> Any:
    """Validate a number of at least 0, `unlimited` or null, with one message for all other values."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if value is None or value == "unlimited" or number:
        return value
    raise ValueError("expected a number of at least 0, unlimited or null")


def _whole(value: Any) -> Any:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("expected a whole number of at least 0, unlimited or null")
    return _amount(value)


AMOUNTS = ("proposals", "evaluations", "seconds", "tokens", "usd")
"""Keys of the budget that limit an amount. The others are rules that end the search."""
_NONE = (None, "unlimited")


class BudgetConfig(BaseModel):
    """Limits of a campaign. It stops cleanly at the first limit that is reached; null means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proposals: int | None = Field(48, ge=0, description="proposals whose request was answered, whatever the answer")
    evaluations: int | None = Field(
        None, ge=0, description="trainings, each of one candidate at one rung with one seed"
    )
    seconds: float | None = Field(
        None, gt=0, description="running time of the campaign, summed over all resumes, seconds"
    )
    tokens: Annotated[int | Unlimited | None, BeforeValidator(_whole)] = Field(
        None,
        description="prompt and reply tokens of proposer and judges; calls in progress count with their maximum; a paid endpoint "
        "needs this or usd; unlimited: explicitly no limit",
    )
    usd: Annotated[float | Unlimited | None, BeforeValidator(_amount)] = Field(
        None,
        description="cost of proposer and judges, USD; calls in progress count with their maximum; needs their prices; unlimited: "
        "explicitly no limit",
    )
    target: float | None = Field(
        None,
        allow_inf_nan=False,
        description="difference to the baseline, in units of the fitness: the search ends when a proposal's mean paired difference "
        "at the highest search rung is at least this after one standard error is subtracted; the final follows",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="the search ends when this many proposals in a row brought no new best; the final follows",
    )

    @property
    def bounds_spending(self) -> bool:
        """Whether the user has set a limit of spending, or has explicitly set none."""
        return self.tokens is not None or self.usd is not None

    @property
    def limits(self) -> dict[str, float]:
        """The limits of amounts that are numbers, by name."""
        return {name: value for name, value in self.model_dump().items() if name in AMOUNTS and value not in _NONE}
