"""Rules that end a search before its budget is used: a target that is reached, and proposals that bring no progress.

They read the scores of the search, from which the best of many losses is chosen. So they end a search and are no claims: claims
come from the final, which follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from analysis.output.encode import one_line
from analysis.wording import count, plus_minus
from evo.config.budget_settings import BudgetConfig
from evo.search.individuals import Individual, differences
from evo.search.population import Population


@dataclass(frozen=True, slots=True)
class Stop:
    """A rule that holds: its key in the configuration, the value that is reached, and the reason in words."""

    key: str
    reached: float
    reason: str

    @property
    def larger(self) -> float:
        """A value with which the search would go on."""
        return 2 * self.reached if self.reached > 0 else self.reached / 2 or 1.0


@dataclass(frozen=True, slots=True)
class Lead:
    """Mean paired difference of a proposal to the baseline over search seeds, with its standard error, in units of the fitness."""

    individual: Individual
    difference: float
    standard_error: float
    seeds: int


def leads(population: Population) -> list[Lead]:
    """The proposals measured at the highest search rung on a seed of the baseline; none while the deviation is not known.

    Losses with a failed training, and those that treat single pairs specially, are left out.
    """
    baseline, noise, rung = population.baseline, population.noise_of_differences.pooled, population.rungs[-1]
    if baseline is None or noise is None:
        return []
    reached = (i for i in population.individuals.values() if rung in i.searched and i.trainable and not i.is_seed_loss)
    compared = ((i, differences(i, baseline, rung)) for i in reached if not (i.failed or i.singles_out))
    return [Lead(i, fmean(found), noise.error(len(found)), len(found)) for i, found in compared if found]


def stop_of(budget: BudgetConfig, population: Population) -> Stop | None:
    """The rule that ends the search now; None if none does.

    `target`: a proposal's difference to the baseline at the highest search rung, minus one standard error, is at least the target.
    Without a known error (no loss has two seeds yet) it is not reached. `patience`: the best proposal is older than this number of
    answered proposals.
    """
    if budget.target is not None and (stop := _at_target(budget.target, population)):
        return stop
    if budget.patience is not None:
        best = population.best()
        since = population.spent(0.0).proposals - (best.answered if best else 0)
        if since >= budget.patience:
            what = f"the best is still {one_line(best.name, 48)}" if best else "none has a score to compare"
            reason = f"no progress in {count(since, 'proposal')} (budget.patience {budget.patience}): {what}"
            return Stop("budget.patience", since, reason)
    return None


def why_stopped(budget: BudgetConfig, population: Population) -> str | None:
    """The reason of `stop_of`; None if no rule ends the search."""
    stop = stop_of(budget, population)
    return stop.reason if stop else None


def _at_target(target: float, population: Population) -> Stop | None:
    """The target that is reached; None if no proposal reaches it. Of several proposals, the one with the largest lower bound."""
    best = max(leads(population), key=lambda lead: lead.difference - lead.standard_error, default=None)
    if best is None or best.difference - best.standard_error < target or population.baseline is None:
        return None
    reason = (
        f"the target {target:+g} is reached by {one_line(best.individual.name, 48)} in the search: "
        f"{plus_minus(best.difference, best.standard_error, signed=True)} to {one_line(population.baseline.name, 48)} on "
        f"{count(best.seeds, 'seed')}"
    )
    return Stop("budget.target", best.difference, reason)
