"""Operator and parent selection: the operator, island, parents and sampling temperature of a step.

`choose` is a pure function of a snapshot of the population, a generator and the step, so a recorded run chooses the same
again. The parts:

- Islands. A member belongs to the island that it was proposed for. Seed losses belong to all of them, and every
  `migration_every` births each island's best joins the next island in a ring.
- Grid (`grid`). Members fall into cells by their descriptors (shape of the loss, tails, inputs); each cell keeps its best.
  Parents drawn from the grid differ from each other, though they may not be the fittest.
- Elites. The best few of the whole population.
- Noise (`beliefs`). Fitness is shrunk towards the population's mean by its standard error and sampled from what remains
  uncertain (Thompson 1933), so one lucky seed does not make a parent of everything.
- Use. A parent's weight falls with the number of its children.
- Bandit (`bandit`). An operator's weight follows the rewards of its children: accepted at all, and better than their parents
  in units of the noise. Older outcomes are discounted at a constant rate, since what pays early does not pay late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import pvariance

from archive.records import Role
from evo.search.operators import role_of
from evo.search.selection.bandit import draw_operator, draw_temperature
from evo.search.selection.beliefs import ranked, shrunk
from evo.search.selection.grid import cell, grid
from evo.search.selection.members import SEED, Member, SelectionSettings, fitness_of, measured


@dataclass(frozen=True, slots=True)
class Choice:
    """What to propose next."""

    operator: str
    island: int
    parents: tuple[int, ...]
    """Candidate ids, the one that matters most first; none while there are none."""
    temperature: float


def choose(members: Sequence[Member], rng: Random, step: int, settings: SelectionSettings) -> Choice:
    """Operator, island, parents and temperature of a step. `members` in order of birth."""
    island = step % settings.islands
    pool = ParentPool(residents(members, island, settings), members, settings)
    broken = repairable(members, island, settings)
    able = len(pool.able)
    there = {Role.REFINED: able, Role.COMBINED: able, Role.REPAIRED: len(broken)}
    operator = draw_operator(rng, members, there, settings)
    temperature = draw_temperature(rng, members, operator.name, settings)
    match operator.role:
        case Role.EXPLORED_FROM:
            parents = pool.spread(rng, operator.parents)
        case Role.REPAIRED:
            parents = tuple(m.candidate_id for m in broken[: operator.parents])
        case _:
            parents = pool.draw(rng, operator.parents)
    return Choice(operator.name, island, parents, temperature)


def residents(members: Sequence[Member], island: int, settings: SelectionSettings) -> tuple[Member, ...]:
    """The members of an island, refused and failed ones too: seeds, natives, and those who came by migration."""
    found = {m.candidate_id: m for m in members if m.operator == SEED or m.island % settings.islands == island}
    if settings.islands > 1:
        origin, best = (island - 1) % settings.islands, None
        for births, m in enumerate(members, 1):
            native = m.operator != SEED and m.island % settings.islands == origin and measured(m)
            if native and (best is None or _at_least(m) > _at_least(best)):
                best = m
            if best is not None and births % settings.migration_every == 0:
                found[best.candidate_id] = best
    return tuple(sorted(found.values(), key=lambda m: m.candidate_id))


def repairable(members: Sequence[Member], island: int, settings: SelectionSettings) -> tuple[Member, ...]:
    """Refused members of an island, latest first, that no repair has been tried of; none after `repair_window`
    births. A refused repair is not repaired again: a second attempt seldom succeeds where the first failed."""
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


def _at_least(member: Member) -> float:
    """One standard error below the fitness: a migrant should be good, not lucky."""
    return fitness_of(member) - (member.standard_error or 0.0)


class ParentPool:
    """The parents that an island may draw from, with the weights that they are drawn by."""

    def __init__(self, residents: Sequence[Member], everyone: Sequence[Member], settings: SelectionSettings) -> None:
        self.settings = settings
        self.beliefs = shrunk(everyone)
        scored = [m for m in residents if measured(m)]
        # Before anything has been measured, every accepted member may be a parent.
        self.able = scored or [m for m in residents if m.usable]
        self.cells = list(grid(everyone, settings.axes).values())
        self.elites = ranked(everyone)[: settings.elites]

    def draw(self, rng: Random, count: int) -> tuple[int, ...]:
        """Up to `count` different parents; each further one is rather not of an earlier one's cell."""
        chosen: list[Member] = []
        for _ in range(count):
            group = [m for m in self._group(rng) if m not in chosen] or [m for m in self.able if m not in chosen]
            if not group:
                break
            chosen.append(rng.choices(group, self._weights(rng, group, chosen))[0])
        return tuple(m.candidate_id for m in chosen)

    def spread(self, rng: Random, count: int) -> tuple[int, ...]:
        """Up to `count` parents, best first, of cells as different as can be had."""
        pool = self.cells or self.able
        picked = rng.sample(pool, min(count, len(pool)))
        ids = [m.candidate_id for m in picked]
        return tuple(sorted(ids, key=lambda i: (-self.beliefs[i].mean if i in self.beliefs else 0.0, i)))

    def _group(self, rng: Random) -> Sequence[Member]:
        u = rng.random()
        if u < self.settings.grid_share and self.cells:
            return [rng.choice(self.cells)]
        if u < self.settings.grid_share + self.settings.elite_share and self.elites:
            return self.elites
        return self.able

    def _weights(self, rng: Random, group: Sequence[Member], chosen: Sequence[Member]) -> list[float]:
        draws = [self._drawn(rng, m) for m in group]
        spread = math.sqrt(pvariance(b.mean for b in self.beliefs.values())) if len(self.beliefs) > 1 else 0.0
        best = max(draws)
        taken = {cell(m, self.settings.axes) for m in chosen}
        return [
            math.exp(self.settings.inverse_temperature * (d - best) / spread if spread else 0.0)
            / (1 + m.uses) ** self.settings.use_penalty
            * (0.3 if cell(m, self.settings.axes) in taken else 1.0)
            for m, d in zip(group, draws, strict=True)
        ]

    def _drawn(self, rng: Random, member: Member) -> float:
        belief = self.beliefs.get(member.candidate_id)
        noise = rng.gauss(0.0, 1.0)
        return belief.mean + self.settings.exploration * noise * belief.stdev if belief else 0.0
