"""Options of the classification task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fitness.classification.networks.registry import NETWORKS, Dataset, Network, NetworkName, networks_for
from fitness.task.protocol import TaskOptions

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "digits": {},
    "cifar10": {
        "label_noise": 0.0, "train_items": 45_000, "batch_size": 128, "epochs": 5, "short_epochs": 1, "learning_rate": 0.05,
        "optimiser": "sgd", "weight_decay": 5e-4, "augment": True,
    },
}  # fmt: skip
"""Values of options that the user did not set, by data set. The digits have the defaults of the fields."""

_NETWORKS: Mapping[Dataset, tuple[NetworkName, NetworkName]] = {
    "digits": ("mlp", "deep"),
    "cifar10": ("resnet18", "resnet34"),
}
"""Usual network of the search, and of the rung held_out."""

_LATER = ("network", "held_out_network", "augment", "optimiser", "momentum", "weight_decay")
"""Options that came after runs had been recorded; their own defaults are what every training did before."""


class Options(TaskOptions):
    """Options of the classification task. All of them affect the fitness, so all are part of a run's identity."""

    dataset: Dataset = Field(
        "digits",
        description="digits: shipped with scikit-learn; cifar10: your copy of CIFAR-10's binary version, which also sets other "
        "defaults (docs/case-study.md)",
    )
    data_dir: str = Field(
        "data",
        description="for cifar10: the folder cifar-10-batches-bin, or the folder that it is in; nothing is downloaded",
    )
    network: NetworkName | None = Field(
        None,
        description="what the search trains: mlp, deep, wide, linear or cnn for digits; resnet18, resnet34, simple_dla or "
        "efficientnet_b0 for cifar10; null: mlp, or resnet18",
    )
    held_out_network: NetworkName | None = Field(
        None, description="what the rung held_out trains, from the same list; null: deep, or resnet34"
    )
    label_noise: float = Field(0.2, ge=0, lt=1, description="fraction of training labels replaced by another class")
    augment: bool = Field(
        False, description="for cifar10: whether training crops images at random (padding 4) and mirrors half of them"
    )
    train_items: int = Field(600, ge=2, description="items trained on per seed")
    batch_size: int = Field(32, ge=2, description="items per optimiser step")
    epochs: int = Field(20, ge=1, le=1000, description="passes over the items at the rungs full and held_out")
    short_epochs: int = Field(8, ge=1, description="passes at the rung short, if full has more")
    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="sgd: stochastic gradient descent with momentum")
    learning_rate: float = Field(5e-3, gt=0, description="peak learning rate of the optimiser; cosine to zero")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of the optimiser")
    hidden: int = Field(128, ge=4, description="hidden width of the perceptrons")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_the_data(cls, given: Any) -> Any:
        """Options that are not given have the data set's values. An unknown data set is left to the validation of its field."""
        name = given.get("dataset") if isinstance(given, Mapping) else None
        return {**DEFAULTS[name], **given} if isinstance(name, str) and name in DEFAULTS else given

    @model_validator(mode="after")
    def _fits_the_data(self) -> "Options":
        for key, name in (("network", self.network), ("held_out_network", self.held_out_network)):
            if name is not None and NETWORKS[name].dataset != self.dataset:
                raise ValueError(
                    f"fitness.{key}: {name} is for {NETWORKS[name].dataset}; expected one of "
                    f"{', '.join(networks_for(self.dataset))} for {self.dataset}"
                )
        if self.augment and self.dataset == "digits":
            raise ValueError("fitness.augment is for cifar10: the digits are too small to be cropped; leave it out")
        return self

    @property
    def searched(self) -> Network:
        """The network of the search's rungs."""
        return NETWORKS[self.network or _NETWORKS[self.dataset][0]]

    @property
    def held_out(self) -> Network:
        """The network of the rung held_out."""
        return NETWORKS[self.held_out_network or _NETWORKS[self.dataset][1]]

    @property
    def folder(self) -> Path:
        """The folder of `data_dir`."""
        return Path(self.data_dir).expanduser()

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one pass; a last batch of one item is left out, since some losses are undefined on it."""
        whole, rest = divmod(self.train_items, self.batch_size)
        return whole + (rest > 1)

    def identifying(self) -> dict[str, Any]:
        """The options, without those that came later and have their own default: runs recorded before have the same identity."""
        usual = {name: type(self).model_fields[name].default for name in _LATER}
        return {key: value for key, value in self.model_dump().items() if key not in usual or value != usual[key]}
