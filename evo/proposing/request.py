"""Request for one proposal: the operator, the parents, and their scores and findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from analysis.recorded import STANDING, UNAVAILABLE, refusing
from archive.query import Reader
from archive.records import SUMMARISE, EvaluationRow, FindingRow, Operator, ProposalRow, Role
from evo.config.proposer_settings import BUILTIN, ProposerConfig
from evo.config.schema import Config
from evo.proposing.context import NOTHING, Context, context_of
from evo.proposing.definitions import with_definitions
from evo.proposing.genetic import KINDS
from evo.proposing.genetic.proposal import Child
from evo.proposing.reply.reply import ParsedReply
from evo.proposing.reversal import due_reversal, tried_from
from evo.proposing.studies.choice import due_study
from evo.search.individuals import Individual, Score
from evo.search.operators import BY_NAME, CHAT, SAMPLE, role_of
from evo.search.population import Population
from evo.search.rng import stream
from evo.search.selection.bandit import available, change_weights, rewards
from evo.search.selection.grid import gap
from evo.search.selection.members import OWN_CODE, ProposerArm, SelectionSettings
from evo.search.selection.select import Choice, choose
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import to_python


@dataclass(frozen=True)
class Parent:
    """A parent of a proposal. `graph` is None for a refused loss that never had a valid graph."""

    id: int
    role: str
    name: str
    thought: str
    source: str
    graph: VerifiedGraph | None
    score: tuple[str, Score] | None
    """The search rung of highest fidelity that it reached, and its score there."""
    descriptors: Mapping[str, Any]
    findings: tuple[FindingRow, ...]
    failures: tuple[EvaluationRow, ...]
    is_lower: bool = False
    """Whether it scored lower than the baseline; told to the built-in proposer alone, like `children`."""
    children: tuple[Child, ...] = ()
    """What was made from it before, for the built-in proposer; the prompt of a language model has its `context`."""

    @cached_property
    def code(self) -> str:
        """Its code for prompts: printed from the graph, so that it contains no other text; the source if there is no graph."""
        return self.source if self.graph is None else to_python(self.graph, name="loss")


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier reply in chat mode and its outcome: a fitness, or a failure.

    Its content is the recorded one, since another version might parse the reply differently.
    """

    reply: ParsedReply | str
    fitness: float | None
    failure: str


