"""What a campaign makes of replies and verdicts, how it ends, and how the next session takes up what it left."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from campaigns import assert_sound
from instant import InstantRun, Scripted, install
from loopback_llm import proposal, valid_loss

from analysis.snapshot import Snapshot
from archive.errors import ArchiveError
from archive.query import Reader
from archive.records import CandidateRow, EvaluationState, EventKind, ProposalState, RunRow
from archive.store import Archive
from evo.campaign.loop import Campaign
from evo.config.schema import parse_config
from evo.proposing.propose import BuiltinProposer
from evo.search.population import Population
from evo.search.selection.members import SelectionSettings
from evo.search.selection.select import repairable
from fitness.task import task_info
from fitness.workers.pool import WorkerPool
from sandbox.verdicts.verdict import Severity
from sandbox.vetting.pool import VetPool

BENT = """
def bent(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return 1 - torch.sigmoid(beta * rho)
"""
"""Not convex, which is a note: SBX325."""

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def vetter() -> Iterator[VetPool]:
    with VetPool(contract="preference") as pool:
        yield pool


@contextmanager
def campaign(folder: Path, vetter: VetPool, **settings: object) -> Iterator[Campaign]:
    """A campaign that vets in earnest and trains nothing."""
    config = parse_config({"workers": 1, **settings})
    info = task_info(config.task)
    row = RunRow(config.name, config.seed, config.task, info.contract, baseline="dpo")
    with (
        Archive.create(folder / "archive.db", row) as archive,
        Reader.open(folder / "archive.db") as reader,
    ):
        population = Population(config, info, 1)
        pool = WorkerPool(config.task, {}, 1)
        yield Campaign(config, archive, reader, population, {"builtin": BuiltinProposer()}, vetter, pool)


def proposed(running: Campaign, step: int) -> CandidateRow:
    """The candidate that a reply of this step brought."""
    proposal = running.archive.request_proposal(
        step, 1, "explore", "openai", "m", 0.7, "t", {"island": 0, "parents": []}, 1
    )
    running.archive.receive_proposal(proposal, "reply")
    made = running.archive.add_candidate("proposal", "bent", "", BENT, "preference", proposal, [])
    return running.reader.candidate(made)


def judged(running: Campaign, candidate: CandidateRow) -> bool:
    """Whether it may be trained, once its verdict is recorded."""
    return running.record(candidate, asyncio.run(running.vet(candidate)))


def test_a_note_that_the_run_refuses_refuses_and_can_be_repaired(tmp_path: Path, vetter: VetPool) -> None:
    with campaign(tmp_path, vetter, refuse_notes=["SBX325"]) as running:
        kto = running.archive.add_candidate("seed", "kto_pair", "", "", "preference")
        assert judged(running, running.reader.candidate(kto)), "a loss that the user starts from is the user's choice"
        candidate = proposed(running, 1)
        assert not judged(running, candidate)
        verdict, findings = running.reader.verdict(candidate.id), running.reader.findings(candidate.id)
        assert verdict is not None and verdict.status == "refused" and verdict.fingerprint is None
        (refusal,) = [f for f in findings if f.severity == Severity.REFUSE]
        assert refusal.rule == "SBX325" and refusal.remedy
        members = running.population.advance(running.reader).members
        assert repairable(members, 0, SelectionSettings(islands=1)) == (candidate.id,)


def test_by_default_a_note_is_a_note(tmp_path: Path, vetter: VetPool) -> None:
    with campaign(tmp_path, vetter) as running:
        candidate = proposed(running, 1)
        assert judged(running, candidate)
        assert "SBX325" in {f.rule for f in running.reader.findings(candidate.id)}


# ---- whole sessions, on a task that trains nothing ---------------------------------------------------------------------

TRICK = json.dumps({"thought": "t", "name": "trick", "code": "import os\ndef loss(a):\n    return os.environ\n"})
"""A reply with a loss that the sandbox refuses."""


def reply(step: int) -> str:
    """A valid loss, another one for each step."""
    return proposal(valid_loss(step), f"thought {step}", f"loss_{step}")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which files tell the task `instant` what to do."""
    folder = tmp_path_factory.mktemp("instant")
    with pytest.MonkeyPatch.context() as patch:
        install(folder / "site", patch)
        yield folder


@contextmanager
def loop_of(
    folder: Path, held: Path, vetter: VetPool, **settings: object
) -> Iterator[tuple[asyncio.Runner, InstantRun]]:
    """A run on a worker that outlives its sessions, and the event loop that both live in."""
    options = {"folder": str(held)}
    with asyncio.Runner() as runner:
        pool = WorkerPool("instant", options, 1)
        runner.run(pool.__aenter__())
        try:
            yield runner, InstantRun(folder / "run", vetter, pool, options, settings)
        finally:
            runner.run(pool.__aexit__(None, None, None))


def read(run: InstantRun) -> Snapshot:
    with Reader.open(run.archive) as reader:
        return Snapshot.of(reader)


def found(run: InstantRun) -> dict[tuple[str, str, int], float | None]:
    """Fitness by name of the loss, rung of the search, and seed."""
    with Reader.open(run.archive) as reader:
        names = {c.id: c.name for c in reader.candidates()}
        return {
            (names[e.candidate_id], e.rung, e.seed): e.fitness for e in reader.evaluations() if e.rung != "held_out"
        }  # fmt: skip


STORY = {2: "I would rather think about margins first.", 3: reply(1), 4: TRICK}
"""Replies by step: prose, the first loss once more, one that is refused; the others are new losses."""
WITH_FINAL = {
    "budget": {"proposals": 5},
    "ladder": {"finalists": 1, "finalist_seeds": 2, "contenders": 1, "contender_seeds": 2, "keep": 0.34},
}


def test_a_session_that_ends_after_any_kind_of_event_is_taken_up_by_the_next_and_nothing_is_done_twice(
    tmp_path: Path, held: Path, vetter: VetPool
) -> None:
    with loop_of(tmp_path, held, vetter, **WITH_FINAL) as (loop, whole):
        loop.run(whole.session(Scripted(STORY, reply)))
        with Reader.open(whole.archive) as reader:
            counts = Counter(EventKind(event.kind) for event in reader.events())
        for kind in (EventKind.RUN_CREATED, EventKind.SESSION_STARTED, EventKind.FINISHED):
            del counts[kind]  # nothing of a campaign comes before or after these
        interrupted: set[EventKind] = set()
        for kind, number in [(kind, n) for kind, count in counts.items() for n in sorted({1, count})]:
            run = replace(whole, folder=tmp_path / f"after_{kind}_{number}")
            first, second = Scripted(STORY, reply), Scripted(STORY, reply)
            try:
                loop.run(run.session(first, until=(kind, number)))
            except ArchiveError as error:
                assert "no room" in str(error)
                interrupted.add(kind)
            else:  # promotions depend on the order of results: this run had fewer trainings, and nothing interrupted it
                with Reader.open(run.archive) as reader:
                    assert len(reader.events(kind=kind)) < number, "a failure to record ends the session"
                continue
            assert loop.run(run.session(second)) == "the budget of 5 proposals is reached", (kind, number)
            assert_sound(run.archive)
            again, once = found(run), found(whole)
            assert all(again[key] == once[key] for key in again.keys() & once.keys())
            assert {name for name, *_ in again} == {name for name, *_ in once}, f"after {kind} {number}"
            snapshot = read(run)
            answered = [p.step for p in snapshot.proposals.values() if p.reply is not None]
            lost = [p.step for p in snapshot.proposals.values() if p.state is ProposalState.LOST]
            assert sorted(answered) == [1, 2, 3, 4, 5], f"after {kind} {number}"
            assert sorted(first.steps + second.steps) in (sorted(answered), sorted(answered + lost))
            with Reader.open(run.archive) as reader:
                finals = [event.payload["seeds"] for event in reader.events(kind="final")]
                assert finals and all(seeds == finals[0] for seeds in finals), "the final keeps its seeds"
                assert [e.kind for e in reader.events()][-1] == "finished"
        assert interrupted == counts.keys()


@pytest.mark.parametrize("early", [2, 4])
def test_the_last_seeds_of_the_contenders_wait_for_the_last_proposal(
    tmp_path: Path, held: Path, vetter: VetPool, early: int
) -> None:
    ladder = {
        "finalists": 1,
        "contenders": 4,
        "contender_seeds": 4,
        "keep": 1.0,
        "optimism": 100.0,
        "early_seeds": early,
    }
    with loop_of(tmp_path, held, vetter, budget={"proposals": 8}, ladder=ladder) as (loop, run):
        loop.run(run.session(Scripted({}, reply)))
        snapshot = read(run)
        seeds = list(dict.fromkeys(e.seed for e in snapshot.evaluations if e.rung == "full"))[:4]
        last = max(p.received_event or 0 for p in snapshot.proposals.values())
        queued = [[e.queued_event for e in snapshot.evaluations if (e.rung, e.seed) == ("full", s)] for s in seeds]
        assert min(map(min, queued[:2])) < last
        assert (min(map(min, queued[2:])) > last) is (early == 2)


def test_a_training_that_is_under_way_when_the_session_ends_is_done_again_and_scored_once(
    tmp_path: Path, held: Path, vetter: VetPool
) -> None:
    async def interrupted(run: InstantRun) -> None:
        session = asyncio.ensure_future(run.session(Scripted({}, reply)))
        while not (held / "holding").exists():
            await asyncio.sleep(0.01)
        session.cancel()
        with pytest.raises(asyncio.CancelledError):
            await session

    with loop_of(tmp_path, held, vetter, budget={"proposals": 1}) as (loop, run):
        (held / "hold").touch()
        try:
            loop.run(interrupted(run))
            assert [e.state for e in read(run).evaluations] == [EvaluationState.RUNNING]
        finally:
            (held / "hold").unlink()
            (held / "holding").unlink()
        loop.run(run.session(Scripted({}, reply)))
        first = read(run).evaluations[0]
        assert (first.state, first.attempts) == (EvaluationState.SCORED, 2)
        assert_sound(run.archive)


def test_a_loss_that_repeats_one_whose_training_is_under_way_is_its_duplicate(
    tmp_path: Path, held: Path, vetter: VetPool
) -> None:
    def under_way(run: InstantRun, candidate: int) -> bool:
        running = [e for e in read(run).evaluations if e.state is EvaluationState.RUNNING]
        return candidate in {e.candidate_id for e in running}

    async def both(run: InstantRun, model: Scripted) -> None:
        model.hold = asyncio.Event()
        session = asyncio.ensure_future(run.session(model, search={"in_flight": 2}))
        while len(model.asked) < 2:
            await asyncio.sleep(0.01)
        (held / "hold").touch()
        model.hold.set()
        try:
            async with asyncio.timeout(60.0):
                while len(read(run).verdicts) < 3 or not under_way(run, 2):
                    await asyncio.sleep(0.01)
        finally:
            (held / "hold").unlink()
            await session

    with loop_of(tmp_path, held, vetter, budget={"proposals": 2}) as (loop, run):
        loop.run(both(run, Scripted({2: reply(1)}, reply)))
        duplicates = [v for v in read(run).verdicts.values() if v.duplicate_of is not None]
        assert [(v.candidate_id, v.duplicate_of, v.duplicate_kind) for v in duplicates] == [(3, 2, "hash")]
        assert {e.candidate_id for e in read(run).evaluations} == {1, 2}, "it is not trained"


def test_no_more_is_asked_for_than_the_budget_allows_while_all_requests_are_under_way(
    tmp_path: Path, held: Path, vetter: VetPool
) -> None:
    async def slow(run: InstantRun, model: Scripted) -> None:
        model.hold = asyncio.Event()
        session = asyncio.ensure_future(run.session(model, search={"in_flight": 5}))
        while len(model.asked) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # a third one would have left by now
        model.hold.set()
        assert await session == "the budget of 2 proposals is reached"

    model = Scripted({}, reply)
    with loop_of(tmp_path, held, vetter, budget={"proposals": 2}) as (loop, run):
        loop.run(slow(run, model))
    assert sorted(model.steps) == [1, 2]


@pytest.mark.parametrize("evaluations", [1, 2, 3, 5])
def test_trainings_under_way_never_exceed_their_budget_and_each_reply_is_trained(
    tmp_path: Path, held: Path, vetter: VetPool, evaluations: int
) -> None:
    model = Scripted({}, reply)
    with loop_of(tmp_path, held, vetter, budget={"proposals": None, "evaluations": evaluations}) as (loop, run):
        loop.run(run.session(model, search={"in_flight": 3}))
        trained = read(run).evaluations
    assert len(trained) <= evaluations
    assert len({e.candidate_id for e in trained}) == 1 + len(model.steps), "none was asked for in vain"


def test_a_loss_that_fails_in_training_is_recorded_and_the_search_goes_on(
    tmp_path: Path, held: Path, vetter: VetPool
) -> None:
    steep = {1: reply(2), 2: TRICK}
    with loop_of(tmp_path, held, vetter, budget={"proposals": 2}) as (loop, run):
        (held / "diverges").touch()
        try:
            assert loop.run(run.session(Scripted(steep, reply))) == "the budget of 2 proposals is reached"
        finally:
            (held / "diverges").unlink()
        failed = [e for e in read(run).evaluations if e.reason]
    assert [(e.candidate_id, e.reason, e.rung) for e in failed] == [(2, "diverged", "short")]


def test_a_second_attempt_of_a_step_has_the_next_number(tmp_path: Path, held: Path, vetter: VetPool) -> None:
    with loop_of(tmp_path, held, vetter, budget={"proposals": 1}) as (loop, run):
        with pytest.raises(ArchiveError, match="no room"):
            loop.run(run.session(Scripted({}, reply), until=(EventKind.PROPOSAL_REQUESTED, 1)))
        loop.run(run.session(Scripted({}, reply)))
        attempts = [(p.step, p.attempt, p.state) for p in read(run).proposals.values()]
    assert attempts == [(1, 1, ProposalState.LOST), (1, 2, ProposalState.RECEIVED)]
