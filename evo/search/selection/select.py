"""Operator and parent selection: the operator, island, parents, proposer and sampling temperature of a step.

`choose` is a pure function of a snapshot of the population, a random generator and the step, so a replay makes the same choices.
Its parts:

- Islands. A member belongs to the island that it was proposed for. Seed losses belong to all islands. Every `migration_every`
  members, the best of each island also joins the next island in a ring.
- Grid (`grid`). Members are sorted into cells by their descriptors (shape of the loss, tails, inputs); each cell keeps its best.
  Parents drawn from the grid differ from each other in shape, and compete with one member of each other shape alone.
- Elites. The best few candidates of the whole population.
- Noise (`beliefs`). Fitness is shrunk towards the mean of the population according to its standard error, and then sampled from
  its posterior (Thompson 1933), so that one high score by chance does not dominate selection.
- People. Banned members are no parents; `pinned_share` of the parents are drawn from the pinned members.
- Use. A parent's weight decreases with the number of its children.
- Bandit (`bandit`). The weight of an operator, of a proposer, and of a proposer's temperature depends on the rewards of their
  children: for being accepted, and for what they gained on their parents, in units of the noise; a proposer's also on its cost.
  Older outcomes are discounted, since the best operator changes during a run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

import numpy as np

from archive.records import Role
from evo.search.operators import role_of
from evo.search.selection.bandit import draw_operator, draw_proposer, draw_temperature, rewards, standing
from evo.search.selection.beliefs import fitness_posteriors, ranked
from evo.search.selection.columns import Floats, Members, Positions
from evo.search.selection.grid import grid
from evo.search.selection.members import Member, SelectionSettings

SELECTION, SELECTION_VERSION = "selection", 4
"""Key and version that a session records. The version is raised when equal states lead to other choices; missing: 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice for a step."""

    operator: str
    island: int
    parents: tuple[int, ...]
    """Candidate ids, the most important parent first; empty if there are none."""
    temperature: float
    proposer: str
    standing: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """What the bandit knows of the proposers (`bandit.standing`)."""


def choose(
    members: Sequence[Member],
    rng: Random,
    step: int,
    settings: SelectionSettings,
    unavailable: Collection[str] = (),
) -> Choice:
    """Operator, island, parents, proposer and temperature of a step. `members` in order of creation.

    `unavailable`: names of proposers that cannot be asked now.
    """
    members = Members.of(members, settings.axes)
    island = step % settings.islands
    pool = ParentPool(members, island, settings)
    refused = repairable(members, island, settings)
    able = len(pool.able)
    available = {Role.REFINED: able, Role.COMBINED: able, Role.REPAIRED: len(refused)}
    outcomes = rewards(members, settings)
    operator = draw_operator(rng, outcomes, available, settings)
    proposer = draw_proposer(rng, outcomes, operator, settings, unavailable)
    temperature = draw_temperature(rng, outcomes, proposer, settings)
    match operator.role:
        case Role.EXPLORED_FROM:
            parents = pool.draw_diverse(rng, operator.parents)
        case Role.REPAIRED:
            parents = refused[: operator.parents]
        case _:
            parents = pool.draw(rng, operator.parents)
    return Choice(operator.name, island, parents, temperature, proposer.name, standing(outcomes, settings))


def residents(members: Members, island: int, settings: SelectionSettings) -> Positions:
    """Positions of an island's members, including refused and failed ones: seed losses, its own members, and migrants."""
    rows = members.columns
    homes = rows["island"] % settings.islands
    found = ~rows["proposed"] | (homes == island)
    if settings.islands > 1 and settings.migration_every:
        native = rows["proposed"] & (homes == (island - 1) % settings.islands) & members.measured & ~rows["banned"]
        # Fitness minus one standard error, so that a high score by chance does not decide about migration.
        bound = np.where(native, rows["fitness"] - np.nan_to_num(rows["error"], nan=0.0), -math.inf)
        best_so_far = np.maximum.accumulate(bound)
        leads = np.flatnonzero(bound > np.concatenate([[-math.inf], best_so_far[:-1]]))
        at = np.arange(settings.migration_every - 1, len(members), settings.migration_every)
        leader = np.searchsorted(leads, at, side="right") - 1
        found[leads[leader[leader >= 0]]] = True
    return np.flatnonzero(found)


