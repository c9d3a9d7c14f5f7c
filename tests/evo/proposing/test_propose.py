"""Proposers: who is asked, what is sent, and what is read in a recorded reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from histories import History, history
from loopback_llm import LoopbackLLM

from evo.config.proposer_settings import BUILTIN, OPENAI
from evo.config.schema import parse_config
from evo.proposing.briefing import messages
from evo.proposing.llm.client import Reply
from evo.proposing.propose import (
    BuiltinProposer,
    ModelProposer,
    Suggestion,
    Unusable,
    make_proposers,
    proposed_graph,
    read_reply,
    templates,
    which_proposers,
)
from evo.proposing.reply.reply import ReplyFormat
from evo.proposing.request import Request, request_for
from fitness.chat.costs import Prices
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.request import Message
from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import to_python


class Log:
    """Who observes the attempts."""

    def __init__(self) -> None:
        self.left: list[tuple[int, str, int]] = []

    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        self.left.append((attempt, model, len(messages)))

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        raise AssertionError(error)

    def noted(self, text: str) -> None:
        return None


@pytest.fixture
def run(tmp_path: Path) -> Iterator[History]:
    """A run with two seed losses, a proposal, and one that was refused."""
    with history(tmp_path, search={"islands": 1}) as run:
        run.scored(run.seed("cross_entropy"), 0.5)
        run.scored(run.seed("mse"), 0.4)
        run.scored(run.accepted(run.bred(1, "refine", [1])), 0.6)
        run.refused(run.bred(2))
        yield run


def request(run: History, operator: str) -> Request:
    asked = (request_for(run.population(), step, run.reader) for step in range(3, 400))
    return next(one for one in asked if one.operator == operator)


def text_of(asked: Request) -> str:
    return "\n".join(message.content for message in messages(asked, ReplyFormat.JSON))


# ---- who is asked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "a_model"),
    [
        ({}, False),
        ({"llm": {"model": "m"}}, True),
        ({"llm": {"base_url": "http://127.0.0.1:1/v1"}}, True),
        ({"proposer": "openai"}, True),
        ({"proposer": "builtin", "llm": {"model": "m"}}, False),
    ],
    ids=str,
)
def test_a_model_is_asked_where_the_configuration_names_one(settings: dict[str, Any], a_model: bool) -> None:
    config = parse_config(settings)
    assert config.asks_a_model is a_model
    proposers = make_proposers(config, {"OPENAI_API_KEY": "k"})
    line = which_proposers(config, proposers, {"OPENAI_API_KEY": "k"})
    assert [*proposers] == ([OPENAI, BUILTIN] if a_model else [BUILTIN])
    assert all(proposer.name == name for name, proposer in proposers.items())
    assert ("built-in" in line) is not a_model
    assert len(set(templates(config, "preference").values())) == (4 if a_model else 1), (
        "each prompt has a version of its own"
    )


def test_a_model_without_a_key_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(LLMError, match="MY_KEY") as caught:
        make_proposers(parse_config({"llm": {"model": "m", "api_key_env": "MY_KEY"}}), {})
    assert caught.value.kind is ErrorKind.CONFIGURATION


# ---- the built-in proposer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["explore", "refine", "combine", "repair"])
def test_the_built_in_proposer_makes_the_same_loss_of_the_same_request_and_tells_of_one_attempt(
    run: History, operator: str
) -> None:
    asked, log = request(run, operator), Log()
    replies = [asyncio.run(BuiltinProposer().ask(asked, log, attempt)) for attempt in (1, 2)]
    assert replies[0].text == replies[1].text
    assert log.left == [(1, "", 0), (2, "", 0)]
    suggestion = read_reply(BUILTIN, replies[0].text, "classification")
    graph = proposed_graph(BUILTIN, replies[0].text)
    assert isinstance(suggestion, Suggestion) and graph is not None
    assert suggestion.source == to_python(VerifiedGraph.from_json(graph), name="loss")


def test_another_step_or_seed_breeds_another_loss(run: History) -> None:
    asked = request(run, "explore")
    texts = [
        asyncio.run(BuiltinProposer().ask(one, Log(), 1)).text
        for one in (asked, replace(asked, step=asked.step + 1), replace(asked, seed=1))
    ]
    assert len(set(texts)) == 3


GRAPH = known.graph("mse").to_json()


@pytest.mark.parametrize(
    "reply",
    [
        "", "{", "[]", "null", "3", "{}", json.dumps({"name": "n", "thought": "t"}),
        json.dumps({"name": "n", "thought": "t", "graph": "no graph"}), json.dumps({"name": "n", "graph": GRAPH}),
        json.dumps({"name": "n", "thought": "t", "graph": GRAPH.replace("softmax", "system")}), "[" * 5000,
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_recorded_reply_of_the_built_in_proposer_that_holds_no_graph_says_so(reply: str) -> None:
    read = read_reply(BUILTIN, reply, "classification")
    assert isinstance(read, Unusable) and "the built-in proposer's reply cannot be read" in read.message


def test_the_name_in_a_recorded_reply_is_text_whatever_it_was() -> None:
    read = read_reply(BUILTIN, json.dumps({"name": 3, "thought": None, "graph": GRAPH}), "classification")
    assert isinstance(read, Suggestion) and (read.name, read.thought) == ("3", "None")


# ---- what a model is sent and what it answers ---------------------------------------------------------------------------


def test_a_reply_of_a_model_without_a_loss_says_why_and_what_to_do() -> None:
    read = read_reply(OPENAI, "I would rather think about margins first.", "classification")
    assert isinstance(read, Unusable) and ";" in read.message


def test_a_reply_of_a_model_is_source_without_a_graph_of_ours() -> None:
    code = "def loss(logits, targets):\n    return F.cross_entropy(logits, targets, reduction='none')\n"
    read = read_reply(OPENAI, json.dumps({"thought": "t", "name": "n", "code": code}), "classification")
    assert isinstance(read, Suggestion) and (read.name, read.thought) == ("n", "t")
    assert proposed_graph(OPENAI, json.dumps({"graph": GRAPH})) is None, (
        "only our own proposer's graphs need no tracing"
    )


def test_a_prompt_shows_parents_and_landmarks_with_their_scores(run: History) -> None:
    asked = request(run, "refine")
    text = text_of(asked)
    for loss in (*asked.parents, *asked.landmarks):
        assert loss.score is not None and loss.name in text and f"{loss.score[1].mean:.1f}" in text


def test_a_refused_loss_without_a_graph_is_shown_as_it_was_written_with_what_refused_it(run: History) -> None:
    text = text_of(request(run, "repair"))
    assert "return 2 * logits.sum(1)" in text
    assert "SBX103" in text and "the message of SBX103" in text and "do it otherwise" in text


def test_a_finding_at_a_line_is_left_out_where_the_code_is_printed_anew(tmp_path: Path) -> None:
    with history(tmp_path, search={"islands": 1}) as run:
        run.scored(run.seed("cross_entropy"), 0.5)
        run.refused(run.bred(1), "SBX304", known.graph("focal"))
        text = text_of(request(run, "repair"))
    assert "the message of SBX304" not in text, "its line is one of the source, which is not shown"
    assert to_python(known.graph("focal"), name="loss").splitlines()[-1].strip() in text


def asked_of(server: LoopbackLLM, asked: Request, log: Log) -> Reply:
    async def one() -> Reply:
        endpoint = Endpoint("scripted-1", server.base_url, max_tokens=100)
        async with ModelProposer(endpoint) as model:
            return await model.ask(asked, log, 3)

    return asyncio.run(one())


def test_a_model_is_sent_the_prompt_of_the_request_at_its_temperature(run: History) -> None:
    asked, log = replace(request(run, "combine"), temperature=0.3), Log()
    with LoopbackLLM() as server:
        reply = asked_of(server, asked, log)
        (body,) = server.bodies
    assert [m["content"] for m in body["messages"]] == [m.content for m in messages(asked, ReplyFormat.JSON)]
    assert body["temperature"] == 0.3
    assert log.left == [(3, "scripted-1", len(body["messages"]))]
    assert reply.text


def test_the_worst_case_of_a_call_grows_with_its_prompt_and_is_priced_where_prices_are_known(run: History) -> None:
    short = request(run, "refine")
    long = replace(short, parents=short.parents * 5)
    costs = []
    for prices in (Prices(), Prices(1.0, 2.0)):
        model = ModelProposer(Endpoint("m", "http://127.0.0.1:1/v1", max_tokens=100, prices=prices))
        costs.append([model.worst_case(asked) for asked in (short, long)])
    assert costs[0][0][0] < costs[0][1][0] and costs[0][0][1] == 0.0
    assert 0.0 < costs[1][0][1] < costs[1][1][1]
    assert costs[0][0][0] >= 100 + len(text_of(short)) // 4
