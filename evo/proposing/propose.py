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
from evo.config.schema import DEFAULT_MODEL, Config
from evo.proposing import genetic
from evo.proposing.llm.client import AttemptObserver, LLMClient, Reply
from evo.proposing.prompting import Briefing, ChatTurn, LandmarkView, ParentView, TaskView, render, template_hash
from evo.proposing.reply.reply import ParseFailure, ReplyFormat, parse_reply
from evo.proposing.request import Parent, Request, Turn
from evo.search.operators import OPERATORS
from evo.search.rng import derive, stream
from fitness.chat.costs import Prices
from fitness.chat.endpoint import Endpoint, Retry
from fitness.chat.request import Message
from sandbox.contracts.contract import Contract, contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError
from sandbox.graph.printers import to_python

BUILTIN, OPENAI = "builtin", "openai"
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


def asks_a_model(config: Config) -> bool:
    """Whether a language model proposes. Only the configuration decides: an API key in the environment alone causes no cost."""
    return config.proposer == OPENAI or (config.proposer == "auto" and bool(config.llm.base_url or config.llm.model))


def templates(config: Config, contract: str) -> dict[str, str]:
    """`Proposer.template` by operator, for the manifest of a run."""
    if not asks_a_model(config):
        return {operator.name: GRAMMAR for operator in OPERATORS}
    return {operator.name: template_hash(operator.prompt, contract_named(contract)) for operator in OPERATORS}


def make_proposer(config: Config, environ: Mapping[str, str] = os.environ) -> tuple[Proposer, str]:
    """The proposer of the configuration, and one line that says which it is and why. Raises LLMError."""
    llm = config.llm
    if asks_a_model(config):
        endpoint = Endpoint.resolve(
            llm.model or DEFAULT_MODEL,
            base_url=llm.base_url,
            key_variable=llm.api_key_env,
            environ=environ,
            timeout=llm.timeout_seconds,
            max_tokens=llm.max_tokens,
            prices=Prices(llm.usd_per_million_in, llm.usd_per_million_out),
        )
        return ModelProposer(
            endpoint, Retry(attempts=llm.attempts)
        ), f"Proposer: {endpoint.model} at {endpoint.where.place}."
    line = "Proposer: built-in genetic programming."
    there = [name for name in (llm.api_key_env, "OPENAI_BASE_URL") if environ.get(name)]
    if config.proposer == "auto" and there:
        line += (
            f" {' and '.join(there)} {'are' if len(there) > 1 else 'is'} set and not used; to let a language model propose: "
            f"--set llm.model={DEFAULT_MODEL} --set budget.tokens=500000"
        )
    elif config.proposer == "auto":
        line += " No endpoint is configured (llm.base_url or llm.model)."
    return BuiltinProposer(), line


def read_reply(proposer: str, reply: str, contract: str) -> Suggestion | Unusable:
    """The loss in a recorded reply. `proposer` and `contract` are names."""
    return _read_graph(reply) if proposer == BUILTIN else _read_text(reply, contract_named(contract))


def proposed_graph(proposer: str, reply: str) -> str | None:
    """The graph in a recorded reply of the built-in proposer, as JSON that is not verified; None for any other reply."""
    try:
        graph = json.loads(reply)["graph"] if proposer == BUILTIN else None
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
        parents = [genetic.Parent(p.graph, p.name) for p in request.parents if p.graph is not None]
        rules = [f.rule for p in request.parents for f in refusing(p.findings)]
        rng = stream(request.seed, "breed", request.step)
        made = genetic.propose(rng, request.contract, request.operator, parents, rules)
        text = json.dumps({"name": made.name, "thought": made.thought, "graph": made.graph.to_json()})
        return Reply(text, "", 0, 0, 0.0, 0.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ModelProposer:
    """A language model behind an OpenAI-compatible endpoint."""

    name = OPENAI

    def __init__(self, endpoint: Endpoint, retry: Retry) -> None:
        self.endpoint: Endpoint | None = endpoint
        self._client = LLMClient(endpoint, retry)
        self._written: tuple[Request, ReplyFormat, list[Message]] | None = None
        """The prompt that was written last."""

    def template(self, request: Request) -> str:
        return template_hash(request.template, contract_named(request.contract))

    def worst_case(self, request: Request) -> tuple[int, float]:
        tokens, usd = self._client.worst_case(lambda form: self._messages(request, form))
        return tokens, usd or 0.0

    async def ask(self, request: Request, observer: AttemptObserver, first_attempt: int) -> Reply:
        return await self._client.complete(
            lambda form: self._messages(request, form),
            temperature=request.temperature,
            seed=derive(request.seed, "reply", request.step),
            observer=observer,
            first_attempt=first_attempt,
        )

    def _messages(self, request: Request, form: ReplyFormat) -> list[Message]:
        """The prompt, which is written once for the budget and all attempts of a request."""
        if self._written is None or self._written[0] is not request or self._written[1] != form:
            self._written = request, form, messages(request, form)
        return self._written[2]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


def messages(request: Request, form: ReplyFormat) -> list[Message]:
    """The prompt of a request. Equal requests give equal prompts."""
    briefing = Briefing(
        contract=contract_named(request.contract),
        task=TaskView(request.task, request.metric, noise=request.noise),
        parents=[_view(p) for p in request.parents],
        landmarks=[_landmark(p) for p in request.landmarks],
        wanted=", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in request.wanted.items()),
        turns=[_turn(t) for t in request.turns],
    )
    return render(request.template, briefing, form)


def _view(parent: Parent) -> ParentView:
    score = parent.score[1] if parent.score else None
    return ParentView(
        code=parent.code,
        name=parent.name,
        thought=parent.thought,
        fitness=score.mean if score else None,
        standard_error=score.standard_error if score else None,
        seeds=score.seeds if score else 0,
        pooled=score.pooled if score else False,
        descriptors=parent.descriptors,
        # Line numbers refer to the source. If the code is printed from the graph, they would point to other lines.
        findings=[f for f in parent.findings if parent.graph is None or f.line is None],
        failure="; ".join(f"{e.reason}: {e.detail}" for e in parent.failures),
    )


def _landmark(parent: Parent) -> LandmarkView:
    score = parent.score[1] if parent.score else None
    if score is None:
        return LandmarkView(parent.name, None)
    return LandmarkView(parent.name, score.mean, score.standard_error, score.seeds, score.pooled)


def _turn(turn: Turn) -> ChatTurn:
    return ChatTurn(turn.reply, turn.fitness, turn.failure)


def _read_text(reply: str, contract: Contract) -> Suggestion | Unusable:
    parsed = parse_reply(reply, contract)
    if isinstance(parsed, ParseFailure):
        return Unusable(f"{parsed.message}; {parsed.remedy}")
    return Suggestion(parsed.name, parsed.thought, parsed.code)


def _read_graph(reply: str) -> Suggestion | Unusable:
    try:
        data: Any = json.loads(reply)
        graph = VerifiedGraph.from_json(data["graph"])
        return Suggestion(str(data["name"]), str(data["thought"]), to_python(graph, name="loss"))
    except (ValueError, KeyError, TypeError, RecursionError, GraphError) as error:
        return Unusable(f"the built-in proposer's reply cannot be read: {error}")