@dataclass(frozen=True, slots=True)
class Request:
    """A step's request: the input of a prompt or of a genetic operator. Equal requests give equal prompts."""

    step: int
    seed: int
    task: str
    contract: str
    metric: str
    noise: float | None
    """Standard deviation of a loss's fitness over seeds; None if unknown."""
    operator: str
    template: str
    """Name of the prompt template: that of the operator, of the mode in the modes `chat` and `sample`, or of a summary; empty for a
    study."""
    proposer: str
    island: int
    temperature: float
    parents: tuple[Parent, ...]
    landmarks: tuple[Parent, ...]
    """Known losses that the prompt names with their scores."""
    turns: tuple[Turn, ...]
    wanted: Mapping[str, str]
    """For explore: descriptor values that no measured loss has together, as a target."""
    seen_event: int
    context: Context = NOTHING
    """What the prompt tells of the run. Empty where no prompt is rendered."""
    unavailable: tuple[str, ...] = ()
    """Names of the proposers that could not be asked when this one was chosen. Recorded, since a replay needs them."""
    favoured: Mapping[str, float] = field(default_factory=dict)
    """Factor on the probability of each kind of change; for the built-in proposer, and empty for others."""
    standing: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Reward estimate and share of each proposer, by name; recorded for the report. Empty with one proposer."""

    @property
    def references(self) -> dict[str, Any]:
        """The part of the request that is recorded; with it, the template and the archive, the prompt can be rebuilt."""
        parents = [{"id": p.id, "role": p.role} for p in self.parents]
        more = {STANDING: self.standing, UNAVAILABLE: list(self.unavailable)}
        return {"island": self.island, "parents": parents} | {name: value for name, value in more.items() if value}


def request_for(
    population: Population, step: int, reader: Reader, *, prompted: bool = False, unavailable: Sequence[str] = ()
) -> Request:
    """The request of a step: operator, parents and proposer selected from the population. Deterministic.

    `prompted`: with the context for a prompt, which the built-in proposer does not need. `unavailable`: names of proposers that
    cannot be asked now.
    """
    config, past = population.config, reader.as_of(population.seen)
    chat, sample = config.search.chat, config.search.sample
    settings = selection_settings(config)
    rng = stream(config.seed, "select", step)
    if summarises(config, step) and step not in population.studies:
        choice = _summary(rng, settings, unavailable)
    elif config.search.mode == "population":
        studied = due_study(population, step, settings, past)
        turned = due_reversal(population, step, settings, past)
        choice = studied or turned or choose(population.members, rng, step, settings, unavailable)
    elif chat:
        choice = _next_turn(population, rng, settings, unavailable)
    else:
        choice = _without_parents(rng, settings, unavailable)
    operator, role = BY_NAME.get(choice.operator), role_of(choice.operator) or Role.EXPLORED_FROM
    prompt = (operator.prompt or operator.name) if operator else SUMMARISE if choice.operator == SUMMARISE else ""
    aimed = config.search.mode == "population" and operator is not None and role is Role.EXPLORED_FROM
    known = () if sample else tuple(id for id in _seed_losses(population) if id not in choice.parents)
    context = NOTHING
    if prompted and prompt:
        shown = (*choice.parents, *known)
        context = context_of(population, settings, choice.operator, choice.parents, shown, past)

    by_builtin = config.search.mode == "population" and choice.proposer == BUILTIN

    def bred(parent: Parent) -> Parent:
        if role is not Role.REFINED or not by_builtin:
            return parent
        tried = tried_from(population, parent.id, past)
        return replace(parent, is_lower=tried.is_lower, children=tried.children)

    return Request(
        step=step,
        seed=config.seed,
        task=population.info.name,
        contract=population.info.contract,
        metric=population.info.metric,
        noise=None if sample else population.noise,
        operator=choice.operator,
        template=CHAT if chat else SAMPLE if sample else prompt,
        proposer=choice.proposer,
        island=choice.island,
        temperature=choice.temperature,
        parents=tuple(bred(_parent(population, id, role, past)) for id in choice.parents),
        landmarks=tuple(_parent(population, id, role, past) for id in known),
        turns=tuple(_turns(population, past)) if chat else (),
        wanted=gap(population.members, stream(config.seed, "gap", step), settings) if aimed else {},
        seen_event=population.seen,
        context=context,
        unavailable=tuple(sorted(unavailable)),
        favoured=_favoured(population, settings) if by_builtin else {},
        standing=choice.standing,
    )


def _favoured(population: Population, settings: SelectionSettings) -> dict[str, float]:
    """What the built-in proposer's changes gained so far, as factors on their probabilities."""
    return change_weights(rewards(population.members, settings), KINDS, settings)


def summarises(config: Config, step: int) -> bool:
    """Whether a step asks for a summary of the results instead of a loss."""
    every = config.prompt.summary_every
    return every is not None and step % every == 0 and config.search.mode == "population" and config.asks_a_model


def unavailable_at(proposal: ProposalRow) -> tuple[str, ...]:
    """The proposers that could not be asked at a recorded request."""
    names = proposal.references.get(UNAVAILABLE)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def selection_settings(config: Config) -> SelectionSettings:
    """The settings of selection in a configuration."""
    search, usual = config.search, SelectionSettings()
    return SelectionSettings(
        islands=search.islands,
        migration_every=search.migration_every,
        proposers=arms_of(config),
        grid=search.grid,
        grid_share=usual.grid_share if search.grid else 0.0,
        elite_share=usual.elite_share if search.elites else 0.0,
        use_penalty=usual.use_penalty if search.use_penalty else 0.0,
        bandit=search.bandit,
        thompson=search.thompson,
        shrinkage=search.shrinkage,
        reversals=search.reversals,
    )


