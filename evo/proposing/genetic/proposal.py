"""Inputs and outputs of the genetic operators."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Protocol

from sandbox.graph.loss_graph import VerifiedGraph

MAX_NAME = 48
"""Maximum characters of a proposal's name."""


@dataclass(frozen=True, slots=True)
class Child:
    """A loss that was made from a parent before."""

    graph: VerifiedGraph
    name: str
    is_lower: bool
    """Whether it was refined from the parent and scored lower, by more than a standard error where that is known."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent of a proposal, with its name and what was made from it before."""

    graph: VerifiedGraph
    name: str = "loss"
    is_lower: bool = False
    """Whether it scored lower than the baseline, by more than a standard error where that is known."""
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class GeneticProposal:
    """A new loss. `name` is a Python identifier; `thought` is one sentence that describes the change with its numbers."""

    graph: VerifiedGraph
    name: str
    thought: str
    change: str = ""
    """The kind of change, one of `KINDS`; empty for a new loss and a repair."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the run knows that the operators can use."""

    rules: Collection[str] = ()
    """Codes of the findings that refused the parents."""
    favoured: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """By kind of change, a factor on its probability, larger for kinds that made good losses; missing: 1."""

    def factor(self, kind: str) -> float:
        """The factor on the probability of a kind of change."""
        return self.favoured.get(kind, 1.0)


NO_HINTS = Hints()


class Genetic(Protocol):
    """Function of the built-in proposer for an operator: a pure function of the generator's state and its arguments.

    `parents` is not empty, except for operators that need none.
    """

    def __call__(self, rng: Random, contract: str, parents: Sequence[Parent], hints: Hints) -> GeneticProposal: ...


def stem(name: str) -> str:
    """The base of a name, without the tags that earlier operators appended."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    head = plain.split("__")[0]
    return head if head and head[0].isalpha() else f"loss_{head}".rstrip("_")


def named(base: str, tag: str = "") -> str:
    """An identifier of at most MAX_NAME characters from a base and a tag for the change."""
    suffix = f"__{tag}" if tag else ""
    return base[: MAX_NAME - len(suffix)].strip("_") + suffix
