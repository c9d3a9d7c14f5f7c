"""Settings of the ladder and the final: the section `ladder` of a configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class LadderSettings(BaseModel):
    """Which losses are trained further. The rungs and their cost belong to the task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: float = Field(
        0.33, gt=0, le=1, description="fraction of the losses measured at a rung that is promoted to the next"
    )
    optimism: float = Field(
        2.0,
        ge=0,
        description="a candidate is promoted unless it is predicted to trail the best of the next stage by more than this many "
        "residual standard deviations",
    )
    finalists: int = Field(
        2, ge=0, description="candidates that are measured again on fresh seeds in the final, with the known losses"
    )
    finalist_seeds: int = Field(6, ge=1, description="fresh seeds of the final, from the operating system")
    contenders: int = Field(
        6, ge=0, description="best losses that get a second seed; half of them get further seeds, and so on"
    )
    contender_seeds: int = Field(4, ge=1, le=64, description="largest number of seeds of a contender in the search")
    early_seeds: int = Field(
        2,
        ge=1,
        le=64,
        description="largest number of seeds of a contender until the last proposal is trained; the others follow then",
    )
    baseline_betas: tuple[float, ...] = Field(
        (0.5, 2.0), description="multiples of the task's beta with which the final also trains the baseline"
    )
    baseline_learning_rates: tuple[float, ...] | None = Field(
        None,
        description="multiples of the task's learning rate for the same purpose, combined with every beta; null: 0.5 and 2 if the "
        "task has no beta, else none",
    )
    baseline_widenings: int = Field(
        4,
        ge=0,
        le=8,
        description="how often a grid may be extended if its best arm lies at its edge and a claim depends on it",
    )

    @field_validator("baseline_betas", "baseline_learning_rates")
    @classmethod
    def _positive(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if not all(factor > 0 for factor in value or ()):
            raise ValueError("expected positive multiples")
        return value
