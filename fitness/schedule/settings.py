"""Settings of the ladder and the final: the section `ladder` of a configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class LadderSettings(BaseModel):
    """Which losses are trained further. The rungs and their cost belong to the task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: float = Field(0.33, gt=0, le=1, description="fraction of those measured at a rung that climbs to the next")
    optimism: float = Field(
        2.0,
        ge=0,
        description="residual standard deviations by which a candidate may be predicted to trail the best of the next stage and "
        "still climb",
    )
    finalists: int = Field(
        3, ge=0, description="candidates that are re-measured on fresh seeds at the end, beside the known losses"
    )
    finalist_seeds: int = Field(4, ge=1, description="seeds of that measurement, from the operating system")
    contenders: int = Field(
        6, ge=0, description="leaders that earn a second seed; half of them earn further ones, and so on"
    )
    contender_seeds: int = Field(4, ge=1, le=64, description="seeds that a contender may earn")
    baseline_betas: tuple[float, ...] = Field(
        (0.5, 2.0), description="multiples of the task's beta with which the final trains the baseline too"
    )
    baseline_learning_rates: tuple[float, ...] | None = Field(
        None,
        description="likewise multiples of its learning rate, at every pair of the two; null: 0.5 and 2 where the task has no "
        "beta, else none",
    )
    baseline_widenings: int = Field(
        2,
        ge=0,
        le=8,
        description="how often the final widens a grid whose best arm lies at its edge, if a claim depends on it",
    )

    @field_validator("baseline_betas", "baseline_learning_rates")
    @classmethod
    def _positive(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if not all(factor > 0 for factor in value or ()):
            raise ValueError("expected positive multiples")
        return value
