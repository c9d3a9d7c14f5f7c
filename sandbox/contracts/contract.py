"""What a task's loss looks like: argument names, shapes, types, and which of them learn.

A contract is data. Source, tracer, verifier, numeric tests and prompts all read the same object, so a new kind of loss is
one more `Contract` in `CONTRACTS` (see docs/contracts.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

DType = Literal["float", "int", "bool"]

BATCH = "B"
"""Symbol of the number of items in the batch, in shapes and in `size` nodes."""

CLASSES = "C"
"""Symbol of the number of classes, in shapes and in `size` nodes."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the loss. `shape` is None for a Python number, else a tuple of symbols."""

    name: str
    description: str
    shape: tuple[str, ...] | None
    dtype: DType = "float"
    learns: bool = False
    """True where a gradient must flow: the policy's log-probabilities, the network's logits."""
    positive: bool = False
    """True for a number above zero: a source may ask whether it is, and gets yes for an answer."""


@dataclass(frozen=True, slots=True)
class Contract:
    """The interface a candidate loss must have.

    The result is one loss per item, shape (batch,), float32. Candidates are plain functions of `arguments`, or methods
    (`self` first) that read the scalar arguments and the `constants` as attributes of `self`.
    """

    name: str
    description: str
    arguments: tuple[Argument, ...]
    constants: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    swap: tuple[tuple[str, str], ...] = ()
    """Pairs of arguments that exchange places when the preference is turned round."""

    @property
    def tensors(self) -> tuple[Argument, ...]:
        """The tensor arguments, in order."""
        return tuple(a for a in self.arguments if a.shape is not None)

    @property
    def scalars(self) -> tuple[Argument, ...]:
        """The Python-number arguments, in order."""
        return tuple(a for a in self.arguments if a.shape is None)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sizes that shapes may speak of, in order of first appearance."""
        return tuple(dict.fromkeys(s for a in self.tensors for s in a.shape or ()))

    def argument(self, name: str) -> Argument:
        """The argument called `name`; KeyError where there is none."""
        for a in self.arguments:
            if a.name == name:
                return a
        raise KeyError(name)

    @property
    def signature(self) -> str:
        """The arguments as Python writes them between the parentheses of a definition."""
        return ", ".join(a.name for a in self.arguments)


PREFERENCE = Contract(
    name="preference",
    description=(
        "A preference loss over pairs of completions. Each log-probability is summed over the completion's tokens, in nats, "
        "in float32. The batch size varies from step to step."
    ),
    arguments=(
        Argument(
            "policy_chosen_logps",
            "log-probability of the chosen completion under the policy, nats",
            (BATCH,),
            learns=True,
        ),
        Argument(
            "policy_rejected_logps",
            "log-probability of the rejected completion under the policy, nats",
            (BATCH,),
            learns=True,
        ),
        Argument(
            "reference_chosen_logps",
            "log-probability of the chosen completion under the frozen reference, nats",
            (BATCH,),
        ),
        Argument(
            "reference_rejected_logps",
            "log-probability of the rejected completion under the frozen reference, nats",
            (BATCH,),
        ),
        Argument(
            "beta",
            "strength of the tie to the reference, a positive Python float, typically 0.01 to 1",
            None,
            positive=True,
        ),
    ),
    constants=MappingProxyType({"label_smoothing": 0.0}),
    swap=(
        ("policy_chosen_logps", "policy_rejected_logps"),
        ("reference_chosen_logps", "reference_rejected_logps"),
    ),
)

CLASSIFICATION = Contract(
    name="classification",
    description="A classification loss over unnormalised scores. Labels may be noisy. The batch size varies from step to step.",
    arguments=(
        Argument("logits", "unnormalised scores of the classes", (BATCH, CLASSES), learns=True),
        Argument("targets", "index of the labelled class, int64 in [0, classes)", (BATCH,), dtype="int"),
    ),
)

CONTRACTS: Mapping[str, Contract] = MappingProxyType({c.name: c for c in (PREFERENCE, CLASSIFICATION)})


def contract_named(name: str) -> Contract:
    """The contract called `name`. Raises ValueError that lists the known ones."""
    try:
        return CONTRACTS[name]
    except KeyError:
        raise ValueError(f"unknown contract {name!r}: expected one of {', '.join(CONTRACTS)}") from None
