"""Settings of the operators `tune` and `simplify`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class StudySettings(BaseModel):
    """How often a study is made, and how many trainings it may take. Its trainings count in `budget.evaluations`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: int | None = Field(
        None,
        ge=2,
        description="a study takes the place of every N-th proposal, if there is a promising loss; null: no studies",
    )


class TuneSettings(StudySettings):
    """The operator `tune`: the constants of a leading loss, all at once."""

    trainings: int = Field(24, ge=16, le=1000, description="largest number of trainings of one study")


class SimplifySettings(StudySettings):
    """The operator `simplify`: a leading loss without the parts whose removal costs nothing past the noise."""

    trainings: int = Field(32, ge=12, le=1000, description="largest number of trainings of one study")