def repairable(members: Members, island: int, settings: SelectionSettings) -> tuple[int, ...]:
    """Ids of refused members of an island without an attempted repair, the latest first, of the last `repair_window` members.

    A refused repair is not repaired again: a second attempt rarely succeeds where the first failed.
    """
    first = max(0, len(members) - settings.repair_window)
    refused = first + np.flatnonzero(~members.columns["usable"][first:])
    return tuple(
        m.candidate_id
        for m in (members[at] for at in reversed(refused.tolist()))
        if m.rules
        and not m.banned
        and role_of(m.operator) is not Role.REPAIRED
        and m.island % settings.islands == island
        and m.candidate_id not in members.repaired
    )


class ParentPool:
    """The possible parents of an island's proposals, by position, and draws from them."""

    def __init__(self, members: Members, island: int, settings: SelectionSettings) -> None:
        self.settings = settings
        self.columns = members.columns
        believed, banned = fitness_posteriors(members, settings.shrinkage), self.columns["banned"]
        # Without the banned ones, so that neither the grid nor the elites hold them.
        self.posteriors = believed._replace(mean=np.where(banned, math.nan, believed.mean))
        local = residents(members, island, settings)
        local = local[~banned[local]]
        scored = local[members.measured[local]]
        # Before anything is measured, every accepted member may be a parent.
        self.able: Positions = scored if scored.size else local[self.columns["usable"][local]]
        self.cells = grid(members, self.posteriors, settings)
        self.elites = ranked(self.posteriors, most=settings.elites)
        self.pinned: Positions = np.flatnonzero(self.columns["pinned"] & self.columns["usable"] & ~banned)

    def draw(self, rng: Random, count: int) -> tuple[int, ...]:
        """Ids of up to `count` different parents. Members of a cell that is drawn already have a lower weight."""
        chosen: list[int] = []
        for _ in range(count):
            group = _without(self._group(rng), chosen)
            group = group if group.size else _without(self.able, chosen)
            if not group.size:
                break
            chosen.append(int(group[_drawn(rng, self._weights(rng, group, chosen))]))
        return self._ids(chosen)

    def draw_diverse(self, rng: Random, count: int) -> tuple[int, ...]:
        """Ids of up to `count` parents from different cells of the grid, best first; of any members if there is no grid."""
        pool = self.cells if self.cells.size else self.able
        picked = [int(pool[k]) for k in rng.sample(range(len(pool)), min(count, len(pool)))]
        if self._draws_pinned(rng) and picked:
            pinned = int(rng.choice(self.pinned))
            picked = picked if pinned in picked else [pinned, *picked[1:]]
        means = np.nan_to_num(self.posteriors.mean[picked], nan=0.0)
        return self._ids([at for _, at in sorted(zip(-means, picked, strict=True))])

    def _ids(self, positions: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(self.columns["id"][at]) for at in positions)

    def _draws_pinned(self, rng: Random) -> bool:
        # Without pins no number is drawn, so that the choices of runs without them stay the same.
        return bool(self.pinned.size) and rng.random() < self.settings.pinned_share

    def _group(self, rng: Random) -> Positions:
        if self._draws_pinned(rng):
            return self.pinned
        u = rng.random()
        if u < self.settings.grid_share and self.cells.size:
            return self.cells
        if u < self.settings.grid_share + self.settings.elite_share and self.elites.size:
            return self.elites
        return self.able

    @cached_property
    def _spread(self) -> float:
        return self.posteriors.spread

    def _weights(self, rng: Random, group: Positions, chosen: Sequence[int]) -> Floats:
        """Weights of a group: by sampled fitness, number of children, and whether another parent is of the same cell."""
        # A generator of its own: the random numbers of one draw cost microseconds, and the stream of `rng` does not depend on
        # their number. RandomState, since its numbers stay the same in every version of numpy.
        noise = np.random.RandomState(rng.getrandbits(32)).standard_normal(len(group))
        mean, deviation = (np.nan_to_num(column[group], nan=0.0) for column in self.posteriors)
        drawn = mean + (self.settings.exploration * noise * deviation if self.settings.thompson else 0.0)
        columns = self.columns
        ahead = (drawn - drawn.max()) / self._spread if self._spread else np.zeros(len(group))
        taken = (
            np.isin(columns["cell"][group], columns["cell"][list(chosen)]) if self.settings.grid and chosen else False
        )
        return np.asarray(
            np.exp(self.settings.inverse_temperature * ahead)
            / (1 + columns["uses"][group]) ** self.settings.use_penalty
            * np.where(taken, 0.3, 1.0)
        )


def _without(group: Positions, chosen: Sequence[int]) -> Positions:
    return group[~np.isin(group, chosen)] if chosen else group


def _drawn(rng: Random, weights: Floats) -> int:
    """A random index, with these weights."""
    sums = np.cumsum(weights)
    return min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(weights) - 1)
