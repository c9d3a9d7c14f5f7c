"""`evopo replay`: repeat every recorded selection from the events it had seen, to check that the search follows from its seed."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.output.encode import one_line
from analysis.recorded import ReadAhead, sessions_of
from analysis.wording import count
from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import PERSON, EventKind, EventRow, ProposalRow
from evo.campaign.variants.study import repeated
from evo.config.proposer_settings import BUILTIN
from evo.config.rundir import RunDir
from evo.config.schema import Config, ConfigError, parse_config
from evo.proposing.llm.client import AttemptObserver
from evo.proposing.prompting import BUILT_IN, Templates, kept
from evo.proposing.propose import GRAMMAR, BuiltinProposer, proposed_graph
from evo.proposing.request import Request, request_for, unavailable_at
from evo.proposing.studies import STUDY, VERSION
from evo.search.population import Population
from evo.search.selection.select import SELECTION, SELECTION_VERSION
from fitness.chat.errors import LLMError
from fitness.chat.request import Message
from fitness.task import TaskError, TaskInfo, task_info
from fitness.task.from_file import TaskFile
from sandbox.contracts.contract import contract_named

SHOWN = 10
"""Maximum number of differences in the output."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Result of a replay: whether all steps are the same, and the text to print."""

    same: bool
    text: str


def replay_run(rundir: RunDir, task: str | None = None) -> Replayed:
    """Repeat every recorded selection, and the replies of the built-in proposer. Raises ArchiveError, TaskError.

    `task`: the file of the run's task; required if the task is in a file.
    """
    with Reader.open(rundir.archive) as reader, asyncio.Runner() as runner:
        sessions = reader.events(kind=EventKind.SESSION_STARTED)
        configs = [(id, _config(id, told)) for id, told in sessions_of(sessions)]
        chosen = [p for p in reader.proposals() if p.proposer != PERSON]  # a person's loss follows from no choice
        if not chosen:
            return Replayed(True, "Nothing to replay: the run has no proposals yet.")
        ours = [p for p in chosen if _made_alike(p, sessions)]
        other = count(len(chosen) - len(ours), "proposal") if len(ours) < len(chosen) else ""
        if not ours:
            return Replayed(
                False, f"An earlier version of evopo made {other}, with another selection; replay with that version."
            )
        proposals = sorted(ours, key=lambda p: (p.seen_event, p.id))
        first = _config_at(configs, proposals[0].requested_event)
        population = Population(first, task_of_run(first, task, reader.run().task), 1)
        differences: list[str] = []
        rows, templates = ReadAhead(reader), [BUILT_IN, *kept(rundir.templates)]
        for proposal in proposals:
            population.config = _config_at(configs, proposal.requested_event)
            state = population.advance(reader, proposal.seen_event, rows)
            request = request_for(state, proposal.step, reader, unavailable=unavailable_at(proposal))
            if proposal.proposer == STUDY:
                differences += _of_study(proposal, request, population, reader)
            else:
                differences += _differences(proposal, request, templates, runner)
    shown = [*differences[:SHOWN], *([f"... and {len(differences) - SHOWN} more"] if len(differences) > SHOWN else [])]
    if differences:
        return Replayed(False, "\n".join([f"{len(differences)} differences in {len(proposals)} proposals:", *shown]))
    left_out = f" Left out: {other} of an earlier version of evopo, which selected in another way." if other else ""
    return Replayed(True, f"All {len(proposals)} proposals replay: the same operators, parents and requests.{left_out}")


def _made_alike(proposal: ProposalRow, sessions: Sequence[EventRow]) -> bool:
    """Whether a proposal was made by today's selection and, if by the built-in proposer, by today's operators."""
    before = [event.payload for event in sessions if event.id <= proposal.requested_event]
    selection = before[-1].get(SELECTION, 1) if before and isinstance(before[-1], Mapping) else SELECTION_VERSION
    return selection == SELECTION_VERSION and (proposal.proposer != BUILTIN or proposal.template == GRAMMAR)


def task_of_run(config: Config, task: str | None, recorded: str) -> TaskInfo:
    """The run's task. The archive may be untrusted, so a file that it names is executed only if the user names it too."""
    if task is None and TaskFile.of(config.task):
        raise TaskError(
            f"the run's task is in a file, {one_line(recorded, 80)}, and a file named only by an archive is not executed; "
            f"give your copy: --task {shlex.quote(f'path/to/{one_line(recorded, 80)}')}"
        )
    info = task_info(task or config.task, config.fitness)
    if info.name != recorded:
        raise TaskError(f"--task: expected the run's task, {one_line(recorded, 80)}, got {info.name}")
    return info


def _config(event: int, settings: Mapping[str, Any]) -> Config:
    try:
        return parse_config(settings)
    except ConfigError as error:
        raise CorruptArchive(
            f"the configuration in event {event} cannot be used ({error}); get a fresh copy of the archive, or replay it with the "
            "evopo that made it"
        ) from None


def _config_at(configs: list[tuple[int, Config]], event: int) -> Config:
    before = [config for begun, config in configs if begun <= event]
    if not before:
        raise CorruptArchive(
            f"the archive holds a proposal (event {event}), but no session before it; get a fresh copy of the archive"
        )
    return before[-1]


def _choice(step: str, proposal: ProposalRow, request: Request) -> str | None:
    """The difference between the choice of a step and the recorded one; None if they are the same."""
    chosen = request.operator, request.proposer, request.references
    recorded = proposal.operator, proposal.proposer, proposal.references
    if chosen == recorded:
        return None
    return f"{step}: chose {' '.join(map(str, chosen))}, recorded {' '.join(map(str, recorded))}"


def _differences(
    proposal: ProposalRow, request: Request, templates: Sequence[Templates], runner: asyncio.Runner
) -> list[str]:
    """`runner`: of all proposals, since an event loop costs as much as a small loss."""
    found = []
    step = f"step {proposal.step}, attempt {proposal.attempt}"
    if other := _choice(step, proposal, request):
        found.append(other)
    elif proposal.proposer == BUILTIN:
        if proposal.reply is not None:
            again = runner.run(BuiltinProposer().ask(request, _Silent(), 1)).text
            if proposed_graph(BUILTIN, again) != proposed_graph(
                BUILTIN, proposal.reply
            ):  # not thoughts: wording may change
                found.append(f"{step}: the built-in proposer makes a different loss")
    elif proposal.template not in {t.hash(request.template, contract_named(request.contract)) for t in templates}:
        found.append(f"{step}: the prompt templates have changed since then")
    return found


def _of_study(proposal: ProposalRow, request: Request, population: Population, reader: Reader) -> list[str]:
    step = f"step {proposal.step}, attempt {proposal.attempt}"
    if found := _choice(step, proposal, request):
        return [found]
    if proposal.reply is None or proposal.template != VERSION:
        return [] if proposal.reply is None else [f"{step}: studies have changed since then"]
    assert proposal.received_event is not None
    past = reader.as_of(proposal.received_event)
    if repeated(request, population.config.search, population.rungs[-1], past) != proposal.reply:
        return [f"{step}: the recorded trainings of the study give another result"]
    return []


class _Silent(AttemptObserver):
    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        return None

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        return None

    def noted(self, text: str) -> None:
        return None
