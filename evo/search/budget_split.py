"""Division of the budget of trainings among seed losses, proposals and the final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from analysis.wording import count
from evo.config.schema import Config
from evo.search.budget import NO_COST, Cost, exceeded_limit
from evo.search.population import Population
from fitness.schedule.planned import Planned, plan, plan_of_claims


def budget_forecast(config: Config, population: Population) -> list[str]:
    """Lines for the user: what the seed losses and the final take of a budget of trainings, and what is left for proposals.

    Empty if no limit can prevent a proposal. `population` is the state before the session.
    """
    budget, info = config.budget, population.info
    used = population.spent(population.recorded_seconds)
    if budget.proposals is not None and used.proposals >= budget.proposals:
        return []
    waiting, reserve = _waiting(population), Reserve.of(config, population)
    judging = info.judging(population.rungs[0])
    training = Cost(evaluations=1, tokens=judging.tokens, usd=judging.usd or 0.0)
    lines = []
    if budget.evaluations is not None:
        seed_losses = population.all_seed_losses
        *search, _ = plan(info, population.ladder, seed_losses, 0)
        of_seed_losses = sum(part.trainings for part in search)
        claims = plan_of_claims(info, population.ladder, seed_losses).trainings
        lines.append(
            f"Trainings: {_left(config, population)} of the budget of {budget.evaluations} are left. The seed losses take up to "
            f"{of_seed_losses}, {waiting} of them before the first proposal. The final takes {_final(config, population)}, "
            + (
                "which are reserved"
                if reserve.final.evaluations
                else "for which the budget is too small: it gets what the search leaves"
            )
            + (f", and up to {claims} more if a claim depends on them." if claims else ".")
        )
    planned = training.times(waiting) + reserve.whole
    limit = exceeded_limit(budget, used, planned, Cost(proposals=1) + training)
    if limit:
        lines.append(
            f"No proposal will be requested, since none could be trained: {limit}. Raise the budget for a search."
        )
    elif budget.evaluations is not None:
        most = _left(config, population) - waiting - reserve.whole.evaluations
        lines.append(f"So at most {count(most, 'proposal')} can be trained; each has its first training reserved.")
    return lines


def most_study_trainings(config: Config, proposals: float) -> int:
    """Largest number of trainings that the studies of so many proposals take."""
    if config.search.mode != "population":
        return 0
    studies = (config.search.tune, config.search.simplify)
    return sum(int(proposals // study.every) * study.trainings for study in studies if study.every is not None)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Parts of a budget of trainings that proposals may not use. None without such a budget."""

    final: Cost = NO_COST
    """Kept for the final: all of its trainings if the budget also allows a search, else none. Once the final has begun, the rest of
    it in either case."""
    late: Cost = NO_COST
    """Kept for the stages of the ladder that wait until the last proposal is trained (`ladder.early_seeds`): all of their
    trainings, if a proposal's first training still fits."""

    @classmethod
    def of(cls, config: Config, population: Population) -> Self:
        """The parts of what is left of the budget."""
        if config.budget.evaluations is None:
            return cls()
        final = max(0, _final(config, population) - population.measured_in_final)
        if population.measured_in_final:
            return cls(Cost(evaluations=final)) if _left(config, population) >= final else cls()
        rest = _left(config, population) - final - _waiting(population) - 1
        if rest < 0:
            return cls()
        late = sum(part.trainings for part in _plan(config, population) if part.late)
        return cls(Cost(evaluations=final), Cost(evaluations=min(late, rest)))

    @property
    def whole(self) -> Cost:
        """Both parts."""
        return self.final + self.late


def _left(config: Config, population: Population) -> int:
    assert config.budget.evaluations is not None
    return max(0, config.budget.evaluations - population.spent(0.0).evaluations)


def _waiting(population: Population) -> int:
    return population.all_seed_losses - population.begun_seed_losses


def _final(config: Config, population: Population) -> int:
    return _plan(config, population)[-1].trainings


def _plan(config: Config, population: Population) -> tuple[Planned, ...]:
    proposals = config.budget.proposals
    most = _left(config, population) if proposals is None else proposals
    return plan(population.info, population.ladder, population.all_seed_losses, most)
