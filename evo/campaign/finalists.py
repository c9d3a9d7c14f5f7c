"""What the final records before its trainings: its seeds, and which published losses the finalists are, or are close to.

The seeds come from the operating system when the final begins. Everything else in a run derives from its public seed, so whoever
writes a loss could know beforehand which labels will be flipped and which log-probabilities the reference will give, and
write a loss that looks them up.

A finalist that is nearly a seed loss at another beta must be better than that loss at that beta, so the final trains it
there too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.final import SEEDS
from evo.search.population import Population
from fitness.schedule.ladder import OWN, Seeds, Tuning
from fitness.task.protocol import TaskInfo
from sandbox.identity.relation import Kind, Relation


def fresh(seeds: Seeds, wanted: int) -> Seeds:
    """`seeds` with at least `wanted` of the final: first those that the archive has, then new ones that nobody could foresee."""
    final = dict.fromkeys(seeds.final)
    while len(final) < wanted:
        seed = secrets.randbelow(SEEDS)
        if seed not in seeds.search:
            final[seed] = None
    return replace(seeds, final=tuple(final))


def final_event(
    rung: str, seeds: Sequence[int], relations: Mapping[int, Relation | None], info: TaskInfo, grid: Sequence[Tuning]
) -> dict[str, Any]:
    """The payload of that event. `relations` are null where a comparison with the published losses failed; `grid` is what the
    baseline is tuned over, before it is widened."""
    return {
        "rung": rung,
        "seeds": list(seeds),
        "beta": info.beta,
        "learning_rate": info.learning_rate,
        "grid": [list(tuning) for tuning in grid],
        "relations": {str(id): relation and relation.to_json() for id, relation in relations.items()},
    }


def near_arms(relations: Mapping[int, Relation | None], population: Population) -> list[tuple[int, Tuning]]:
    """The seed losses, each at the beta at which a finalist is a variation of it, that the final trains as well."""
    seeds = {i.name: i.id for i in population.individuals.values() if i.is_seed_loss and i.trainable}
    arms = []
    for relation in relations.values():
        if relation is None or relation.kind is not Kind.NEAR:
            continue
        (part,) = relation.parts
        beta = population.info.beta
        if part.name in seeds and beta is not None and part.beta_factor != 1.0:
            arms.append((seeds[part.name], (float(f"{beta * part.beta_factor:.6g}"), None)))
    return [arm for arm in dict.fromkeys(arms) if arm[1] != OWN]
