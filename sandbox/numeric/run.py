"""The numeric unit tests: refuse what cannot train, describe the rest. All on the graph, never on candidate code (torch).

Covered: everything a gradient step sees of the loss at fixed probes and at others drawn from a seed that the author cannot
know, in float32 as training computes it, over the range of `measure.inputs`, at the start, where log-probabilities are equal, at
round betas and drawn ones from 0.005 to 2.5, on both sides of every comparison and clamp; at batches of 1 to 64 items, of a
loss that looks across the batch up to 512. That a loss looks at one item at a time, and that an item's place is of no
account, is proved from the graph (`dataflow`, `equivariance`), or noted as not shown. Not covered: what a loss does at inputs
that no probe comes near, such as a smooth spike of width 1e-6; such a loss cannot do harm beyond training badly.

The same loss gets the same verdict whatever the seed: fixed probes decide what is close to a threshold, every note and every
descriptor. Drawn ones only refuse, and only well beyond the thresholds, or where something is not finite.
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
    """What the numeric tests found. The same seed gives the same report."""

    findings: tuple[Finding, ...]
    seed: int
    descriptors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def passed(self) -> bool:
        """Whether nothing refuses the loss."""
        return all(f.severity is not Severity.REFUSE for f in self.findings)


Checks = Callable[[Evaluator, int], tuple[list[Finding], dict[str, Any]]]
"""The numeric tests of a contract: findings and descriptors of a graph, with probes drawn from a seed."""


@cache
def _checks_of(contract: str) -> Checks:
    checks: Checks = resolve(contract_named(contract).checks, f"contract {contract!r}: checks")
    return checks


class _Seeds:
    """Seeds from the operating system. Each serves a few candidates, since drawing probes takes as long as testing.

    A candidate is written before its seed is drawn, so no author knows it; that a few share one helps nobody, since the
    findings that could betray a seed's probes come back when it is nearly used up.
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
            warnings.simplefilter("ignore", UserWarning)  # of torch, about what is a finding here
            findings, descriptors = _checks_of(graph.contract)(evaluator, seed)
    except NotFinite as error:
        return ProbeReport((error.finding,), seed)
    except CannotCompute as error:
        return ProbeReport((numeric_finding("SBX301", f"the loss cannot be computed: {error}"),), seed)
    if any(f.severity is Severity.REFUSE for f in findings):
        return ProbeReport(tuple(findings), seed)
    described = {name: finite_or_null(value) for name, value in descriptors.items()}
    return ProbeReport(tuple(findings), seed, MappingProxyType(described))
