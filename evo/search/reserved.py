"""What a budget buys, said before anything is spent of it."""

from __future__ import annotations

from analysis.wording import count
from evo.config.schema import Config
from evo.search.budget import Cost, lacking
from evo.search.population import Population
from fitness.schedule.planned import plan, plan_of_claims


def budget_forecast(config: Config, population: Population) -> list[str]:
    """Lines on what the seed losses and the final take of a budget of trainings, and what is left for proposals.

    Empty without a limit that could come into the way. `population` is as it is before the session.
    """
    budget, info = config.budget, population.info
    used = population.spent(population.recorded_seconds)
    if budget.proposals is not None and used.proposals >= budget.proposals:
        return []
    waiting, kept = _waiting(population), kept_for_final(config, population)
    judging = info.judging(population.rungs[0])
    training = Cost(evaluations=1, tokens=judging.tokens, usd=judging.usd or 0.0)
    lines = []
    if budget.evaluations is not None:
        seed_losses = len(population.seed_losses)
        *search, _ = plan(info, population.ladder, seed_losses, 0)
        theirs = sum(part.trainings for part in search)
        claims = plan_of_claims(info, population.ladder, seed_losses).trainings
        lines.append(
            f"Trainings: {_left(config, population)} of the budget of {budget.evaluations} are left. The seed losses take up to "
            f"{theirs}, {waiting} of them before the first proposal. The final takes {_final(config, population)}, "
            + ("which are kept for it" if kept else "for which the budget is too small: it gets what the search leaves")
            + (f", and up to {claims} more where a claim depends on it." if claims else ".")
        )
    missing = lacking(budget, used, training.times(waiting) + Cost(evaluations=kept), Cost(proposals=1) + training)
    if missing:
        lines.append(f"No proposal is asked for, since none could be trained: {missing}. Raise it for a search.")
    elif budget.evaluations is not None:
        most = _left(config, population) - waiting - kept
        lines.append(f"So at most {count(most, 'proposal')} can be trained; each has its first training reserved.")
    return lines


def kept_for_final(config: Config, population: Population) -> int:
    """Trainings of the budget that the search leaves to the final: all that it takes, where it leaves a search too.

    0 without a budget of trainings. A final that was begun is ended first.
    """
    if config.budget.evaluations is None:
        return 0
    wanted = max(0, _final(config, population) - population.measured_in_final)
    search = 0 if population.measured_in_final else _waiting(population) + 1
    return wanted if _left(config, population) >= wanted + search else 0


def _left(config: Config, population: Population) -> int:
    assert config.budget.evaluations is not None
    return max(0, config.budget.evaluations - population.spent(0.0).evaluations)


def _waiting(population: Population) -> int:
    return len(population.seed_losses) - population.begun_seed_losses


def _final(config: Config, population: Population) -> int:
    proposals = config.budget.proposals
    most = _left(config, population) if proposals is None else proposals
    *_, final = plan(population.info, population.ladder, len(population.seed_losses), most)
    return final.trainings
