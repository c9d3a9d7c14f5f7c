"""What a prompt tells of the run beside the parents: what was measured, what was tried, and the best losses.

All of it is read from the archive as the step saw it, so equal steps give equal prompts. Each part is bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np

from analysis.recorded import recorded_parents, refusing
from archive.query import Reader
from archive.records import SUMMARISE, ProposalRow, ProposalState, Role
from evo.search.individuals import Individual
from evo.search.operators import BY_NAME, role_of
from evo.search.population import Population
from evo.search.selection.beliefs import Posteriors, fitness_posteriors, ranked
from evo.search.selection.columns import Members, Positions
from evo.search.selection.members import SelectionSettings

MOST_TRIED, MOST_NEARBY = 8, 4
"""Maximum numbers of earlier proposals in a prompt: from the same parents, and of a similar shape."""
MOST_SUMMARISED = 40
"""Number of the newest proposals that a summary is made from."""
MARGIN = "margin"
"""Metric of the mean margin rho of unseen pairs at the end of a training, nats."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean paired difference to the baseline, in units of the fitness, over `seeds` shared seeds."""

    mean: float
    standard_error: float | None
    seeds: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An earlier proposal and its outcome: a difference to the baseline, or words. `formula` is empty without a graph."""

    name: str
    formula: str
    difference: Difference | None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a prompt tells of the run. The parts about candidates are by candidate id."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """Facts of a training, from the task."""
    baseline: str = ""
    scaled_margin: float | None = None
    """Mean of beta * rho on unseen pairs at the end of the baseline's trainings; None if the task does not measure it."""
    differences: Mapping[int, Difference] = field(default_factory=dict)
    """Of the parents and the known losses."""
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Of the parents: means of the metrics that the task shows, by heading."""
    best: tuple[Tried, ...] = ()
    tried: tuple[Tried, ...] = ()
    nearby: tuple[Tried, ...] = ()
    summary: str = ""
    """The latest reply to a request for a summary of the results."""
    where: tuple[str, ...] = ()
    """Definitions of the names in the formulas."""


NOTHING = Context()


def context_of(
    population: Population,
    settings: SelectionSettings,
    operator: str,
    parents: Sequence[int],
    shown: Sequence[int],
    past: Reader,
) -> Context:
    """The context of a step. `shown`: ids of losses that the prompt scores.

    In the mode `sample` a prompt tells of no other loss.
    """
    facts, members = population.info.facts, population.members
    if population.config.search.sample:
        return Context(facts=facts)
    telling = _Telling(population, past)
    baseline = population.baseline
    beliefs = fitness_posteriors(members, settings.shrinkage)
    able = np.flatnonzero(members.measured & ~members.columns["banned"])
    top = [int(members.columns["id"][at]) for at in ranked(beliefs, able, population.config.prompt.top_k)]
    best = tuple(telling.tried(population.individuals[id]) for id in top)
    if operator == SUMMARISE:
        latest = tuple(map(telling.tried, telling.newest(MOST_SUMMARISED)))
        material = Context(facts, population.baseline_name or "", best=best, tried=latest, summary=population.summary)
        return replace(material, where=tuple(telling.where))
    explores = BY_NAME[operator].role is Role.EXPLORED_FROM
    made = telling.latest(operator) if explores else members.children(parents)[::-1]
    children = [id for id in made if id not in parents]  # these are shown in full
    told = {*parents, *children, *top}
    informing = [telling.tried(population.individuals[id]) for id in _informing(members, children, MOST_TRIED)]
    tried = (*informing, *telling.unusable(operator if explores else None, parents))[:MOST_TRIED]
    near = [] if explores else _near(members, beliefs, able, parents, told)
    return Context(
        facts=facts,
        baseline=population.baseline_name or "",
        scaled_margin=telling.scaled_margin(baseline) if baseline else None,
        differences={id: found for id in shown if (found := telling.difference(id))},
        metrics={id: telling.metrics(id) for id in parents},
        best=best,
        tried=tried,
        nearby=tuple(telling.tried(population.individuals[id]) for id in near),
        summary=population.summary,
        where=tuple(telling.where),
    )


def _near(
    members: Members, beliefs: Posteriors, able: Positions, parents: Sequence[int], told: Collection[int]
) -> list[int]:
    """Ids of the best members in the same cell of the grid as the first parent, without those that the prompt tells of already."""
    first = members.find(parents[0]) if parents else None
    if first is None or not first.descriptors:
        return []
    rows = members.columns
    alike = able[(rows["cell"][able] == members.number_of(first)) & ~np.isin(rows["id"][able], [*told])]
    return [int(rows["id"][at]) for at in ranked(beliefs, alike, MOST_NEARBY)]


def _informing(members: Members, ids: Sequence[int], most: int) -> list[int]:
    """The ids of the members that tell most: those measured first, the largest difference in standard errors first."""
    at = np.searchsorted(members.columns["id"], ids)
    size, error = np.abs(members.columns["fitness"][at]), members.columns["error"][at]
    sizes = size / np.where(error > 0, error, np.where(size > 0, size, 1.0))
    return [ids[k] for k in np.argsort(-sizes, kind="stable")[:most]]  # NaN, where nothing is measured, comes last


class _Telling:
    """Results of candidates in words and figures, as of a step."""

    def __init__(self, population: Population, past: Reader) -> None:
        self.population = population
        self.past = past
        self.where: dict[str, None] = {}

    def difference(self, id: int) -> Difference | None:
        """The paired difference to the baseline; None for the baseline itself and without a common seed."""
        individual, member = self.population.individuals[id], self.population.members.find(id)
        if individual is self.population.baseline or member is None or member.fitness is None:
            return None
        found = self.population.advantage(individual)
        return Difference(found[0], member.standard_error, found[1]) if found else None

    def metrics(self, id: int) -> dict[str, float]:
        """Means of the shown metrics at the search rung of highest fidelity that it reached, by heading."""
        score = self.population.score(self.population.individuals[id])
        if score is None:
            return {}
        rows = self._trainings(id, score[0])
        headings = self.population.info.shown.items()
        found = {
            heading: fmean(row[key] for row in rows)
            for key, heading in headings
            if rows and all(key in row for row in rows)
        }
        margin, beta = self._margin(rows), self.population.info.beta
        return found if margin is None or beta is None else found | {"beta * rho of unseen pairs": beta * margin}

    def scaled_margin(self, individual: Individual) -> float | None:
        """Mean of beta * rho on unseen pairs at the end of its trainings; None if it is not measured."""
        score, beta = self.population.score(individual), self.population.info.beta
        margin = self._margin(self._trainings(individual.id, score[0])) if score else None
        return None if margin is None or beta is None else beta * margin

    def latest(self, operator: str) -> list[int]:
        """Ids of the latest proposals of an operator, the latest first."""
        members = self.population.members
        at = np.flatnonzero(members.columns["operator"] == members.names.get(operator, -1))[-MOST_TRIED:]
        return [int(id) for id in members.columns["id"][at[::-1]]]

    def newest(self, most: int) -> list[Individual]:
        """The newest vetted proposals, the latest first."""
        rows = self.population.members.columns
        at = np.flatnonzero(~rows["banned"])[-(most + self.population.all_seed_losses) :]
        made = [self.population.individuals[int(id)] for id in rows["id"][at[::-1]]]
        return [i for i in made if i.operator is not None][:most]

    def unusable(self, operator: str | None, parents: Sequence[int]) -> list[Tried]:
        """Replies without a loss to requests of the operator, or (None) about any of the parents, the latest first."""
        rows = [self.past.proposal(id) for id in reversed(self.population.failed_requests)]
        return [
            Tried("a reply without a loss", "", None, row.error or "")
            for row in rows
            if row.reply is not None and row.state is ProposalState.FAILED and self._about(row, operator, parents)
        ]

    def tried(self, individual: Individual) -> Tried:
        """A candidate in one line."""
        vetted = individual.status is not None
        printed = self.population.losses.recorded(individual.id, self.past).formula if vetted else None
        if printed is not None:
            self.where |= dict.fromkeys(printed.where)
        difference = self.difference(individual.id) if individual.trainable else None
        formula = "" if printed is None else printed.text
        return Tried(individual.name, formula, difference, self._outcome(individual, difference))

    def _outcome(self, individual: Individual, difference: Difference | None) -> str:
        """The outcome in words; empty where the difference says it."""
        if individual.duplicate_of is not None:
            return f"the same loss as {self.population.individuals[individual.duplicate_of].name}"
        if individual.rules:
            refusals = refusing(self.past.findings(individual.id))
            return f"refused: {refusals[0].message}"
        if individual.failed:
            reasons = [f"{e.reason}: {e.detail}" for e in self.past.evaluations(individual.id) if e.reason]
            return f"training failed: {'; '.join(reasons[:1])}"
        if individual is self.population.baseline:
            return "the baseline"
        return "" if difference else "not scored yet"

    def _about(self, row: ProposalRow, operator: str | None, parents: Sequence[int]) -> bool:
        if operator is not None:
            return row.operator == operator
        return role_of(row.operator) is not Role.EXPLORED_FROM and bool(
            {id for id, _ in recorded_parents(row)} & {*parents}
        )

    def _trainings(self, id: int, rung: str) -> list[Mapping[str, float]]:
        seeds = {*self.population.seeds.search}
        rows = self.past.evaluations(id)
        return [
            e.metrics
            for e in rows
            if e.rung == rung
            and e.seed in seeds
            and e.fitness is not None
            and e.beta is None
            and e.learning_rate is None
        ]

    def _margin(self, rows: Sequence[Mapping[str, float]]) -> float | None:
        return fmean(row[MARGIN] for row in rows) if rows and all(MARGIN in row for row in rows) else None
