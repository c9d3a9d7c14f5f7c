"""Proposers: from a request to the text of a reply, and from that text to a loss.

The two steps are separate because the reply is committed to the archive between them: an interrupted run parses the recorded reply
again and does not request it twice. `BuiltinProposer` is genetic programming on graphs, `ModelProposer` uses a language model; both
have the same operators.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from analysis.recorded import refusing
from archive.records import PERSON, SUMMARISE
from evo.config.proposer_settings import BUILTIN, DEFAULT_MODEL, OPENAI, LLMConfig
from evo.config.schema import Config
from evo.proposing import genetic
from evo.proposing.briefing import checked, messages, switches
from evo.proposing.llm.client import AttemptObserver, LLMClient, Prompt, Reply
from evo.proposing.prompting import BUILT_IN, EVERYTHING, Switches, Templates
from evo.proposing.reply.reply import ParseFailure, ReplyFormat, parse_reply
from evo.proposing.request import Request
from evo.proposing.studies.study import STUDY
from evo.search.individuals import CHANGE
from evo.search.operators import OPERATORS
from evo.search.rng import derive, stream
from fitness.chat.costs import Prices
from fitness.chat.endpoint import Endpoint, Retry
from fitness.chat.request import Message
from sandbox.contracts.contract import Contract, contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError
from sandbox.graph.printers import to_python

OWN = (BUILTIN, STUDY)
"""Proposers of our own code, whose replies hold graphs."""
GRAMMAR = f"genetic-{genetic.VERSION}"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A proposed loss as source code."""

    name: str
    thought: str
    source: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A reply without a loss; `message` says why."""

    message: str


class Proposer(Protocol):
    """Answers requests. An async context manager."""

    name: str

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint of the language model; None for the built-in proposer."""

    def template(self, request: Request) -> str:
        """Version of the proposer for this request: a hash of the prompt templates, or the version of the genetic operators."""

    def worst_case(self, request: Request) -> tuple[int, float]:
        """Maximum tokens and USD of one call; 0 USD if the prices are unknown."""

    async def ask(self, request: Request, observer: AttemptObserver, first_attempt: int) -> Reply:
        """The reply. Raises LLMError. `observer` is called before each attempt is sent, and after it failed."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def templates(config: Config, contract: str) -> dict[str, str]:
    """`Proposer.template` by operator, for the manifest of a run."""
    if not config.asks_a_model:
        return {operator.name: GRAMMAR for operator in OPERATORS}
    chosen, of = Templates.of(config.prompt.templates), contract_named(contract)
    return {o.name: GRAMMAR if o.prompt is None else chosen.hash(o.prompt, of) for o in OPERATORS}


def section_of(name: str) -> str:
    """The section of the configuration that names a language model; error messages refer to its options."""
    return "llm" if name == OPENAI else f"proposers.{name}"


def make_proposers(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, Proposer]:
    """The proposers of the configuration by name. Among them is the built-in one, for operators that no model is asked for.

    Raises LLMError, TemplateFault.
    """
    found: dict[str, Proposer] = {}
    if config.asks_a_model:
        templates = checked(Templates.of(config.prompt.templates))
        for name, llm in config.endpoints.items():
            found[name] = _model_proposer(name, llm, config, templates, environ)
    return found | {BUILTIN: BuiltinProposer()}


def _model_proposer(
    name: str, llm: LLMConfig, config: Config, templates: Templates, environ: Mapping[str, str]
) -> ModelProposer:
    endpoint = Endpoint.resolve(
        llm.model or DEFAULT_MODEL,
        base_url=llm.base_url,
        key_variable=llm.api_key_env,
        environ=environ,
        timeout=llm.timeout_seconds,
        max_tokens=llm.max_tokens,
        prices=Prices(llm.usd_per_million_in, llm.usd_per_million_out),
        reasoning_effort=llm.reasoning_effort,
        extra_body=llm.extra_body,
        section=section_of(name),
    )
    return ModelProposer(
        endpoint, Retry(attempts=llm.attempts), templates, switches(config.prompt), name=name,
        reply_format=ReplyFormat(llm.reply), context_tokens=llm.context_tokens, concurrency=llm.concurrency,
    )  # fmt: skip


def which_proposers(config: Config, proposers: Mapping[str, Proposer], environ: Mapping[str, str] = os.environ) -> str:
    """One line that says which proposers a run has, and why."""
    llm = config.llm
    if config.asks_a_model:
        models = [f"{e.model} at {e.where.place}" for p in proposers.values() if (e := p.endpoint)]
        if config.proposers is not None:
            given = zip(config.proposers, models, strict=True)
            models = [f"{one.name} ({model}, weight {one.weight:g})" for one, model in given]
        if config.asks_the_builtin:
            models.append("built-in genetic programming" + " (builtin, weight 1)" * (config.proposers is not None))
        return f"Proposer{'s' * (len(models) > 1)}: {', '.join(models)}."
    line = "Proposer: built-in genetic programming."
    there = [name for name in (llm.api_key_env, "OPENAI_BASE_URL") if environ.get(name)]
    if config.proposer == "auto" and there:
        line += (
            f" {' and '.join(there)} {'are' if len(there) > 1 else 'is'} set and not used; to let a language model propose: "
            f"--set llm.model={DEFAULT_MODEL} --set budget.tokens=500000"
        )
    elif config.proposer == "auto":
        line += " No endpoint is configured (llm.base_url or llm.model)."
    return line


def read_reply(proposer: str, reply: str, contract: str) -> Suggestion | Unusable:
    """The loss in a recorded reply. `proposer` and `contract` are names."""
    if proposer == PERSON:
        return _read_own(reply)
    return _read_graph(reply) if proposer in OWN else _read_text(reply, contract_named(contract))


def proposed_graph(proposer: str, reply: str) -> str | None:
    """The graph in a recorded reply of our own code, as JSON that is not verified; None for any other reply."""
    try:
        graph = json.loads(reply)["graph"] if proposer in OWN else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return graph if isinstance(graph, str) else None


class BuiltinProposer:
    """Genetic programming without cost or network; the reference that a language model must outperform."""

    name = BUILTIN
    endpoint: Endpoint | None = None

    def template(self, request: Request) -> str:
        return GRAMMAR

    def worst_case(self, request: Request) -> tuple[int, float]:
        return 0, 0.0

    async def ask(self, request: Request, observer: AttemptObserver, first_attempt: int) -> Reply:
        observer.started(first_attempt, "", ())
        parents = [
            genetic.Parent(p.graph, p.name, p.is_lower, p.children) for p in request.parents if p.graph is not None
        ]
        rules = [f.rule for p in request.parents for f in refusing(p.findings)]
        rng = stream(request.seed, "breed", request.step)
        hints = genetic.Hints(rules, request.favoured)
        made = genetic.propose(rng, request.contract, request.operator, parents, hints)
        told = {"name": made.name, "thought": made.thought, CHANGE: made.change}
        text = json.dumps({**told, "graph": made.graph.to_json()})
        return Reply(text, "", 0, 0, 0.0, 0.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ModelProposer:
    """A language model behind an OpenAI-compatible endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        retry: Retry | None = None,
        templates: Templates = BUILT_IN,
        switches: Switches = EVERYTHING,
        *,
        name: str = OPENAI,
        reply_format: ReplyFormat = ReplyFormat.JSON,
        context_tokens: int | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.name = name
        self.endpoint: Endpoint | None = endpoint
        self.templates = templates
        self._client = LLMClient(endpoint, retry, reply_format, context_tokens, concurrency)
        self._switches = switches
        self._written: tuple[Request, ReplyFormat, int | None, list[Message]] | None = None
        """The prompt that was written last."""

    def template(self, request: Request) -> str:
        return self.templates.hash(request.template, contract_named(request.contract))

    def worst_case(self, request: Request) -> tuple[int, float]:
        tokens, usd = self._client.worst_case(self.prompt(request))
        return tokens, usd or 0.0

    def prompt(self, request: Request) -> Prompt:
        """The prompt of a request for each reply format."""
        return lambda form, most_tokens: self._messages(request, form, most_tokens)

    async def ask(self, request: Request, observer: AttemptObserver, first_attempt: int) -> Reply:
        return await self._client.complete(
            self.prompt(request),
            temperature=request.temperature,
            seed=derive(request.seed, "reply", request.step),
            plain=request.operator == SUMMARISE,
            observer=observer,
            first_attempt=first_attempt,
        )

    def _messages(self, request: Request, form: ReplyFormat, most_tokens: int | None) -> list[Message]:
        """The prompt, which is written once for the budget and all attempts of a request."""
        if self._written is None or self._written[0] is not request or self._written[1:3] != (form, most_tokens):
            made = messages(request, form, self.templates, self._switches, most_tokens)
            self._written = request, form, most_tokens, made
        return self._written[3]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


def _read_text(reply: str, contract: Contract) -> Suggestion | Unusable:
    parsed = parse_reply(reply, contract)
    if isinstance(parsed, ParseFailure):
        return Unusable(f"{parsed.message}; {parsed.remedy}")
    return Suggestion(parsed.name, parsed.thought, parsed.code)


def _read_own(reply: str) -> Suggestion | Unusable:
    """The loss of a person, whose source is taken as it is."""
    try:
        data: Any = json.loads(reply)
        return Suggestion(str(data["name"]), str(data["thought"]), str(data["source"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return Unusable(f"the recorded loss of a person cannot be read: {error}")


def _read_graph(reply: str) -> Suggestion | Unusable:
    try:
        data: Any = json.loads(reply)
        if "graph" not in data and "trainings" in data:
            return Unusable(str(data["thought"]))
        graph = VerifiedGraph.from_json(data["graph"])
        return Suggestion(str(data["name"]), str(data["thought"]), to_python(graph, name="loss"))
    except (ValueError, KeyError, TypeError, RecursionError, GraphError) as error:
        return Unusable(f"the built-in proposer's reply cannot be read: {error}")
