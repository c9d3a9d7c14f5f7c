"""Which study a step makes, and of which loss."""

from __future__ import annotations

from archive.query import Reader
from evo.config.schema import Config, SearchConfig
from evo.proposing.studies.simplifying import removable, simplifying
from evo.proposing.studies.study import STUDY, Study, study_seeds
from evo.proposing.studies.tuning import tunable, tuning
from evo.search.budget_split import Reserve
from evo.search.operators import SIMPLIFY, TUNE
from evo.search.population import Population
from evo.search.rng import derive
from evo.search.selection.beliefs import fitness_posteriors, ranked
from evo.search.selection.columns import Members
from evo.search.selection.members import SelectionSettings
from evo.search.selection.select import Choice
from sandbox.graph.loss_graph import VerifiedGraph


def due_study(population: Population, step: int, settings: SelectionSettings, past: Reader) -> Choice | None:
    """The study of a step, with its loss as the parent; None if the step is an ordinary proposal.

    A study that was cut off goes on. Another begins every `every` steps, if the budget has its trainings, with the promising loss
    that leads among those that had no such study.
    """
    search, island = population.config.search, step % settings.islands
    if step in population.studies:
        operator, parent = population.studies[step]
        return Choice(operator, island, (parent,), 0.0, STUDY)
    for operator, wanted in ((TUNE, search.tune), (SIMPLIFY, search.simplify)):
        if (
            wanted.every is None
            or step % wanted.every
            or not _affordable(population.config, population, wanted.trainings)
        ):
            continue
        begun = {(of, loss) for of, loss in population.studies.values()}
        for id in _promising(population, settings):
            if (operator, id) not in begun and _applies(operator, population.losses.graph(id, past)):
                return Choice(operator, island, (id,), 0.0, STUDY)
    return None


def study_of(operator: str, graph: VerifiedGraph, seed: int, step: int, search: SearchConfig) -> Study:
    """The study of a step. `seed` is that of the run."""
    if operator == TUNE:
        return tuning(graph, derive(seed, "study", step), study_seeds(seed), search.tune.trainings)
    return simplifying(graph, study_seeds(seed), search.simplify.trainings)


def _promising(population: Population, settings: SelectionSettings) -> list[int]:
    """The elites that are probably better than the baseline, best first."""
    members = Members.of(population.members, settings.axes)
    posteriors = fitness_posteriors(members, settings.shrinkage)
    posteriors.mean[members.columns["banned"]] = float("nan")
    best = ranked(posteriors, most=settings.elites)
    baseline = population.baseline.id if population.baseline else None
    ids = [int(members.columns["id"][at]) for at in best if posteriors.mean[at] > 0]
    return [id for id in ids if id != baseline]


def _applies(operator: str, graph: VerifiedGraph) -> bool:
    return bool(tunable(graph) if operator == TUNE else removable(graph))


def _affordable(config: Config, population: Population, trainings: int) -> bool:
    limit = config.budget.evaluations
    if limit is None:
        return True
    return population.spent(0.0).evaluations + trainings <= limit - Reserve.of(config, population).whole.evaluations
