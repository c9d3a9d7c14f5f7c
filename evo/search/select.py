"""Who is bred next, and how: operator, island, parents and temperature, from nothing but a snapshot of the population.

`choose` is a pure function of the snapshot, a generator and the step, so a recorded run chooses the same again. The parts:

- Islands. A member belongs to the island it was bred for. Seed losses live on all of them, and every `migration_every`
  births each island's best joins the next island in a ring.
- Grid. Members fall into cells by their descriptors (shape of the loss, tails, inputs); each cell keeps its best. Parents
  drawn from the grid are unlike, though perhaps not the fittest.
- Elites. The best few of the whole population.
- Noise. Fitness is shrunk towards the population's mean by its standard error and drawn from what remains uncertain
  (Thompson 1933), so a lucky single seed does not father everybody.
- Use. A parent's weight falls with the number of its children.
- Bandit. An operator's weight follows what its children were worth: accepted at all, and better than their parents in
  units of the noise. Older outcomes are forgotten at a constant rate, since what pays early does not pay late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations, product
from random import Random
from statistics import NormalDist, fmean, median, pvariance
from types import MappingProxyType
from typing import Any

from archive.records import Operator, Role
from evo.search.operators import BY_NAME, OPERATORS, SearchOperator, role_of

SEED = "seed"
"""Operator of the members that a population starts with."""

Cell = tuple[str, ...]


class Status(StrEnum):
    """What became of a member."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """By the sandbox."""
    DUPLICATE = "duplicate"
    """The same loss as an earlier one."""
    FAILED = "failed"
    """In training."""


@dataclass(frozen=True, slots=True)
class Member:
    """One candidate as selection sees it."""

    candidate_id: int
    island: int
    operator: str
    """`seed`, or the operator that bred it."""
    parents: tuple[int, ...]
    status: Status
    fitness: float | None = None
    """Larger is better; None until it has been measured."""
    standard_error: float | None = None
    """Of the fitness; None where it is not known."""
    descriptors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    rules: tuple[str, ...] = ()
    """Codes of the findings that refused it."""
    uses: int = 0
    """How many children it has."""
    arm: str = ""
    """`arm_name` of the choice that bred it; empty for a seed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to breed next."""

    operator: str
    island: int
    parents: tuple[int, ...]
    """Candidate ids, the one that matters most first; none while there is nobody to breed from."""
    temperature: float

    @property
    def arm(self) -> str:
        """The bandit's arm: see `Member.arm`."""
        return arm_name(self.operator, self.temperature)


@dataclass(frozen=True, slots=True)
class Settings:
    """How selection works. Shares and chances are in [0, 1]."""

    islands: int = 2
    """Sub-populations that evolve apart."""
    migration_every: int = 12
    """Births between two migrations."""
    temperatures: tuple[float, ...] = (1.0,)
    """Sampling temperatures to choose from."""
    priors: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({operator.name: operator.prior for operator in OPERATORS})
    )
    """Weight of each operator before anything has been learned; one that is left out is never chosen."""
    evidence: float = 2.0
    """How many outcomes an operator's first estimate is worth."""
    memory: float = 0.97
    """Weight that an outcome keeps with every later birth."""
    acceptance: float = 0.3
    """Share of the reward for being accepted; the rest is for being better than the parents."""
    exploration: float = 1.0
    """Standard deviations of optimism, for operators and for parents."""
    greed: float = 2.0
    """Power of an operator's worth in its weight: 0 ignores it, large values always take the best."""
    pressure: float = 2.0
    """How many times likelier a parent is that is one standard deviation of the population better, as a power of e."""
    use_penalty: float = 0.7
    """Power by which a parent's weight falls with 1 + its children."""
    grid_share: float = 0.25
    """How often a parent is drawn from the grid's cells, all equally likely."""
    elite_share: float = 0.15
    """How often a parent is drawn from the elites of all islands."""
    elites: int = 5
    """Size of the elite list."""
    repair_window: int = 12
    """How many births a refused member stays worth repairing."""
    axes: tuple[str, ...] = ("convex", "left_tail", "right_tail", "coupled", "margin_only")
    """Descriptors that span the grid: keys of `sandbox.numeric.measure.descriptors.DESCRIPTORS`."""

    def __post_init__(self) -> None:
        if self.islands < 1 or self.migration_every < 1 or not self.temperatures:
            raise ValueError(
                "expected at least one island, one birth between migrations and one temperature, got "
                f"{self.islands}, {self.migration_every} and {self.temperatures}"
            )


@dataclass(frozen=True, slots=True)
class Worth:
    """What is known of an arm: mean and standard deviation of its reward in [0, 1], and the outcomes behind them."""

    mean: float
    deviation: float
    outcomes: float


def arm_name(operator: str, temperature: float) -> str:
    """The bandit's name for an operator at a temperature."""
    return f"{operator}/{temperature}"


