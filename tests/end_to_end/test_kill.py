"""kill -9 at random times, then the same command: nothing recorded is lost, nothing is done or paid for twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from campaigns import QUICK, Command, assert_sound, classification_losses, leftovers, wait_for
from loopback_llm import LoopbackLLM

from archive.query import Reader
from archive.records import ProposalState

KILLS = int(os.environ.get("EVOPO_KILLS", "3"))
PROPOSALS = 8


def _arguments(server: LoopbackLLM) -> tuple[str, ...]:
    return (
        "run", "--dir", "run", *QUICK, "--set", "workers=2", "--set", f"llm.base_url={server.base_url}",
        "--set", "llm.model=scripted-1", "--set", f"budget.proposals={PROPOSALS}",
    )  # fmt: skip


def _replies(archive: Path) -> dict[int, str | None]:
    with Reader.open(archive) as reader:
        return {p.id: p.reply for p in reader.proposals() if p.reply is not None}


def _scores(archive: Path) -> dict[int, float | None]:
    with Reader.open(archive) as reader:
        return {e.id: e.fitness for e in reader.evaluations(state="scored")}


def _wait_for_events(process: subprocess.Popen[str], archive: Path, more: int) -> None:
    """Waits until `more` further events are recorded, or the run has ended."""
    first = _last_event(archive)
    while process.poll() is None and _last_event(archive) < first + more:
        time.sleep(0.02)


def _last_event(archive: Path) -> int:
    if not archive.exists():
        return 0
    with Reader.open(archive) as reader:
        return reader.last_event()


def _kill_and_resume(evo: Command, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    archive = evo.folder / "run/archive.db"
    with LoopbackLLM(latency=0.2, fallback=classification_losses) as server:
        arguments = _arguments(server)
        for number in range(kills):
            process = evo.start(*arguments)
            more = (
                rng.randint(1, 40) if number else 0
            )  # number of events before each kill; the first kill is before the archive exists
            _wait_for_events(process, archive, more)
            time.sleep(rng.uniform(0.0, 0.1 if number else 1.0))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not leftovers(evo.folder), "workers outlived a killed run"
            if not archive.exists():
                continue
            assert_sound(archive)
            replies, scores = _replies(archive), _scores(archive)
            known = server.requests
            with Reader.open(archive) as reader:
                assert len(reader.proposals()) >= known - len(
                    [p for p in reader.proposals() if p.state is ProposalState.FAILED]
                )
            assert replies.items() <= _replies(archive).items() and scores.items() <= _scores(archive).items()
        last = evo.run(*arguments)
        assert last.code == 0, last.err
        assert_sound(archive)
        with Reader.open(archive) as reader:
            proposals = reader.proposals()
            received = [p for p in proposals if p.reply is not None]
            assert len({p.step for p in received}) == len(received) == PROPOSALS, "a received reply was asked for again"
            # Each request was recorded before it was sent, so the archive has every request that reached the server.
            assert server.requests <= len(proposals)
            lost = [p for p in proposals if p.state is ProposalState.LOST]
            assert server.requests >= len(received)
            assert len(proposals) == len(received) + len(lost)
        assert evo.run("replay", "run").code == 0


def test_kill_9_at_random_times_loses_and_repeats_nothing(evo: Command) -> None:
    _kill_and_resume(evo, KILLS, seed=1)


@pytest.mark.soak
def test_a_hundred_kills(evo: Command) -> None:
    _kill_and_resume(evo, 100, seed=2)


def test_an_interrupted_call_is_reported_as_possibly_paid(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    with LoopbackLLM(latency=30.0, fallback=classification_losses) as server:
        process = evo.start(*_arguments(server))
        wait_for(process, archive, lambda reader: bool(reader.proposals(ProposalState.REQUESTED)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        server.latency = 0.0
        resumed = evo.run(*_arguments(server))
    assert resumed.code == 0, resumed.err
    assert "possibly paid" in resumed.out
    status = evo.run("status", "run")
    assert "cut off and possibly paid" in status.out
    with Reader.open(archive) as reader:
        assert reader.proposals(ProposalState.LOST)
        assert {p.step for p in reader.proposals() if p.reply} == set(range(1, PROPOSALS + 1))


def test_a_study_that_is_killed_goes_on_and_makes_no_training_twice(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    arguments = (
        "run", "--dir", "run", *QUICK, "--set", "search.tune.every=2", "--set", "search.tune.trainings=16", "--set",
        "search.in_flight=1", "--set", "budget.proposals=3",
    )  # fmt: skip
    process = evo.start(*arguments)
    wait_for(process, archive, lambda reader: len(reader.variant_evaluations()) > 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Reader.open(archive) as reader:
        before = {e.id: e.fitness for e in reader.variant_evaluations()}
        cut_off = reader.proposals()[-1]
    assert before and cut_off.operator == "tune" and cut_off.reply is None
    resumed = evo.run(*arguments)
    assert resumed.code == 0 and "possibly paid" not in resumed.out, resumed.err
    with Reader.open(archive) as reader:
        after = reader.variant_evaluations()
        assert before.items() <= {e.id: e.fitness for e in after}.items()
        assert len({(e.variant_id, e.seed) for e in after}) == len(after)
        again = [p for p in reader.proposals() if p.step == cut_off.step and p.reply is not None]
        assert [p.references for p in again] == [cut_off.references]
    assert evo.run("replay", "run").code == 0
    assert "Tune: " in evo.run("status", "run").out


def test_a_killed_worker_costs_one_retry_of_one_candidate(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    process = evo.start("run", "--dir", "run", *QUICK, "--set", "workers=2", "--set", "budget.proposals=4")
    wait_for(process, archive, lambda reader: bool(reader.evaluations(state="scored")))
    workers = [p for p in psutil.Process(process.pid).children() if "fitness.workers.worker" in " ".join(p.cmdline())]
    assert workers
    workers[0].kill()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    with Reader.open(archive) as reader:
        assert not [e for e in reader.evaluations() if e.reason == "worker_died"]
    assert "Traceback" not in out + err
