"""`simplify`: the loss without the parts whose removal costs nothing past the noise.

Every part (terms, factors, operations, branches) is removed alone and compared with the whole loss on the same seeds. Those whose
removal costs nothing are then removed together; as long as that costs something, the one that alone did worst stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from evo.proposing.studies.study import SEEDS, Conclusion, Paired, Study, Trial, form
from sandbox.graph.edits.edit import Edit, edited
from sandbox.graph.edits.parts import Part, PartKind, parts
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash

LEAST_TRAININGS = 3 * SEEDS


def removable(graph: VerifiedGraph) -> tuple[Part, ...]:
    """The parts of a loss without which it has fewer operations, largest saving first; one of several that leave the same loss."""
    found: dict[str, tuple[int, Part]] = {}
    for part in parts(graph):
        rest = edited(graph, [part.edit])
        if part.kind is not PartKind.CONSTANT and rest.operations < graph.operations:
            found.setdefault(canonical_hash(rest), (rest.operations, part))
    return tuple(part for _, part in sorted(found.values(), key=lambda entry: entry[0]))


def simplifying(graph: VerifiedGraph, seeds: Sequence[int], trainings: int) -> Study:
    """The study: at most `trainings` trainings, at least LEAST_TRAININGS; parts for which they do not suffice are not looked at."""
    deciding = seeds[:SEEDS]
    tried = removable(graph)[: (trainings - SEEDS) // SEEDS]
    left = trainings - SEEDS * (1 + len(tried))
    alone = [form(graph, (part.edit,), deciding) or [] for part in tried]
    whole = form(graph, (), deciding)
    assert whole is not None
    scores = yield [*whole, *(trial for trials in alone for trial in trials)]
    reference, scores = scores[:SEEDS], scores[SEEDS:]
    free: list[tuple[float, Part, Paired]] = []
    for number, part in enumerate(tried):
        difference = Paired.of(scores[number * SEEDS : (number + 1) * SEEDS], reference)
        if difference is not None and difference.costs_nothing:
            free.append((difference.mean, part, difference))
    free.sort(key=lambda entry: entry[0], reverse=True)
    while len(free) > 1 and left >= SEEDS:
        together = _smaller(graph, [part.edit for _, part, _ in free], deciding)
        if together is not None:
            left -= SEEDS
            difference = Paired.of((yield together), reference)
            if difference is not None and difference.costs_nothing:
                return _found([part for _, part, _ in free], difference)
        free.pop()
    if not free:
        return Conclusion(
            None, f"No improvement: without any one of {len(tried)} parts the loss is worse past the noise."
        )
    _, part, difference = min(free, key=lambda entry: tried.index(entry[1]))
    return _found([part], difference)


def _smaller(graph: VerifiedGraph, edits: Sequence[Edit], seeds: Sequence[int]) -> list[Trial] | None:
    """The trials of the loss without several parts; None if it would be no valid loss or none of another function."""
    trials = form(graph, edits, seeds)
    return trials if trials and trials[0].graph.operations < graph.operations else None


def _found(removed: Sequence[Part], difference: Paired) -> Conclusion:
    words = ", ".join(f"{part.kind} {part.text} ({part.change})" for part in removed)
    return Conclusion(
        tuple(part.edit for part in removed),
        f"Without parts that cost nothing past the noise: {words}; {difference.text} on {SEEDS} seeds.",
    )
