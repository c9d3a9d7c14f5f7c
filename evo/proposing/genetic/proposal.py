"""Inputs and outputs of the genetic operators."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
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
    """Whether it scored lower than the parent, by more than a standard error where that is known."""


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


class Genetic(Protocol):
    """Function of the built-in proposer for an operator: a pure function of the generator's state and its arguments.

    `parents` is not empty, except for operators that need none. `rules`: codes of the findings that refused the parents.
    """

    def __call__(
        self, rng: Random, contract: str, parents: Sequence[Parent], rules: Collection[str]
    ) -> GeneticProposal: ...


def stem(name: str) -> str:
    """The base of a name, without the tags that earlier operators appended."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    head = plain.split("__")[0]
    return head if head and head[0].isalpha() else f"loss_{head}".rstrip("_")


def named(base: str, tag: str = "") -> str:
    """An identifier of at most MAX_NAME characters from a base and a tag for the change."""
    suffix = f"__{tag}" if tag else ""
    return base[: MAX_NAME - len(suffix)].strip("_") + suffix
