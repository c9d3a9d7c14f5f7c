"""Options of the embedded task."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from fitness.sentiment.worlds import WORLDS, World, WorldName
from fitness.task.protocol import TaskOptions


class Options(TaskOptions):
    """Options of the embedded task. All of them affect the fitness, so all are part of a run's identity."""

    world: WorldName = Field(
        "classic",
        description="structure of the labels, pairs and judge, which also sets other defaults (docs/notes/worlds.md). A new run "
        "that names none is in `unfamiliar`; a run that was recorded before there were worlds is in `classic`",
    )
    beta: float = Field(0.5, gt=0, description="beta of the preference loss, per nat")
    learning_rate: float = Field(7e-4, gt=0, description="peak learning rate of AdamW; cosine to zero, 10 % warm-up")
    kl_weight: float = Field(0.02, ge=0, description="price of KL: reward subtracted per nat of KL per sequence")
    pairs: int = Field(512, ge=2, le=8192, description="preference pairs per seed")
    batch_size: int = Field(16, ge=1, description="pairs per optimiser step")
    epochs: int = Field(4, ge=1, le=64, description="passes over the pairs at the rungs full and held_out")
    short_steps: int = Field(40, ge=1, description="optimiser steps at the rung short, if full has more")
    label_noise: float = Field(0.1, ge=0, lt=0.5, description="fraction of pairs whose labels are flipped")
    temperature: float = Field(1.0, gt=0, description="sampling temperature")
    samples: int = Field(512, ge=16, le=8192, description="reviews written by the trained policy to measure it")
    sampling_seeds: int = Field(
        1,
        ge=1,
        le=64,
        description="times that the reviews are written, each with a sampling seed of its own; above 1 the reference's reward is "
        "measured too",
    )
    kl_limit: float = Field(50.0, gt=0, description="KL in nats per sequence above which a run counts as collapsed")
    least_distinct: float = Field(
        0.1, ge=0, le=1, description="fraction of distinct reviews below which a run counts as collapsed"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_the_world(cls, given: Any) -> Any:
        """Options that are not given have the world's values, a batch at most all pairs. An unknown world is left to the validation
        of its field."""
        name = given.get("world") if isinstance(given, Mapping) else None
        world = WORLDS.get(name) if isinstance(name, str) else None
        if world is None:
            return given
        pairs, batch = given.get("pairs"), world.defaults.get("batch_size")
        fits = (
            {"batch_size": min(batch, pairs)} if isinstance(pairs, int) and isinstance(batch, int) and pairs > 0 else {}
        )
        return {**world.defaults, **fits, **given}

    @model_validator(mode="after")
    def _batch_fits(self) -> "Options":
        if self.batch_size > self.pairs:
            raise ValueError(
                f"fitness.batch_size must be at most fitness.pairs, got {self.batch_size} and {self.pairs}"
            )
        return self

    @property
    def record(self) -> World:
        """The record of the world."""
        return WORLDS[self.world]

    @property
    def full_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * -(-self.pairs // self.batch_size)
