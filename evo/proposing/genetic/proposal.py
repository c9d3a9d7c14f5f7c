"""What goes into the genetic operators and what comes out."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from sandbox.graph.loss_graph import VerifiedGraph

MAX_NAME = 48
"""Characters of a proposal's name."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A loss that a proposal starts from, and the name it is known by."""

    graph: VerifiedGraph
    name: str = "loss"


@dataclass(frozen=True, slots=True)
class GeneticProposal:
    """A new loss. `name` is a Python identifier, `thought` one plain sentence with the numbers of what was done."""

    graph: VerifiedGraph
    name: str
    thought: str


class Genetic(Protocol):
    """What the built-in proposer does for an operator: a pure function of the generator's state and its arguments.

    `parents` has at least one, but for operators that need none. `rules` are the codes of the findings that refused the parents.
    """

    def __call__(
        self, rng: Random, contract: str, parents: Sequence[Parent], rules: Collection[str]
    ) -> GeneticProposal: ...


def stem(name: str) -> str:
    """The part of a name that its descendants keep: without what earlier operators appended."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    head = plain.split("__")[0]
    return head if head and head[0].isalpha() else f"loss_{head}".rstrip("_")


def named(base: str, tag: str = "") -> str:
    """An identifier of at most MAX_NAME characters from a base and what was done to it."""
    suffix = f"__{tag}" if tag else ""
    return base[: MAX_NAME - len(suffix)].strip("_") + suffix
