"""`--dry-run`: what a campaign would do, say and cost, with nothing called and nothing trained."""

from __future__ import annotations

from pathlib import Path

from analysis.wording import count, duration
from evo.config import Config
from evo.earlier import finished
from evo.outlook import what_can_be_seen, what_items_allow
from evo.population import Population
from evo.propose import Proposer, make_proposer, messages
from evo.reply import ReplyFormat
from evo.request import Parent, Request
from evo.session import workers_for
from fitness.ladder import plan
from fitness.task import TaskInfo, task_info
from sandbox import known
from sandbox.vet import vet


def describe_plan(config: Config, path: Path) -> str:
    """The plan of a run in `path` as text: vetted seed losses, a prompt, the trainings and what they may cost.

    Raises FinishedRun, TaskError, LLMError.
    """
    info = task_info(config.task, config.fitness)
    if ended := finished(path, config, info):
        return f"{path} is finished: {ended.reason}. The run would only print its table."
    population = Population(config, info, workers_for(config))
    proposer, which = make_proposer(config)
    request = _first_request(config, population)
    lines = [
        f"Run {config.name} with seed {config.seed}: task {config.task}, contract {info.contract}.",
        which,
        "",
        "Seed losses:",
        *(f"  {name}: {_vetted(name)}" for name in population.seed_losses),
        "",
        "A first prompt (the built-in proposer gets the same request without the words):",
        *(f"--- {m.role}\n{m.content}" for m in messages(request, ReplyFormat.JSON)),
        "---",
        "",
        *_cost(config, info, population, proposer, request),
    ]
    return "\n".join(lines)


def _vetted(name: str) -> str:
    verdict = vet(known.load(name).source, contract=known.load(name).contract)
    return "accepted" if verdict.accepted else "; ".join(f"{f.rule} {f.message}" for f in verdict.refusals)


def _first_request(config: Config, population: Population) -> Request:
    """A request as the first step would make it, before anything has a score."""
    name = population.seed_losses[0]
    loss = known.load(name)
    parent = Parent(1, "refined", name, loss.title, loss.source, known.graph(name), None, None, {}, (), ())
    return Request(
        step=1, seed=config.seed, task=config.task, contract=population.info.contract, metric=population.info.metric, noise=None,
        operator="refine", template="refine", island=0, temperature=config.llm.temperatures[0], parents=(parent,), landmarks=(),
        turns=(), wanted={}, seen_event=0,
    )  # fmt: skip


def _cost(config: Config, info: TaskInfo, population: Population, proposer: Proposer, request: Request) -> list[str]:
    """Upper estimates: every proposal is accepted and new, and climbs as far as the race lets it."""
    budget = config.budget
    proposals, baselines = budget.proposals, len(population.seed_losses)
    limits = ", ".join(f"{v:g} {k}" for k, v in budget.model_dump().items() if v is not None)
    lines = [f"Budget: {limits or 'none, it runs until it is stopped'}."]
    if proposals is None:
        return [*lines, "Without a budget of proposals the number of trainings is open."]
    parts = plan(info, population.ladder, baselines, proposals)
    for part in parts:
        lines.append(
            f"  {part.part}, rung {part.rung}: {part.trainings} trainings of about {part.seconds_each:g} s each"
        )
    seconds = sum(part.seconds for part in parts)
    lines.append(
        f"Trainings: about {sum(part.trainings for part in parts)}, {duration(seconds)} of training, "
        f"about {duration(seconds / population.workers)} on {count(population.workers, 'worker')}, "
        "by the task's estimate for a slow core."
    )
    lines.append(what_can_be_seen(info, population.ladder))
    if few := what_items_allow(info.judged, population.ladder):
        lines.append(few)
    tokens, usd = proposer.worst_case(request)
    priced = f", {proposals * usd:.2f} USD" if usd else ""
    lines.append(
        f"Replies: at most about {proposals * tokens} tokens{priced}." if tokens else "Replies: made here, for nothing."
    )
    return lines
