"""What a budget buys, said before anything is spent of it."""

from __future__ import annotations

from analysis.wording import count
from evo.budget import Cost, lacking
from evo.config import Config
from evo.population import Population
from fitness.ladder import final_rung, plan


def what_the_budget_buys(config: Config, population: Population) -> list[str]:
    """Lines on what the seed losses and the final take of a budget of trainings, and what is left for proposals.

    Empty without a limit that could come into the way. `population` is as it is before the session.
    """
    budget, info = config.budget, population.info
    used = population.spent(population.recorded_seconds)
    if budget.proposals is not None and used.proposals >= budget.proposals:
        return []
    waiting = len(population.seed_losses) - population.begun_seed_losses
    rung = population.rungs[0]
    judging = info.judging(rung)
    training = Cost(evaluations=1, tokens=judging.tokens, usd=judging.usd or 0.0)
    lines = []
    if budget.evaluations is not None:
        left = max(0, budget.evaluations - used.evaluations)
        parts = plan(info, population.ladder, len(population.seed_losses), budget.proposals or left)
        last = sum(part.trainings for part in parts if part.rung == final_rung(info) and part.part == "final")
        seeds = plan(info, population.ladder, len(population.seed_losses), 0)
        theirs = sum(part.trainings for part in seeds if part.part != "final")
        lines.append(
            f"Trainings: {left} of the budget of {budget.evaluations} are left. The seed losses take {theirs} in all, "
            f"{waiting} of them before the first proposal; the final takes {last}, of what the search leaves."
        )
    if missing := lacking(budget, used, training.times(waiting), Cost(proposals=1) + training):
        lines.append(f"No proposal is asked for, since none could be trained: {missing}. Raise it for a search.")
    elif budget.evaluations is not None:
        lines.append(
            f"So at most {count(left - waiting, 'proposal')} can be trained; each has its first training reserved."
        )
    return lines
