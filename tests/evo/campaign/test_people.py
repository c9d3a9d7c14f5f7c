"""What people do to a search, and how a search ends before its budget: whole sessions on a task that trains nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from instant import InstantRun, Scripted, install
from loopback_llm import proposal, valid_loss

from analysis.lineage.graph import nodes
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import EventKind, Origin
from archive.sqlite.appending import append_event
from evo.campaign.loop import Campaign, CampaignStopped
from evo.campaign.replay import replay_run
from evo.campaign.stop_rules import leads
from evo.config.rundir import RunDir
from fitness.workers.pool import WorkerPool
from sandbox.vetting.pool import VetPool

pytest.importorskip("torch")

PROSE = "I would rather think about margins first."
TRICK = proposal("import os\ndef loss(a):\n    return os.environ\n")


def reply(step: int) -> str:
    return proposal(valid_loss(step), f"thought {step}", f"loss_{step}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, VetPool, WorkerPool, Path]]:
    """An event loop, a sandbox and a worker for all sessions of this file."""
    folder = tmp_path_factory.mktemp("instant")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner, VetPool(contract="preference") as vetter:
        install(folder / "site", patch)
        pool = WorkerPool("instant", {"folder": str(folder)}, 1)
        runner.run(pool.__aenter__())
        try:
            yield runner, vetter, pool, folder
        finally:
            runner.run(pool.__aexit__(None, None, None))


@contextmanager
def run_in(
    folder: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> Iterator[tuple[asyncio.Runner, InstantRun]]:
    loop, vetter, pool, held = place
    yield loop, InstantRun(folder / "run", vetter, pool, {"folder": str(held)})


def read(run: InstantRun) -> Snapshot:
    with Reader.open(run.archive) as reader:
        return Snapshot.of(reader)


def replays(run: InstantRun) -> bool:
    """Whether every recorded choice follows again. (Prompts are no part of it: a scripted proposer has no templates.)"""
    return "chose" not in replay_run(RunDir(run.folder)).text


def injected(run: InstantRun, number: int, name: str = "own") -> None:
    payload = {"author": "person", "name": name, "file": f"{name}.py", "sha256": "", "source": valid_loss(number)}
    append_event(run.archive, EventKind.INJECTED, payload)


def test_a_loss_given_between_two_sessions_is_vetted_trained_and_replays_and_is_no_proposal(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    with run_in(tmp_path, place) as (loop, run):
        loop.run(run.session(Scripted({}, reply), budget={"proposals": 2}))
        injected(run, 50)
        injected(run, 1, "twin")
        last = Scripted({}, reply)
        assert loop.run(run.session(last, budget={"proposals": 4})) == "the budget of 4 proposals is reached"
        loop.run(run.session(Scripted({}, reply), budget={"proposals": 4}))
        snapshot = read(run)
        people = {snapshot.candidates[id].name: id for id in snapshot.candidates if snapshot.by_person(id)}
        assert sorted(people) == ["own", "twin"], "each is taken once, however many sessions follow"
        assert snapshot.status(people["own"]) == "scored" and snapshot.status(people["twin"]) == "duplicate"
        assert snapshot.spending.steps == 4 and len(last.steps) == 2
        steps = [p.step for p in snapshot.proposals.values()]
        assert len(set(steps)) == len(steps) == 6
        with Reader.open(run.archive) as reader:
            assert [row["id"] for row in nodes(reader) if row.get("written_by") == "person"] == sorted(people.values())
        assert replays(run)


def test_a_loss_given_while_the_search_runs_is_taken_before_it_ends(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    def given(step: int) -> str:
        if step == 2:
            injected(run, 60)
        return reply(step)

    with run_in(tmp_path, place) as (loop, run):
        loop.run(run.session(Scripted({}, given), budget={"proposals": 3}))
        snapshot = read(run)
        assert [snapshot.step(id) for id in snapshot.candidates if snapshot.by_person(id)] != []
        assert snapshot.spending.steps == 3


def test_banned_losses_are_no_parents_and_in_no_prompt_and_pinned_ones_are_parents_often(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    settings = {"seeds": ["dpo", "ipo", "slic"], "budget": {"proposals": 3}}
    with run_in(tmp_path, place) as (loop, run):
        loop.run(run.session(Scripted({}, reply), **settings))
        ids = {row.name: row.id for row in read(run).candidates.values()}
        append_event(run.archive, EventKind.BANNED, {}, ids["ipo"])
        append_event(run.archive, EventKind.PINNED, {}, ids["loss_2"])
        model = Scripted({}, reply)
        loop.run(run.session(model, **{**settings, "budget": {"proposals": 23}}))
        shown = [{p.id for p in (*request.parents, *request.landmarks)} for request in model.asked]
        assert len(shown) == 20 and not any(ids["ipo"] in parents for parents in shown)
        bred = [[p.id for p in request.parents] for request in model.asked]
        assert sum(ids["loss_2"] in parents for parents in bred) >= 4
        append_event(run.archive, EventKind.UNBANNED, {}, ids["ipo"])
        again = Scripted({}, reply)
        loop.run(run.session(again, **{**settings, "budget": {"proposals": 25}}))
        assert all(ids["ipo"] in {p.id for p in (*r.parents, *r.landmarks)} for r in again.asked)
        assert replays(run)


def test_the_time_between_two_sessions_in_which_a_person_writes_is_not_running_time(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    seen: list[float] = []

    def begun(campaign: Campaign) -> None:
        seen.append(campaign.population.advance(campaign.reader).recorded_seconds)

    with run_in(tmp_path, place) as (loop, run):
        loop.run(run.session(Scripted({}, reply), budget={"proposals": 1}))
        loop.run(run.session(Scripted({}, reply), begun=begun, budget={"proposals": 1}))
        loop.run(asyncio.sleep(0.5))
        append_event(run.archive, EventKind.NOTED, {"text": "later"})
        loop.run(run.session(Scripted({}, reply), begun=begun, budget={"proposals": 1}))
        events = read(run).events
    noted = next(k for k, e in enumerate(events) if e.kind == EventKind.NOTED)
    gap = (read_time(events[noted].at) - read_time(events[noted - 1].at)) / 2
    second = read_time(events[noted - 1].at) - read_time(session_before(events, noted).at)
    assert seen[1] - seen[0] < second + gap


def read_time(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def session_before(events, index):
    return next(e for e in reversed(events[:index]) if e.kind == EventKind.SESSION_STARTED)


# ---- rules that end a search -------------------------------------------------------------------------------------------


def test_a_search_without_progress_ends_after_the_configured_number_of_proposals_and_resumes_to_the_same_end(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    never = Scripted({}, lambda step: reply(1))
    with run_in(tmp_path, place) as (loop, run):
        reason = loop.run(run.session(never, budget={"proposals": 50, "patience": 4}))
        assert reason.startswith("no progress in 4 proposals (budget.patience 4): the best is still loss_1")
        assert read(run).spending.steps == 5
        again = Scripted({}, reply)
        assert loop.run(run.session(again, budget={"proposals": 50, "patience": 4})) == reason
        assert again.steps == []
        loop.run(run.session(again, budget={"proposals": 7, "patience": 6}))
        assert len(again.steps) == 2, "a larger patience continues the search"


def test_a_target_needs_the_difference_to_exceed_it_by_its_error(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    ladder = {"finalists": 0, "contenders": 4, "contender_seeds": 4, "keep": 1.0}
    found: list[tuple[float, float]] = []

    def begun(campaign: Campaign) -> None:
        population = campaign.population.advance(campaign.reader)
        found[:] = [(lead.difference, lead.standard_error) for lead in leads(population)]

    with run_in(tmp_path, place) as (loop, run):
        loop.run(run.session(Scripted({}, reply), ladder=ladder, budget={"proposals": 8}))
        loop.run(run.session(Scripted({}, reply), begun=begun, ladder=ladder, budget={"proposals": 8}))
        assert found and all(error > 0 for _, error in found)
        best = max(difference - error for difference, error in found)
        held = Scripted({}, reply)
        more = {"proposals": 9}
        reason = loop.run(run.session(held, ladder=ladder, budget={**more, "target": best - 1e-6}))
        assert "the target" in reason and "is reached by" in reason and held.steps == []
        loop.run(run.session(held, ladder=ladder, budget={**more, "target": best + 1e-6}))
        assert held.steps == [9], "a difference within its error of the target does not end the search"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(1), "5 the same as an earlier loss"),
        (TRICK, "5 refused by the sandbox"),
        (PROSE, "5 without a loss in the reply"),
    ],
)
def test_a_proposer_that_brings_nothing_new_ends_the_session_with_a_message(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path], answer: str, words: str
) -> None:
    def begun(campaign: Campaign) -> None:
        campaign.monitor.give_up_after = 5

    model = Scripted({1: reply(1)}, lambda step: answer)
    with run_in(tmp_path, place) as (loop, run):
        with pytest.raises(CampaignStopped) as stopped:
            loop.run(run.session(model, begun=begun, budget={"proposals": 50}))
        assert words in str(stopped.value) and "search.give_up_after" in str(stopped.value)
        assert model.steps == [1, 2, 3, 4, 5, 6]
        better = Scripted({}, reply)
        assert (
            loop.run(run.session(better, begun=begun, budget={"proposals": 8}))
            == "the budget of 8 proposals is reached"
        )


def test_one_new_loss_starts_the_count_again(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    def begun(campaign: Campaign) -> None:
        campaign.monitor.give_up_after = 3

    model = Scripted({step: reply(step) for step in (1, 4, 7)}, lambda step: TRICK)
    with run_in(tmp_path, place) as (loop, run):
        assert "budget of 9" in loop.run(run.session(model, begun=begun, budget={"proposals": 9}))


# ---- seed losses of the user -------------------------------------------------------------------------------------------


def test_an_injected_loss_is_read_back_word_for_word() -> None:
    from evo.proposing.propose import Suggestion, read_reply

    source = "def loss(a):\n\treturn '```' # \u202e\n"
    text = json.dumps({"name": "n", "thought": "t", "source": source})
    assert read_reply("person", text, "preference") == Suggestion("n", "t", source)


def test_the_origin_of_a_person_s_loss_is_a_proposal(
    tmp_path: Path, place: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    with run_in(tmp_path, place) as (loop, run):
        loop.run(run.session(Scripted({}, reply), budget={"proposals": 0}))
        injected(run, 3)
        loop.run(run.session(Scripted({}, reply), budget={"proposals": 0}))
        (own,) = [row for row in read(run).candidates.values() if row.name == "own"]
        assert own.origin is Origin.PROPOSAL
