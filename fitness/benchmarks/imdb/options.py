"""Options of the sweep over beta."""

from pydantic import Field, field_validator

from fitness.task.protocol import TaskOptions

BETAS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The grid of Lu et al. 2024, who plot .025 to 1."""


class ImdbOptions(TaskOptions):
    """Options of `imdb`: each loss is trained with each beta, and its answers are rewarded."""

    betas: tuple[float, ...] = Field(BETAS, min_length=1, description="grid of beta, the same for all losses")
    sampling_seeds: int = Field(
        10,
        ge=1,
        le=64,
        description="times that a trained policy answers all test prompts, each with its own sampling seed",
    )
    rung: str | None = Field(None, description="rung of the trainings; null: the task's rung with held-out prompts")

    @field_validator("betas")
    @classmethod
    def _positive(cls, betas: tuple[float, ...]) -> tuple[float, ...]:
        if not all(beta > 0 for beta in betas):
            raise ValueError(f"expected positive betas, got {', '.join(f'{beta:g}' for beta in betas)}")
        return tuple(sorted(set(betas)))
