"""What a search makes of an endpoint that fails, answers nothing of use, is slow, or does not tell what it cost."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from loopback_llm import Action, Answer, Fault, LoopbackLLM, Status

from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import ProposalState, RunRow
from archive.store import Archive
from evo.campaign.asking.endpoint_monitor import FAILURES, WITHOUT_LOSS, EndpointMonitor
from evo.campaign.backlog import add_seed_losses, open_steps
from evo.campaign.loop import Campaign, CampaignStopped
from evo.config.schema import Config, parse_config
from evo.proposing.propose import ModelProposer
from evo.search.budget import Spent
from evo.search.population import Population
from fitness.chat.costs import Prices
from fitness.chat.endpoint import Endpoint, Retry
from fitness.schedule.ladder import screening
from fitness.task import task_info
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.vetting.pool import VetPool

PROSE = "I would rather think about margins first."
REFUSED = json.dumps({"thought": "t", "name": "n", "code": "def loss(a):\n    return a\n"})
"""A reply with a loss that the sandbox refuses, so that nothing has to be trained."""
ACCEPTED = {
    "status": "accepted",
    "accepted": True,
    "contract": "preference",
    "graph": known.graph("dpo").to_json(),
    "hash": "h",
}
NO_LOSS = (Fault.NULL_CONTENT, PROSE)


@dataclass
class Search:
    """The search of a run on a server, session by session. What its one seed loss would be trained for is recorded beforehand."""

    folder: Path
    vetter: VetPool
    shown: list[str] = field(default_factory=list)
    used: Spent = field(default_factory=Spent)

    def session(self, server: LoopbackLLM, **settings: Any) -> str:
        """Returns why it ended; raises CampaignStopped."""
        config = parse_config({"workers": 2, "seeds": ["dpo"], **settings})
        return asyncio.run(self._session(config, server.base_url))

    async def _session(self, config: Config, url: str) -> str:
        info, path = task_info(config.task), self.folder / "archive.db"
        prices = Prices(config.llm.usd_per_million_in, config.llm.usd_per_million_out)
        endpoint = Endpoint(
            "m", url, timeout=config.llm.timeout_seconds, max_tokens=config.llm.max_tokens, prices=prices
        )
        row = RunRow("r", config.seed, config.task, info.contract, baseline="dpo")
        with (
            Archive.open(path) if path.exists() else Archive.create(path, row) as archive,
            Reader.open(path) as reader,
        ):
            vetter = self.vetter
            archive.recover()
            add_seed_losses(archive, reader, ["dpo"])
            population = Population(config, info, 2)
            async with ModelProposer(endpoint, Retry(config.llm.attempts, first_wait=0.01, longest_wait=0.05)) as model:
                monitor, pool = EndpointMonitor(self.shown.append), WorkerPool(config.task, {}, 2)
                running = Campaign(
                    config, archive, reader, population, {"builtin": model}, vetter, pool, monitor=monitor
                )
                if reader.verdict(1) is None:
                    archive.record_verdict(1, ACCEPTED)
                while jobs := screening(
                    population.advance(reader).entries(), info, population.ladder, population.seeds
                ):
                    for job in jobs:
                        archive.score_evaluation(archive.queue_evaluation(1, config.task, job.rung, job.seed), 0.5)
                try:
                    ended = await running._search()
                    running._raise_if_stopped()
                finally:
                    self.used = running.allowance.used
                return ended

    def snapshot(self) -> Snapshot:
        with Reader.open(self.folder / "archive.db") as reader:
            return Snapshot.of(reader)

    def next_step(self) -> int:
        """The step that a further session would begin with."""
        with Reader.open(self.folder / "archive.db") as reader:
            return next(itertools.chain(*open_steps(reader)))


@pytest.fixture(scope="module")
def vetter() -> Iterator[VetPool]:
    with VetPool(contract="preference") as pool:
        yield pool


@pytest.fixture
def search(tmp_path: Path, vetter: VetPool) -> Search:
    return Search(tmp_path, vetter)


USELESS: Sequence[tuple[Action, str]] = (
    (Fault.WRONG_CONTENT_TYPE, "a web page"),
    (Fault.EMPTY_CHOICES, "without any choice"),
    (Status(200, ["no", "completion"]), "no chat completion"),
)


@pytest.mark.parametrize(("action", "words"), USELESS, ids=lambda v: str(v)[:24])
def test_answers_of_no_use_count_and_a_few_in_a_row_end_the_session(search: Search, action: Action, words: str) -> None:
    with (
        LoopbackLLM([action] * 50) as server,
        pytest.raises(CampaignStopped, match=r"[345] requests in a row") as stopped,
    ):
        search.session(server, budget={"proposals": 20}, search={"in_flight": 3})
    assert words in str(stopped.value) and "the same command" in str(stopped.value)
    assert FAILURES <= server.requests <= FAILURES + 2, "those that were under way are waited for"
    assert search.used.proposals == search.snapshot().spending.steps == server.requests
    assert search.next_step() == server.requests + 1, "what was answered is not asked for again"
    assert len(search.shown) == 1 and words in search.shown[0] and "\n" not in search.shown[0]


def test_prompts_that_are_too_long_are_shortened_as_far_as_they_can_be_and_then_count(search: Search) -> None:
    with LoopbackLLM([Fault.TOO_LONG] * 200) as server, pytest.raises(CampaignStopped) as stopped:
        search.session(server, budget={"proposals": 20}, search={"in_flight": 1})
    assert "maximum context length is 8192" in str(stopped.value)
    assert search.used.proposals == FAILURES < server.requests, "each was tried again with a shorter prompt"
    assert search.next_step() == FAILURES + 1, "what was answered is not asked for again"
    sizes = [sum(len(m["content"]) for m in body["messages"]) for body in server.bodies]
    assert sizes[0] > sizes[-1]


STOPS: Sequence[tuple[Action, str]] = (
    (Fault.UNAUTHORIZED, "OPENAI_API_KEY"),
    (Fault.NOT_FOUND, "llm.model"),
)


@pytest.mark.parametrize(("action", "words"), STOPS, ids=lambda v: str(v))
def test_an_answer_that_no_patience_mends_ends_the_session_at_once(search: Search, action: Action, words: str) -> None:
    with LoopbackLLM([action] * 50) as server, pytest.raises(CampaignStopped) as stopped:
        search.session(server, budget={"proposals": 20}, search={"in_flight": 1})
    assert words in str(stopped.value) and server.requests == 1


def test_replies_without_a_loss_cost_one_proposal_each_and_the_search_goes_on(search: Search) -> None:
    bad = [Fault.BROKEN_JSON, Fault.PROSE, Fault.EMPTY_CHOICES, Fault.CUT_OFF, Fault.NULL_CONTENT]
    faults = dict(zip((2, 3, 5, 7, 8), bad, strict=True))
    with LoopbackLLM([REFUSED] * 50, faults=faults) as server:
        ended = search.session(server, budget={"proposals": 9}, llm={"attempts": 1})
    assert "9 proposals is reached" in ended and server.requests == 9
    proposals = search.snapshot().proposals.values()
    failed = [p for p in proposals if p.state is ProposalState.FAILED]
    assert len(failed) == len(bad) and all(p.error for p in failed)
    assert len(search.snapshot().candidates) == 1 + 9 - len(bad)


def test_a_budget_of_tokens_counts_calls_that_are_under_way(search: Search) -> None:
    budget, llm = {"proposals": None, "tokens": 30_000}, {"max_tokens": 2000}
    with LoopbackLLM([REFUSED] * 90, latency=0.1) as server:
        assert "tokens is reached" in search.session(server, budget=budget, llm=llm, search={"in_flight": 5})
    spending = search.snapshot().spending
    assert 0 < spending.tokens_in + spending.tokens_out <= 30_000


def test_answers_of_no_use_reach_the_budget_of_proposals(search: Search) -> None:
    with LoopbackLLM([Fault.BROKEN_JSON, REFUSED] * 20) as server:
        assert "6 proposals is reached" in search.session(server, budget={"proposals": 6}, search={"in_flight": 1})
    assert server.requests == 6 and search.used.proposals == 6


def test_an_outage_ends_the_session_and_leaves_the_budget_to_the_next_one(search: Search) -> None:
    settings = {"budget": {"proposals": 3}, "llm": {"attempts": 2}}
    with LoopbackLLM([Fault.SERVER_ERROR] * 50) as server, pytest.raises(CampaignStopped, match="the same command"):
        search.session(server, **settings)
    assert search.used.proposals == 0 and search.next_step() == 1
    with LoopbackLLM([REFUSED] * 50) as server:
        assert "3 proposals is reached" in search.session(server, **settings)
    assert search.used.proposals == server.requests == 3
    assert sorted(p.step for p in search.snapshot().proposals.values() if p.reply) == [1, 2, 3]


@pytest.mark.parametrize("action", NO_LOSS, ids=str)
def test_replies_without_a_loss_end_the_session_with_what_they_lacked(search: Search, action: Action) -> None:
    with LoopbackLLM([action] * 90) as server, pytest.raises(CampaignStopped, match="no loss") as stopped:
        search.session(server, budget={"proposals": 80}, search={"in_flight": 3})
    assert "llm.max_tokens" in str(stopped.value) and "--reply" in str(stopped.value)
    assert WITHOUT_LOSS <= server.requests <= WITHOUT_LOSS + 2, "those that were under way are waited for"
    assert search.used.proposals == server.requests


def test_a_weak_model_that_writes_prose_now_and_then_goes_on(search: Search) -> None:
    with LoopbackLLM([*[PROSE] * (WITHOUT_LOSS - 1), REFUSED] * 3) as server:
        ended = search.session(server, budget={"proposals": 3 * WITHOUT_LOSS}, search={"in_flight": 1})
    assert "proposals is reached" in ended and server.requests == 3 * WITHOUT_LOSS


def test_a_loss_that_was_under_way_when_patience_ended_begins_the_counting_anew(search: Search) -> None:
    late = Answer(REFUSED, delay=1.0)
    with LoopbackLLM([late, *[PROSE] * WITHOUT_LOSS, *[REFUSED] * 9]) as server:
        ended = search.session(server, budget={"proposals": WITHOUT_LOSS + 3}, search={"in_flight": 2})
    assert "proposals is reached" in ended and server.requests == WITHOUT_LOSS + 3


PRICES = {"max_tokens": 500, "usd_per_million_in": 1, "usd_per_million_out": 4}


@pytest.mark.parametrize("limit", [{"tokens": 20_000}, {"usd": 0.02}], ids=lambda v: next(iter(v)))
@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 3000}, {"total_tokens": 3300}], ids=str)
def test_a_budget_is_reached_where_replies_do_not_tell_what_they_cost(
    search: Search, usage: dict[str, int] | None, limit: dict[str, float]
) -> None:
    with LoopbackLLM(fallback=lambda body, number: Answer(REFUSED, usage=usage)) as server:
        ended = search.session(server, budget={"proposals": None, **limit}, llm=PRICES)
        most = [len(m["content"]) // 3 + 8 for body in server.bodies for m in body["messages"]]
    name, amount = next(iter(limit.items()))
    assert f"{name} is reached" in ended
    tokens_in = 3000 * server.requests if usage == {"prompt_tokens": 3000} else sum(most)
    assert search.used.tokens == tokens_in + 500 * server.requests
    assert search.used.usd == pytest.approx((tokens_in + 4 * 500 * server.requests) / 1e6)
    assert getattr(search.used, name) <= amount
    spending = search.snapshot().spending
    assert spending.tokens_in + spending.tokens_out == search.used.tokens
    assert spending.usd == pytest.approx(search.used.usd)
    assert spending.at_most == server.requests and spending.unpriced == 0


def test_attempts_that_may_have_been_paid_for_are_not_repeated_beyond_the_budget(search: Search) -> None:
    settings = {"budget": {"proposals": 9, "tokens": 14_000}, "llm": {**PRICES, "timeout_seconds": 0.3, "attempts": 9}}
    with LoopbackLLM([Fault.HANG] * 50) as server:
        ended = search.session(server, **settings, search={"in_flight": 1})
    assert "tokens is reached" in ended and len(search.snapshot().proposals) > 1
    assert search.used.tokens <= 14_000 and search.used.proposals == 0


def test_a_server_with_one_slot_is_asked_less_and_the_run_ends_well(search: Search) -> None:
    def one_slot(body: dict[str, Any], number: int) -> Action:
        """The first of four is answered. Then it works on for those who gave up: three, two more, and one at a time."""
        while number == 1 and server.requests < 4 and not server.closing.wait(0.005):
            pass
        return Fault.HANG if 1 < number <= 4 + 2 + 2 else REFUSED

    with LoopbackLLM(fallback=one_slot) as server:
        ended = search.session(
            server, budget={"proposals": 4}, llm={"timeout_seconds": 1.0, "attempts": 2}, search={"in_flight": 4}
        )
    assert "proposals is reached" in ended
    assert any("4 requests were in progress" in line and "search.in_flight=" in line for line in search.shown)
    proposals = search.snapshot().proposals.values()
    late = [p for p in proposals if p.state is ProposalState.FAILED]
    assert late and all(p.error and "search.in_flight" in p.error for p in late)
    assert {p.step for p in proposals if p.reply} == set(range(1, 5)), "no step was given up"
    assert search.snapshot().spending.at_most == len(late), "each may have been paid for"
