"""The numeric tests of a loss: refuse a loss that cannot be trained with, describe the others. They need torch.

They work on the graph and never on candidate code.

Covered: loss and gradients, in float32 as in training, at fixed probes and at probes drawn from a seed that the author cannot
know. The probes lie in the range of `measure.inputs`, at the start of training, where log-probabilities are equal, at round and
at drawn betas from 0.005 to 4, and on both sides of every comparison and clamp. Batches have 1 to 64 items, up to 512 for
losses that compare the items of a batch, whose margins are also as small as early in training. Further batches are as they occur
in a training, from its start to its end. The direction of a classification loss is tested for each of ten labels, and with up to
1,000 classes if the loss can tell how many there are. Two properties are proved from the graph (`dataflow`, `equivariance`), and
a note says so if the proof fails: that the loss of an item depends on this item only, and that it does not depend on the item's
position.

Not covered: inputs that no probe comes near, such as a smooth spike of width 1e-6. The only damage that such a loss can do is to
train badly.

The verdict does not depend on the seed. Fixed probes decide about notes, descriptors and everything that is close to a
threshold. Drawn probes can only refuse: if a value is not finite, or is far beyond a threshold.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from sandbox.contracts.contract import contract_named
from sandbox.contracts.references import resolve
from sandbox.execute.evaluate import CannotCompute, Evaluator
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.numeric.measure.descriptors import finite_or_null
from sandbox.numeric.measure.findings import numeric_finding
from sandbox.numeric.measure.finite import NotFinite
from sandbox.verdicts.verdict import Finding, Severity


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Findings and descriptors from the numeric tests. The same seed gives the same report."""

    findings: tuple[Finding, ...]
    seed: int
    descriptors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def passed(self) -> bool:
        """Whether no finding refuses the loss."""
        return all(f.severity is not Severity.REFUSE for f in self.findings)


Checks = Callable[[Evaluator, int], tuple[list[Finding], dict[str, Any]]]
"""The numeric tests of a contract: findings and descriptors of a graph, with probes drawn from a seed."""


@cache
def _checks_of(contract: str) -> Checks:
    checks: Checks = resolve(contract_named(contract).checks, f"contract {contract!r}: checks")
    return checks


class _Seeds:
    """Seeds from the operating system, each used for a few candidates, because drawing probes takes as long as testing.

    A candidate is written before its seed is drawn, so its author cannot know it. Sharing is safe: an author could learn about
    the probes of a seed from findings only, and when these arrive the seed is nearly used up.
    """

    def __init__(self, uses: int) -> None:
        self.uses = uses
        self.left = 0
        self.seed = 0

    def draw(self) -> int:
        """The seed for one more candidate."""
        if self.left <= 0:
            self.left, self.seed = self.uses, int.from_bytes(os.urandom(4), "big")
        self.left -= 1
        return self.seed


_SEEDS = _Seeds(16)


def run(graph: VerifiedGraph, *, seed: int | None = None) -> ProbeReport:
    """Test and describe `graph`. Without a seed one is drawn from the operating system; the report names it.

    Descriptors are empty where the loss is refused.
    """
    seed = _SEEDS.draw() if seed is None else seed
    evaluator = Evaluator.of(graph)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", UserWarning)  # torch warns of things that are findings here
            findings, descriptors = _checks_of(graph.contract)(evaluator, seed)
    except NotFinite as error:
        return ProbeReport((error.finding,), seed)
    except CannotCompute as error:
        return ProbeReport((numeric_finding("SBX301", f"the loss cannot be computed: {error}"),), seed)
    if any(f.severity is Severity.REFUSE for f in findings):
        return ProbeReport(tuple(findings), seed)
    described = {name: finite_or_null(value) for name, value in descriptors.items()}
    return ProbeReport(tuple(findings), seed, MappingProxyType(described))