def arms_of(config: Config) -> tuple[ProposerArm, ...]:
    """The proposers that selection chooses from.

    If the built-in one is the only one, it has the temperatures of `llm`, which it does not use, so that runs of earlier versions
    replay.
    """
    if not config.asks_a_model:
        return (replace(OWN_CODE, temperatures=config.llm.temperatures),)
    models = (
        ProposerArm(name, model.weight if isinstance(model, ProposerConfig) else 1.0, model.temperatures)
        for name, model in config.endpoints.items()
    )
    return (*models, *([OWN_CODE] if config.asks_the_builtin else []))


def _without_parents(rng: Random, settings: SelectionSettings, unavailable: Sequence[str]) -> Choice:
    """The choice in the mode `sample`: the same for every step but for proposer and temperature, so that proposals are independent
    draws."""
    arm = _by_weight(rng, settings, unavailable)
    return Choice(Operator.EXPLORE, 0, (), rng.choice(arm.temperatures), arm.name)


def _next_turn(population: Population, rng: Random, settings: SelectionSettings, unavailable: Sequence[str]) -> Choice:
    """The choice in chat mode (DiscoPOP): no selection; each proposal follows the whole conversation, which starts with the seed
    losses."""
    arm = _by_weight(rng, settings, unavailable)
    return Choice(Operator.EXPLORE, 0, _seed_losses(population), arm.temperatures[0], arm.name)


def _summary(rng: Random, settings: SelectionSettings, unavailable: Sequence[str]) -> Choice:
    """A language model, and its lowest temperature, since a summary should say what is the case."""
    models = replace(settings, proposers=tuple(arm for arm in settings.proposers if arm != OWN_CODE))
    arm = _by_weight(rng, models, unavailable)
    return Choice(SUMMARISE, 0, (), min(arm.temperatures), arm.name)


def _by_weight(rng: Random, settings: SelectionSettings, unavailable: Sequence[str]) -> ProposerArm:
    arms = available(settings, unavailable)
    return arms[0] if len(arms) == 1 else rng.choices(arms, [arm.weight for arm in arms])[0]


def _seed_losses(population: Population) -> tuple[int, ...]:
    return tuple(i.id for i in population.recorded_seed_losses if i.trainable and not population.banned(i))


def _parent(population: Population, id: int, role: Role, past: Reader) -> Parent:
    individual, recorded = population.individuals[id], population.losses.recorded(id, past)
    findings = recorded.findings
    if role is Role.REPAIRED and recorded.row.proposal_id is not None:
        findings = with_definitions(findings, recorded.row.source, past.prompt(recorded.row.proposal_id))
    return Parent(
        id=id,
        role=role.value,
        name=recorded.row.name,
        thought=recorded.row.thought,
        source=recorded.row.source,
        graph=recorded.graph,
        score=population.score(individual),
        descriptors=individual.descriptors,
        findings=findings,
        failures=tuple(e for e in past.evaluations(id) if e.reason) if individual.failed else (),
    )


def _turns(population: Population, past: Reader) -> Iterator[Turn]:
    """The turns of the conversation so far, in order of the replies."""
    born = {c.proposal_id: population.individuals[c.id] for c in past.candidates()}
    for proposal in past.proposals():
        individual = born.get(proposal.id)
        if individual is not None and population.banned(individual):
            continue
        if proposal.reply is not None and individual is not None:
            score, row = population.score(individual), past.candidate(individual.id)
            said = ParsedReply(row.thought, row.name, row.source)
            yield Turn(said, score[1].mean if score else None, _failure(population, individual, past))
        elif proposal.reply is not None:
            yield Turn(proposal.reply, None, proposal.error or "")


def _failure(population: Population, individual: Individual, past: Reader) -> str:
    if individual.duplicate_of is not None:
        return f"this is the same loss as {population.individuals[individual.duplicate_of].name}"
    refusals = [f.message for f in refusing(past.findings(individual.id))]
    failures = [f"{e.reason}: {e.detail}" for e in past.evaluations(individual.id) if e.reason]
    return "; ".join([*refusals, *failures])
