"""Options of the classification task."""

from typing import Literal

from pydantic import Field

from fitness.task.protocol import TaskOptions


class Options(TaskOptions):
    """Options of the classification task. All of them affect the fitness, so all are part of a run's identity."""

    dataset: Literal["digits", "cifar10"] = Field(
        "digits", description="digits: shipped with scikit-learn; cifar10: torchvision's"
    )
    data_dir: str = Field("data", description="folder of torchvision's CIFAR-10 files; nothing is downloaded")
    label_noise: float = Field(0.2, ge=0, lt=1, description="fraction of training labels replaced by another class")
    train_items: int = Field(600, ge=2, description="items trained on per seed")
    batch_size: int = Field(32, ge=2, description="items per optimiser step")
    epochs: int = Field(20, ge=1, le=1000, description="passes over the items at the rungs full and held_out")
    short_epochs: int = Field(8, ge=1, description="passes at the rung short, if full has more")
    learning_rate: float = Field(5e-3, gt=0, description="peak learning rate of AdamW; cosine to zero")
    hidden: int = Field(128, ge=4, description="width of the perceptron")

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one pass; a last batch of one item is left out, since some losses are undefined on it."""
        whole, rest = divmod(self.train_items, self.batch_size)
        return whole + (rest > 1)
