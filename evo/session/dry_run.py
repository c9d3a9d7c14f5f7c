"""`--dry-run`: plan, first prompt and maximum cost of a campaign, and whether it could start. Pays and trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.output.encode import one_line
from analysis.wording import count, duration
from archive.disk.files import there
from archive.query import Reader
from archive.records import Operator, Role
from evo.campaign.backlog import GivenLoss
from evo.config.budget_settings import AMOUNTS
from evo.config.rundir import RunDir, RunDirError, continues, identity
from evo.config.schema import Config
from evo.proposing.briefing import prompt_of
from evo.proposing.context import Context
from evo.proposing.prompting import MAX_CHAT, MAX_CODE_SHOWN, Templates
from evo.proposing.propose import Proposer, make_proposers, which_proposers
from evo.proposing.request import Parent, Request, Turn, arms_of
from evo.search.budget_split import budget_forecast, most_study_trainings
from evo.search.operators import BY_NAME, CHAT, SAMPLE
from evo.search.population import Population
from evo.search.seed_losses import require_seed_losses
from evo.session.earlier_session import finished
from evo.session.power import detectable_difference_note, items_warning
from evo.session.preflight import PreflightFailed, preflight
from evo.session.session import workers_for
from evo.session.warm_start import read_given, refuse_new, vetted
from fitness.chat.costs import Service, Usage
from fitness.chat.errors import LLMError
from fitness.preference.caches import why_not_writable
from fitness.schedule.planned import plan, plan_of_claims, preparation_of_seeds
from fitness.task import TaskInfo, task_info
from sandbox import known
from sandbox.vetting.vet import vet


def rehearse(
    config: Config, path: Path, say: Callable[[str], None], *, online: bool = True, seed_from: Sequence[str] = ()
) -> None:
    """Print what a campaign in `path` would do and cost, and whether it could start. `seed_from` as in `run_session`.

    Raises FinishedRun, PreflightFailed, RunDirError, TaskError, ConfigError, after printing all that can be printed.
    """
    info = task_info(config.task, config.fitness)
    given = read_given(seed_from, info.contract, path)
    if ended := finished(path, config, info):
        refuse_new(given, config, info.contract, path, ended)
        say(f"{path} is finished: {ended.reason}. The command would only print its table.")
        return
    if why := why_not_writable(path):
        raise RunDirError(f"cannot write in {path} ({why}); choose another directory with --dir")
    require_seed_losses(config, info)
    own = vetted(given, config, info.contract, path)
    population = Population(config, info, workers_for(config), given=len(own))
    for line in _held(path, config, info, population):
        say(line)
    failure: PreflightFailed | None = None
    try:
        cleared = preflight(config, info, online=online, may_cost=False)
    except PreflightFailed as error:
        failure = error
    try:
        proposers = make_proposers(config)
    except LLMError:  # is also among the faults of the preflight
        assert failure is not None
        raise failure from None
    say(_described(config, info, population, proposers, own))
    if failure is not None:
        say("")
        raise failure
    for note in cleared.notes:
        say(note)
    tried = "without the network" if not online else "endpoints, model and data were checked"
    say(f"No fault was found that would prevent the start ({tried}).")


def _held(path: Path, config: Config, info: TaskInfo, population: Population) -> list[str]:
    """A line on the unfinished run in `path`, if there is one. Raises RunDirError if the run would be refused there."""
    if not there(RunDir(path).archive):
        return []
    baseline = population.baseline_name if config.baseline else None
    if not continues(path, identity(config, info), baseline):
        return [f"{path} holds a run with other settings and without a result, which this run would replace."]
    with Reader.open(RunDir(path).archive) as reader:
        done = reader.progress()
    return [
        f"{path} holds this run, unfinished, with {count(done.requests, 'request')} and {count(done.trainings, 'training')}: the "
        "command continues it. The figures below are for a whole run."
    ]


def _described(
    config: Config,
    info: TaskInfo,
    population: Population,
    proposers: Mapping[str, Proposer],
    own: Sequence[GivenLoss],
) -> str:
    request = _first_request(config, population)
    lines = [
        f"Run {config.name} with seed {config.seed}: task {info.name}, contract {info.contract}.",
        *([info.opening] if info.opening else []),
        which_proposers(config, proposers),
        "",
        "Seed losses:",
        *(f"  {name}: {_vetted(name)}" for name in population.seed_losses),
        *(f"  {one_line(loss.name)} ({one_line(loss.provenance.words)}): accepted" for loss in own),
        "",
        *_first_prompt(config, request),
        "",
        *_cost(config, info, population, proposers, request),
    ]
    return "\n".join(lines)


def _first_prompt(config: Config, request: Request) -> list[str]:
    """Lines with a first prompt; without a language model, with what the built-in proposer gets in its place."""
    if not config.asks_a_model:
        parents = ", ".join(parent.name for parent in request.parents)
        return [
            f"No prompt is sent: the built-in proposer makes the losses. A first request gives it the operator {request.operator}"
            f"{f' and the verified graph of {parents}' if parents else ''}; later ones also which parents scored lower than the "
            "baseline, what was made of them before, and what the sandbox found. To see the prompt of a language model: "
            "--dry-run --offline --set llm.model=NAME",
        ]
    others = " (the built-in proposer, which takes part, gets no prompt)" if config.asks_the_builtin else ""
    messages = prompt_of(request, config, Templates.of(config.prompt.templates))
    return [f"A first prompt{others}:", *(f"--- {m.role}\n{m.content}" for m in messages), "---"]


def _vetted(name: str) -> str:
    verdict = vet(known.load(name).source, contract=known.load(name).contract)
    return "accepted" if verdict.accepted else "; ".join(f"{f.rule} {f.message}" for f in verdict.refusals)


def _first_request(config: Config, population: Population) -> Request:
    """A request like that of the first step, before any score: in chat mode with all seed losses as parents, in sample mode with
    none, else with one."""
    chat, sample = config.search.chat, config.search.sample
    operator = BY_NAME[Operator.EXPLORE if chat or sample else Operator.REFINE]
    names = population.seed_losses if chat else () if sample else population.seed_losses[:1]
    info, arm = population.info, arms_of(config)[0]
    return Request(
        step=1, seed=config.seed, task=info.name, contract=info.contract, metric=info.metric, noise=None, operator=operator.name,
        template=CHAT if chat else SAMPLE if sample else operator.prompt or operator.name, proposer=arm.name, island=0,
        temperature=arm.temperatures[0],
        parents=tuple(_parent(i, name, operator.role) for i, name in enumerate(names, 1)), landmarks=(), turns=(), wanted={},
        seen_event=0, context=Context(facts=info.facts, baseline=population.baseline_name or ""),
    )  # fmt: skip


def _parent(id: int, name: str, role: Role) -> Parent:
    loss = known.load(name)
    return Parent(id, role.value, name, loss.title, loss.source, known.graph(name), None, {}, (), ())


def _longest(request: Request, proposals: int | None) -> Request:
    """The request with the longest prompt: in chat mode the prompt grows with every reply, up to a limit."""
    if request.template != CHAT:
        return request
    earlier = min(MAX_CHAT // MAX_CODE_SHOWN + 1, max((proposals or MAX_CHAT) - 1, 0))
    return replace(request, turns=(Turn("x" * MAX_CODE_SHOWN, None, ""),) * earlier)


def _replies(config: Config, proposers: Mapping[str, Proposer], request: Request, proposals: int | None) -> list[str]:
    """Lines with upper estimates of what replies cost, by proposer and together."""
    most, lines, named = (0, 0.0), [], config.proposers is not None or config.proposer == "mixed"
    for name in (arm.name for arm in arms_of(config)):
        tokens, usd = proposers[name].worst_case(_longest(request, proposals))
        most = max(most, (tokens, usd), key=lambda cost: (cost[1], cost[0]))
        each = (
            f"at most about {tokens} tokens{_priced(usd)} each"
            if tokens
            else "made by the built-in proposer, at no cost"
        )
        lines.append(f"Replies{f' of {name}' if named else ''}: {each}.")
    tokens, usd = most
    if proposals is None:
        return ["Without a budget of proposals the number of trainings is unlimited. " + lines[0], *lines[1:]]
    if not tokens:
        return lines
    total = f"Replies: at most about {proposals * tokens} tokens{_priced(proposals * usd)}"
    return [*lines, f"{total}, if all come from the dearest."] if named else [f"{total}, {each}."]


def _cost(
    config: Config, info: TaskInfo, population: Population, proposers: Mapping[str, Proposer], request: Request
) -> list[str]:
    """Lines with upper estimates of trainings, time and cost: all proposals accepted and new, and promoted as far as possible."""
    budget = config.budget
    proposals, seed_losses = budget.proposals, population.all_seed_losses
    amounts = [
        f"{_number(value)} {name}" for name, value in budget.model_dump(include={*AMOUNTS}).items() if value is not None
    ]
    rules = [
        f"{name} {_number(value)}" for name, value in budget.model_dump(exclude={*AMOUNTS}).items() if value is not None
    ]
    limits = ", ".join(amounts + rules)
    lines = [f"Budget: {limits or 'none, the run goes on until it is stopped'}.", *budget_forecast(config, population)]
    replies = _replies(config, proposers, request, proposals)
    if proposals is None:
        return [
            *lines,
            *replies,
            *(f"{_judge(s)}: at most about {_usage(s.worst_case)} for each training." for s in info.services),
        ]
    parts = plan(info, population.ladder, seed_losses, proposals)
    for part in parts:
        lines.append(
            f"  {part.part}, rung {part.rung}: {part.trainings} trainings of about {part.seconds_each:g} s each"
        )
    claims = plan_of_claims(info, population.ladder, seed_losses)
    if claims.trainings:
        lines.append(
            f"  {claims.part}, rung {claims.rung}: up to {claims.trainings} more of about {claims.seconds_each:g} s each"
        )
    seconds, preparing = sum(part.seconds for part in parts), preparation_of_seeds(info, population.ladder)
    if preparing:
        lines.append(f"  the first training with each seed, on each worker: about {info.seed_seconds:.2g} s longer")
    on_workers = seconds / population.workers + preparing
    most = on_workers + claims.seconds / population.workers
    further = f", and up to {claims.trainings} more if a claim depends on them" if claims.trainings else ""
    longest = f", and up to {duration(most)} with those" if claims.trainings else ""
    lines.append(
        f"Trainings: about {sum(part.trainings for part in parts)}{further}. On {count(population.workers, 'worker')} about "
        f"{duration(on_workers)}{longest}, by the task's estimate for a slow core; a machine that is busy with other work takes "
        "longer."
    )
    if studies := most_study_trainings(config, proposals):
        lines.append(f"  studies (tune, simplify), rung {info.search_rungs[0].name}: up to {studies} more trainings")
    lines.append(detectable_difference_note(info, population.ladder))
    if few := items_warning(info.judged, population.ladder):
        lines.append(few)
    lines += replies
    for service in info.services:
        trainings = sum(part.trainings for part in (*parts, claims) if part.rung in service.rungs)
        worst, each = sum([service.worst_case] * trainings, Usage()), _usage(service.worst_case)
        lines.append(
            f"{_judge(service)}: at most about {_usage(worst)} for {count(trainings, 'training')}, {each} each."
        )
    return lines


def _judge(service: Service) -> str:
    return f"Judge {service.model} ({service.key})"


def _usage(usage: Usage) -> str:
    return f"{usage.tokens} tokens{_priced(usage.usd)}"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _priced(usd: float | None) -> str:
    return f", {usd:.2f} USD" if usd else ""