def choose(members: Sequence[Member], rng: Random, step: int, settings: Settings) -> Choice:
    """Operator, island, parents and temperature of a step. `members` in order of birth."""
    island = step % settings.islands
    pool = Pool(residents(members, island, settings), members, settings)
    broken = repairable(members, island, settings)
    operator = _operator(rng, members, pool, broken, settings)
    temperature = _temperature(rng, members, operator.name, settings)
    match operator.role:
        case Role.EXPLORED_FROM:
            parents = pool.spread(rng, operator.parents)
        case Role.REPAIRED:
            parents = tuple(m.candidate_id for m in broken[: operator.parents])
        case _:
            parents = pool.draw(rng, operator.parents)
    return Choice(operator.name, island, parents, temperature)


def residents(members: Sequence[Member], island: int, settings: Settings) -> tuple[Member, ...]:
    """Who lives on an island, refused and failed ones too: seeds, natives, and those who came by migration."""
    found = {m.candidate_id: m for m in members if m.operator == SEED or m.island % settings.islands == island}
    if settings.islands > 1:
        origin, best = (island - 1) % settings.islands, None
        for births, m in enumerate(members, 1):
            native = m.operator != SEED and m.island % settings.islands == origin and _measured(m)
            if native and (best is None or _at_least(m) > _at_least(best)):
                best = m
            if best is not None and births % settings.migration_every == 0:
                found[best.candidate_id] = best
    return tuple(sorted(found.values(), key=lambda m: m.candidate_id))


def repairable(members: Sequence[Member], island: int, settings: Settings) -> tuple[Member, ...]:
    """Refused members of an island, latest first, whose findings nobody has tried to mend; none after `repair_window`
    births. A refused repair is not repaired again: what one attempt did not mend seldom mends at the second."""
    tried = {p for m in members if role_of(m.operator) is Role.REPAIRED for p in m.parents}
    recent = members[-settings.repair_window :]
    return tuple(
        m
        for m in reversed(recent)
        if m.status is Status.REFUSED
        and m.rules
        and role_of(m.operator) is not Role.REPAIRED
        and m.island % settings.islands == island
        and m.candidate_id not in tried
    )


def ranked(members: Sequence[Member]) -> tuple[Member, ...]:
    """The measured ones by shrunk fitness, best first; ties go to the older one."""
    beliefs = shrunk(members)
    able = [m for m in members if _measured(m)]
    return tuple(sorted(able, key=lambda m: (-beliefs[m.candidate_id].mean, m.candidate_id)))


def grid(members: Sequence[Member], axes: Sequence[str]) -> dict[Cell, Member]:
    """The best member of each cell, best cells first."""
    found: dict[Cell, Member] = {}
    for m in ranked(members):
        found.setdefault(cell(m, axes), m)
    return found


def cell(member: Member, axes: Sequence[str]) -> Cell:
    """Where a member falls in the grid: one word per descriptor, `-` where it was not measured."""
    return tuple(_bin(member.descriptors.get(axis)) for axis in axes)


def gap(members: Sequence[Member], rng: Random, settings: Settings) -> dict[str, str]:
    """Two descriptors of the grid with values that no measured member has together, though each has been seen alone;
    empty where there are none. What an explorer may be asked to aim at."""
    cells = set(grid(members, settings.axes))
    seen = [sorted({c[k] for c in cells} - {"-"}) for k in range(len(settings.axes))]
    missing = [
        {settings.axes[i]: a, settings.axes[j]: b}
        for i, j in combinations(range(len(settings.axes)), 2)
        for a, b in product(seen[i], seen[j])
        if not any(c[i] == a and c[j] == b for c in cells)
    ]
    return rng.choice(missing) if missing else {}


def _bin(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return "0" if abs(value) < 1e-9 else f"{'+' if value > 0 else '-'}{math.floor(math.log10(abs(value)))}"
    return "-" if value is None else str(value)


def _measured(member: Member) -> bool:
    return member.status is Status.ACCEPTED and member.fitness is not None and math.isfinite(member.fitness)


def shrunk(members: Sequence[Member]) -> dict[int, NormalDist]:
    """What is believed of each measured member's true fitness, by candidate id.

    Normal prior with the population's mean and the variance that its standard errors do not explain (empirical Bayes);
    an unknown standard error counts as the population's own spread.
    """
    able = [m for m in members if _measured(m)]
    if not able:
        return {}
    fitness = [_fitness(m) for m in able]
    middle, total = fmean(fitness), pvariance(fitness)
    known = [m.standard_error**2 for m in able if m.standard_error is not None]
    true = max(total - (fmean(known) if known else total / 2), 0.1 * total, 1e-12)
    beliefs = {}
    for m in able:
        noise = m.standard_error**2 if m.standard_error is not None else max(total, 1e-12)
        trust = true / (true + noise)
        mean = middle + trust * (_fitness(m) - middle)
        beliefs[m.candidate_id] = NormalDist(mean, math.sqrt(trust * noise))
    return beliefs


def _at_least(member: Member) -> float:
    """One standard error below the fitness: who leaves an island should be good, not lucky."""
    return _fitness(member) - (member.standard_error or 0.0)


def _fitness(member: Member) -> float:
    assert member.fitness is not None
    return member.fitness


class Pool:
    """The parents that an island may breed from, with the weights they are drawn by."""

    def __init__(self, residents: Sequence[Member], everyone: Sequence[Member], settings: Settings) -> None:
        self.settings = settings
        self.beliefs = shrunk(everyone)
        measured = [m for m in residents if _measured(m)]
        # Before anything has been measured, what was accepted is bred from as it comes.
        self.able = measured or [m for m in residents if m.status is Status.ACCEPTED]
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
            math.exp(self.settings.pressure * (d - best) / spread if spread else 0.0)
            / (1 + m.uses) ** self.settings.use_penalty
            * (0.3 if cell(m, self.settings.axes) in taken else 1.0)
            for m, d in zip(group, draws, strict=True)
        ]

    def _drawn(self, rng: Random, member: Member) -> float:
        belief = self.beliefs.get(member.candidate_id)
        noise = rng.gauss(0.0, 1.0)
        return belief.mean + self.settings.exploration * noise * belief.stdev if belief else 0.0


