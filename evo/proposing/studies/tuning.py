"""`tune`: all constants of a loss at once, by an evolution strategy on their logarithms.

(mu/mu, lambda) with mirrored samples: each generation trains `GENERATION` vectors of constants with one seed, the same for all of
them, and the mean of the better half, weighted by rank, is the centre of the next (Hansen, "The CMA Evolution Strategy", 2016,
without adaptation of the covariance: there are too few trainings). A mean of several vectors is less wrong than the best of them,
and nearer to the constants of the loss. The last centre is then compared with the loss itself on seeds that chose nothing, so the
difference is no result of the choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from evo.proposing.genetic.builder import rounded
from evo.proposing.genetic.refine import spine
from evo.proposing.studies.study import SEEDS, Conclusion, Paired, Study, Trial, form
from sandbox.graph.edits.edit import Edit
from sandbox.graph.edits.parts import Constant, constants
from sandbox.graph.loss_graph import VerifiedGraph

GENERATION = 8
"""Vectors of constants per generation, half of them mirrored."""
SPREAD = math.log(2.0)
"""Standard deviation of the logarithms in the first generation: a factor of two."""
NARROWER = 0.7
"""Factor on the spread from one generation to the next."""
SMALLEST, LARGEST = 1e-3, 50.0
"""Constants of other sizes guard against a division by zero or stand for infinity, and are left as they are."""
LEAST_TRAININGS = GENERATION + 2 * SEEDS


def tunable(graph: VerifiedGraph) -> tuple[Constant, ...]:
    """The constants that may be tuned: not those that only scale or shift the whole loss, and no whole exponents."""
    outer = spine(graph)
    usual = (c for c in constants(graph) if c.node not in outer and SMALLEST <= abs(c.value) <= LARGEST)
    # The square of a negative number is no special case, but its power 2.1 is not a number.
    return tuple(c for c in usual if graph.nodes[c.node].op != "pow" or not float(c.value).is_integer())


def tuning(graph: VerifiedGraph, seed: int, seeds: Sequence[int], trainings: int) -> Study:
    """The study: at most `trainings` trainings, at least LEAST_TRAININGS. `seed`: of the samples; `seeds`: of the trainings."""
    places, rng = tunable(graph), Random(seed)
    deciding, choosing = seeds[:SEEDS], seeds[SEEDS:]
    centre, spread = [0.0] * len(places), SPREAD
    for generation in range((trainings - 2 * SEEDS) // GENERATION):
        steps = [[rng.gauss(0.0, spread) for _ in places] for _ in range(GENERATION // 2)]
        vectors = [[c + sign * s for c, s in zip(centre, step, strict=True)] for step in steps for sign in (1, -1)]
        trials = [_trial(graph, places, vector, choosing[generation % len(choosing)]) for vector in vectors]
        able = [k for k, trial in enumerate(trials) if trial is not None]
        scores = yield [trial for trial in trials if trial is not None]
        scored = sorted(((score, -k) for k, score in zip(able, scores, strict=True) if score is not None), reverse=True)
        centre = _mean([vectors[-k] for _, k in scored[: GENERATION // 2]], centre)
        spread *= NARROWER
    edits = _edits(places, centre)
    changed = form(graph, edits, deciding) if edits else None
    whole = form(graph, (), deciding)
    if changed is None or whole is None:
        return Conclusion(None, "No improvement: no other constants were found that give a loss that trains.")
    found = yield [*changed, *whole]
    difference = Paired.of(found[:SEEDS], found[SEEDS:])
    if difference is None or not difference.gains:
        told = "a training failed" if difference is None else f"{difference.text} on {SEEDS} seeds"
        return Conclusion(None, f"No improvement past the noise by other constants: {told}.")
    words = ", ".join(f"{place.value:g} to {edit.value:g}" for place, edit in _changes(places, edits))
    return Conclusion(edits, f"Tuned constants: {words}; {difference.text} on {SEEDS} seeds.")


def _trial(graph: VerifiedGraph, places: Sequence[Constant], vector: Sequence[float], seed: int) -> Trial | None:
    made = form(graph, _edits(places, vector), (seed,))
    return None if made is None else made[0]


def _edits(places: Sequence[Constant], vector: Sequence[float]) -> tuple[Edit, ...]:
    """The edits that multiply each constant by the exponential of its entry; constants that stay the same have none."""
    values = [rounded(place.value * math.exp(entry)) for place, entry in zip(places, vector, strict=True)]
    return tuple(place.to(value) for place, value in zip(places, values, strict=True) if value != place.value)


def _changes(places: Sequence[Constant], edits: Sequence[Edit]) -> list[tuple[Constant, Edit]]:
    by_place = {(edit.node, edit.slot): edit for edit in edits}
    return [(place, by_place[place.node, place.slot]) for place in places if (place.node, place.slot) in by_place]


def _mean(best: Sequence[Sequence[float]], otherwise: list[float]) -> list[float]:
    """Mean of vectors in order of rank, with the weights log(n + 1/2) - log(rank); `otherwise` without any."""
    weights = [math.log(len(best) + 0.5) - math.log(rank) for rank in range(1, len(best) + 1)]
    columns = zip(*best, strict=True)
    return [sum(w * x for w, x in zip(weights, c, strict=True)) / sum(weights) for c in columns] or otherwise
