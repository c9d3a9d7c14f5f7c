"""`evopo prompt`: the prompt that would be sent next, while the run runs or afterwards. Nothing is requested or recorded.

Threat model. The run may come from another person. Its texts are printed with escapes for characters without a glyph; templates are
taken from the copies in the run directory and rendered in Jinja's sandbox; a task in a file is run only if the user names it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from analysis.output.encode import block, one_line
from analysis.recorded import sessions_of
from archive.query import Reader
from archive.records import STUDIES, SUMMARISE, EventKind
from evo.campaign.backlog import open_steps
from evo.campaign.replay import task_of_run
from evo.config.proposer_settings import BUILTIN
from evo.config.rundir import NotInRun, RunDir
from evo.config.schema import Config, parse_config
from evo.proposing.briefing import prompt_of
from evo.proposing.prompting import BUILT_IN, Templates, kept
from evo.proposing.request import Request, request_for
from evo.search.population import Population
from fitness.chat.request import Message, tokens_bound

STEPS_AHEAD = 200
"""Number of steps among which the first one with the wanted operator is looked for."""
CHARACTERS_PER_TOKEN = 4
"""Typical for English and code."""


def next_prompt_text(rundir: RunDir, operator: str | None, form: str, task: str | None = None) -> str:
    """The next prompt, as text or as JSON; with `operator`, that of the first coming step that uses it.

    `task`: the file of the run's task; required if the task is in a file. Raises NotInRun, ArchiveError, ConfigError, TaskError.
    """
    with Reader.open(rundir.archive) as reader, reader.consistent():
        sessions = sessions_of(reader.events(kind=EventKind.SESSION_STARTED))
        if not sessions or "kind" in reader.run().identity:
            raise NotInRun(f"{rundir.path} holds no search, so it has no prompts")
        config = parse_config(sessions[-1][1])
        population = Population(config, task_of_run(config, task, reader.run().task), 1).advance(reader)
        request = _next_request(population, reader, operator)
        templates = _templates(rundir, config)
    messages = prompt_of(request, config, templates)
    return _as_json(request, messages) if form == "json" else _as_text(config, request, messages)


def _next_request(population: Population, reader: Reader, operator: str | None) -> Request:
    begun, new = open_steps(reader)
    first = begun[0] if begun else next(new)
    if operator is not None and population.config.search.chat:
        raise NotInRun("search.mode is chat, which has no operators; leave --operator out")
    for step in range(first, first + STEPS_AHEAD):
        request = request_for(population, step, reader)
        if operator in (None, request.operator) and request.operator not in STUDIES:  # studies have no prompt
            if not request.parents and request.operator != SUMMARISE:
                raise NotInRun(
                    "the run has no loss yet that a prompt could show; try again when its seed losses are vetted"
                )
            return request_for(population, step, reader, prompted=True)
    raise NotInRun(
        f"none of the next {STEPS_AHEAD} steps would use {operator}, as the run stands: it needs losses that it may be used on "
        "(repair: a refused one)"
    )


def _templates(rundir: RunDir, config: Config) -> Templates:
    """The templates of the last session: the run's own copies, since the recorded folder may be any folder of this machine."""
    if config.prompt.templates is None:
        return BUILT_IN
    copies = kept(rundir.templates)
    if not copies:
        raise NotInRun(f"the run's own templates are missing: {rundir.templates} has no usable copy of them")
    return max(copies, key=lambda copy: rundir.templates.joinpath(copy.version[:16]).stat().st_mtime_ns)


def _as_text(config: Config, request: Request, messages: Sequence[Message]) -> str:
    parents = ", ".join(f"{one_line(p.name, 60)} (#{p.id})" for p in request.parents)
    lines = [
        f"Step {request.step}: {request.template}{f' of {parents}' if parents else ''}, temperature {request.temperature:g}. "
        f"About {_tokens(messages)} tokens, at most {tokens_bound(messages)}.",
    ]
    if request.proposer == BUILTIN:
        which = "This step's" if config.asks_a_model else "The run's"
        lines.append(f"{which} proposer is the built-in one, which gets this request as data, not as text.")
    elif config.proposers is not None:
        lines.append(f"For the proposer {request.proposer}.")
    return "\n".join([*lines, *(f"--- {m.role}\n{block(m.content)}" for m in messages), "---"])


def _as_json(request: Request, messages: Sequence[Message]) -> str:
    return json.dumps(
        {
            "step": request.step,
            "operator": request.operator,
            "prompt": request.template,
            "parents": [p.id for p in request.parents],
            "temperature": request.temperature,
            "tokens": {"about": _tokens(messages), "at_most": tokens_bound(messages)},
            "messages": [{"role": m.role, "content": m.content} for m in messages],
        },
        indent=2,
    )


def _tokens(messages: Sequence[Message]) -> int:
    return sum(len(m.content) // CHARACTERS_PER_TOKEN for m in messages)
