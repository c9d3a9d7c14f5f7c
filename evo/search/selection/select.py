"""Operator and parent selection: the operator, island, parents and sampling temperature of a step.

`choose` is a pure function of a snapshot of the population, a random generator and the step, so a replay makes the same choices.
Its parts:

- Islands. A member belongs to the island that it was proposed for. Seed losses belong to all islands. Every `migration_every`
  members, the best of each island also joins the next island in a ring.
- Grid (`grid`). Members are sorted into cells by their descriptors (shape of the loss, tails, inputs); each cell keeps its best.
  Parents drawn from the grid differ from each other in shape, and are not always the fittest.
- Elites. The best few candidates of the whole population.
- Noise (`beliefs`). Fitness is shrunk towards the mean of the population according to its standard error, and then sampled from
  its posterior (Thompson 1933), so that one high score by chance does not dominate selection.
- Use. A parent's weight decreases with the number of its children.
- Bandit (`bandit`). An operator's weight depends on the rewards of its children: for being accepted, and for being better than
  their parents relative to the noise. Older outcomes are discounted, since the best operator changes during a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from archive.records import Role
from evo.search.operators import role_of
from evo.search.selection.bandit import draw_operator, draw_temperature
from evo.search.selection.beliefs import fitness_posteriors, middle_and_variance, ranked
from evo.search.selection.grid import cell, grid
from evo.search.selection.members import Member, SelectionSettings, fitness_of, measured


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice for a step."""

    operator: str
    island: int
    parents: tuple[int, ...]
    """Candidate ids, the most important parent first; empty if there are none."""
    temperature: float


def choose(members: Sequence[Member], rng: Random, step: int, settings: SelectionSettings) -> Choice:
    """Operator, island, parents and temperature of a step. `members` in order of creation."""
    island = step % settings.islands
    pool = ParentPool(residents(members, island, settings), members, settings)
    refused = repairable(members, island, settings)
    able = len(pool.able)
    available = {Role.REFINED: able, Role.COMBINED: able, Role.REPAIRED: len(refused)}
    operator = draw_operator(rng, members, available, settings)
    temperature = draw_temperature(rng, members, operator.name, settings)
    match operator.role:
        case Role.EXPLORED_FROM:
            parents = pool.draw_diverse(rng, operator.parents)
        case Role.REPAIRED:
            parents = tuple(m.candidate_id for m in refused[: operator.parents])
        case _:
            parents = pool.draw(rng, operator.parents)
    return Choice(operator.name, island, parents, temperature)


def residents(members: Sequence[Member], island: int, settings: SelectionSettings) -> tuple[Member, ...]:
    """The members of an island, including refused and failed ones: seed losses, its own members, and migrants."""
    found = {m.candidate_id: m for m in members if m.operator is None or m.island % settings.islands == island}
    if settings.islands > 1 and settings.migration_every:
        origin, best = (island - 1) % settings.islands, None
        for births, m in enumerate(members, 1):
            native = m.operator is not None and m.island % settings.islands == origin and measured(m)
            if native and (best is None or _lower_bound(m) > _lower_bound(best)):
                best = m
            if best is not None and births % settings.migration_every == 0:
                found[best.candidate_id] = best
    return tuple(sorted(found.values(), key=lambda m: m.candidate_id))


def repairable(members: Sequence[Member], island: int, settings: SelectionSettings) -> tuple[Member, ...]:
    """Refused members of an island without an attempted repair, the latest first, of the last `repair_window` members.

    A refused repair is not repaired again: a second attempt rarely succeeds where the first failed.
    """
    tried = {p for m in members if role_of(m.operator) is Role.REPAIRED for p in m.parents}
    recent = members[-settings.repair_window :]
    return tuple(
        m
        for m in reversed(recent)
        if m.rules
        and role_of(m.operator) is not Role.REPAIRED
        and m.island % settings.islands == island
        and m.candidate_id not in tried
    )


def _lower_bound(member: Member) -> float:
    """Fitness minus one standard error, so that a high score by chance does not decide about migration."""
    return fitness_of(member) - (member.standard_error or 0.0)


class ParentPool:
    """The possible parents of an island's proposals, and draws from them."""

    def __init__(self, residents: Sequence[Member], members: Sequence[Member], settings: SelectionSettings) -> None:
        self.settings = settings
        self.posteriors = fitness_posteriors(members, settings.shrinkage)
        scored = [m for m in residents if measured(m)]
        # Before anything is measured, every accepted member may be a parent.
        self.able = scored or [m for m in residents if m.usable]
        self.cells = list(grid(members, settings).values())
        self.elites = ranked(members, settings.shrinkage)[: settings.elites]

    def draw(self, rng: Random, count: int) -> tuple[int, ...]:
        """Up to `count` different parents. Members of a cell that is drawn already have a lower weight."""
        chosen: list[Member] = []
        for _ in range(count):
            group = [m for m in self._group(rng) if m not in chosen] or [m for m in self.able if m not in chosen]
            if not group:
                break
            chosen.append(rng.choices(group, self._weights(rng, group, chosen))[0])
        return tuple(m.candidate_id for m in chosen)

    def draw_diverse(self, rng: Random, count: int) -> tuple[int, ...]:
        """Up to `count` parents from different cells of the grid, best first; any members if there is no grid."""
        pool = self.cells or self.able
        picked = rng.sample(pool, min(count, len(pool)))
        ids = [m.candidate_id for m in picked]
        return tuple(sorted(ids, key=lambda i: (-self.posteriors[i].mean if i in self.posteriors else 0.0, i)))

    def _group(self, rng: Random) -> Sequence[Member]:
        u = rng.random()
        if u < self.settings.grid_share and self.cells:
            return [rng.choice(self.cells)]
        if u < self.settings.grid_share + self.settings.elite_share and self.elites:
            return self.elites
        return self.able

    def _weights(self, rng: Random, group: Sequence[Member], chosen: Sequence[Member]) -> list[float]:
        draws = [self._sampled_fitness(rng, m) for m in group]
        means = [posterior.mean for posterior in self.posteriors.values()]
        spread = math.sqrt(middle_and_variance(means)[1]) if means else 0.0
        best = max(draws)
        taken = {cell(m, self.settings.axes) for m in chosen} if self.settings.grid else set()
        return [
            math.exp(self.settings.inverse_temperature * (d - best) / spread if spread else 0.0)
            / (1 + m.uses) ** self.settings.use_penalty
            * (0.3 if cell(m, self.settings.axes) in taken else 1.0)
            for m, d in zip(group, draws, strict=True)
        ]

    def _sampled_fitness(self, rng: Random, member: Member) -> float:
        posterior = self.posteriors.get(member.candidate_id)
        noise = rng.gauss(0.0, 1.0)  # drawn in any case, so that the stream of random numbers stays the same
        width = self.settings.exploration if self.settings.thompson else 0.0
        return posterior.mean + width * noise * posterior.stdev if posterior else 0.0
