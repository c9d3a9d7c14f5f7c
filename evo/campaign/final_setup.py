"""Setup of the final, recorded before its trainings: the fresh seeds, and the relation of each finalist to the published losses.

The operating system draws the fresh seeds when the final begins. All other random numbers of a run derive from its public seed. The
author of a loss could therefore predict which labels are flipped and which log-probabilities the reference gives, and write a loss
that looks them up.

A finalist may be nearly equal to a seed loss at another beta. It must then be better than the seed loss at that beta, so the final
trains the seed loss at that beta too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.final import SEEDS
from archive.query import Reader
from evo.search.population import Population
from fitness.schedule.ladder import OWN, RaceEntry, Seeds, Tuning
from fitness.task.protocol import TaskInfo
from sandbox.identity.relation import Kind, Relation
from sandbox.vetting.pool import VetPool


def with_fresh_seeds(seeds: Seeds, wanted: int) -> Seeds:
    """`seeds` with at least `wanted` seeds of the final: first the recorded ones, then new ones from the operating system."""
    final = dict.fromkeys(seeds.final)
    while len(final) < wanted:
        seed = secrets.randbelow(SEEDS)
        if seed not in seeds.search:
            final[seed] = None
    return replace(seeds, final=tuple(final))


def final_event(
    rung: str, seeds: Sequence[int], relations: Mapping[int, Relation | None], info: TaskInfo, grid: Sequence[Tuning]
) -> dict[str, Any]:
    """The payload of the FINAL event.

    A relation is None if the comparison with the published losses failed. `grid` is the baseline's tuning grid before widening.
    """
    return {
        "rung": rung,
        "seeds": list(seeds),
        "beta": info.beta,
        "learning_rate": info.learning_rate,
        "grid": [list(tuning) for tuning in grid],
        "relations": {str(id): relation and relation.to_json() for id, relation in relations.items()},
    }


def relations_of(
    finalists: Sequence[RaceEntry], population: Population, reader: Reader, vetter: VetPool
) -> dict[int, Relation | None]:
    """Relation of each finalist, by candidate id, to the published losses, at the beta that it is trained with."""
    beta = population.info.beta
    graphs = {entry.candidate_id: population.losses.graph(entry.candidate_id, reader) for entry in finalists}
    return {id: vetter.nearest_known(graph, beta) for id, graph in graphs.items()}


def published_arms(relations: Mapping[int, Relation | None], population: Population) -> list[tuple[int, Tuning]]:
    """The extra arms of the final: each seed loss at the beta at which a finalist is nearly equal to it."""
    seeds = {i.name: i.id for i in population.recorded_seed_losses if i.trainable}
    arms = []
    for relation in relations.values():
        if relation is None or relation.kind is not Kind.NEAR:
            continue
        (part,) = relation.parts
        beta = population.info.beta
        if part.name in seeds and beta is not None and part.beta_factor != 1.0:
            arms.append((seeds[part.name], (float(f"{beta * part.beta_factor:.6g}"), None)))
    return [arm for arm in dict.fromkeys(arms) if arm[1] != OWN]