def rewards(members: Sequence[Member], settings: Settings) -> dict[int, float]:
    """Reward in [0, 1] of each bred member whose outcome is known, by candidate id.

    Nothing for a refused, duplicate or failed one; for the others `acceptance`, and the rest times the chance that it is
    truly better than its best parent (than the median of everybody, where no parent was measured or it was not made from
    them).
    """
    by_id = {m.candidate_id: m for m in members}
    typical = [_fitness(m) for m in members if _measured(m)]
    middle, spread = (median(typical), math.sqrt(pvariance(typical))) if typical else (0.0, 0.0)
    found = {}
    for m in members:
        if m.operator == SEED:
            continue
        if m.status is not Status.ACCEPTED:
            found[m.candidate_id] = 0.0
        elif _measured(m):
            parents = [by_id[p] for p in m.parents if p in by_id and _measured(by_id[p])]
            if role_of(m.operator) in (Role.EXPLORED_FROM, Role.REPAIRED) or not parents:
                bar, error = middle, 0.0
            else:
                best = max(parents, key=_fitness)
                bar, error = _fitness(best), best.standard_error or 0.0
            noise = math.hypot(m.standard_error if m.standard_error is not None else spread, error)
            better = NormalDist().cdf((_fitness(m) - bar) / noise) if noise else float(_fitness(m) > bar)
            found[m.candidate_id] = settings.acceptance + (1 - settings.acceptance) * better
    return found


def worth_of_operators(members: Sequence[Member], settings: Settings) -> dict[str, Worth]:
    """What each operator's children have been worth so far."""
    return _worth(members, settings, {m.candidate_id: m.operator for m in members}, settings.priors)


def worth_of_arms(members: Sequence[Member], settings: Settings) -> dict[str, Worth]:
    """What each operator's children at each temperature have been worth so far."""
    arms = [arm_name(o, t) for o in settings.priors for t in settings.temperatures]
    return _worth(members, settings, {m.candidate_id: m.arm for m in members}, arms)


def _worth(
    members: Sequence[Member], settings: Settings, arm_of: Mapping[int, str], arms: Iterable[str]
) -> dict[str, Worth]:
    gained = rewards(members, settings)
    weight = {m.candidate_id: settings.memory ** (len(members) - 1 - k) for k, m in enumerate(members)}
    mass = math.fsum(weight[i] for i in gained)
    # A new arm is taken to be like all of them together; half of everything while nothing is known.
    typical = (math.fsum(weight[i] * r for i, r in gained.items()) + 0.5) / (mass + 1.0)
    found = {}
    for arm in arms:
        own = [i for i in gained if arm_of[i] == arm]
        n = math.fsum(weight[i] for i in own)
        a = settings.evidence * typical + math.fsum(weight[i] * gained[i] for i in own)
        total = settings.evidence + n
        mean = a / total
        found[arm] = Worth(mean, math.sqrt(mean * (1 - mean) / (total + 1)), n)
    return found


def _operator(
    rng: Random, members: Sequence[Member], pool: Pool, broken: Sequence[Member], settings: Settings
) -> SearchOperator:
    there = {Role.REFINED: len(pool.able), Role.COMBINED: len(pool.able), Role.REPAIRED: len(broken)}
    worth = worth_of_operators(members, settings)
    known = [BY_NAME[name] for name in settings.priors]
    possible = [o for o in known if not o.needs_parents or there[o.role] >= o.parents]
    if not possible:
        return BY_NAME[Operator.EXPLORE]
    return rng.choices(possible, [settings.priors[o.name] * _optimistic(worth[o.name], settings) for o in possible])[0]


def _temperature(rng: Random, members: Sequence[Member], operator: str, settings: Settings) -> float:
    if len(settings.temperatures) == 1 or operator not in settings.priors:
        return settings.temperatures[0]
    worth = worth_of_arms(members, settings)
    weights = [_optimistic(worth[arm_name(operator, t)], settings) for t in settings.temperatures]
    return rng.choices(settings.temperatures, weights)[0]


def _optimistic(worth: Worth, settings: Settings) -> float:
    """Never 0, so that nothing is given up for good."""
    return math.pow(max(worth.mean + settings.exploration * worth.deviation, 0.01), settings.greed)
