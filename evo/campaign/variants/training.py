"""Variants of a candidate: record one, vet it, train it with one seed. Each step is recorded when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archive.spending import TO_JUDGE
from archive.store import Archive
from archive.variants import VariantRow
from evo.campaign.training import TaskUnusable, kept_items, recorded
from fitness.task.protocol import EvaluationFailed, FailureReason
from fitness.workers.pool import WorkerPool
from sandbox.graph.edits.edit import Edit
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash
from sandbox.vetting.pool import VetPool

Defer = Callable[[int, EvaluationFailed], bool]
"""Takes a seed and the failure of its training. Returns True if it takes over the failure, which is then not recorded here."""


def add_variant(archive: Archive, candidate: int, purpose: str, edits: Sequence[Edit], graph: VerifiedGraph) -> int:
    """Record a variant, and return its id; that of the recorded one if it is there. `graph` has the edits applied."""
    return archive.variants.add(
        candidate, purpose, [edit.to_json() for edit in edits], graph.to_json(), canonical_hash(graph)
    )


def vet_variant(archive: Archive, vetter: VetPool, variant: int, graph: VerifiedGraph) -> bool:
    """Vet a variant like any candidate, record the result, and return whether it may be trained."""
    verdict = vetter.vet_graph(graph)
    archive.variants.vet(variant, verdict.status.value, [finding.rule for finding in verdict.refusals])
    return verdict.accepted


async def train_variant(
    archive: Archive, workers: WorkerPool, variant: VariantRow, graph: VerifiedGraph, rung: str, seed: int,
    *, beta: float | None = None, learning_rate: float | None = None, defer: Defer = lambda seed, failure: False,
) -> float | None:  # fmt: skip
    """Train and score once and record the result. The caller checks that the archive does not have it.

    Returns the fitness, None if the training failed. Raises TaskUnusable; then only what a judge was paid is recorded.
    """
    try:
        result = await workers.score(graph, rung, seed, beta=beta, learning_rate=learning_rate)
    except EvaluationFailed as failure:
        if failure.reason is FailureReason.BAD_DATA:
            if failure.paid:
                archive.charge(TO_JUDGE, recorded(failure.paid))
            raise TaskUnusable(failure.detail) from None
        if not defer(seed, failure):
            record_variant_failure(archive, variant.id, rung, seed, failure, beta=beta, learning_rate=learning_rate)
        return None
    archive.variants.score(
        variant.id, rung, seed, result.fitness, result.metrics, result.seconds, beta=beta, learning_rate=learning_rate,
        items=kept_items(result, rung, workers.info), judged=recorded(result.paid) if result.paid else None,
    )  # fmt: skip
    return result.fitness


def record_variant_failure(
    archive: Archive, variant: int, rung: str, seed: int, failure: EvaluationFailed,
    *, beta: float | None = None, learning_rate: float | None = None,
) -> None:  # fmt: skip
    """Record a failed training, with what its judge was paid."""
    judged = recorded(failure.paid) if failure.paid else None
    archive.variants.fail(
        variant, rung, seed, failure.reason.value, failure.detail, beta=beta, learning_rate=learning_rate, judged=judged
    )
