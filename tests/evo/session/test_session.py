"""One session: what it says and records before the search, what it sets right of the one before, and how it ends."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from campaigns import own_handlers
from hostile_texts import SHORT
from instant import install

from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import EventKind, ProposalState
from archive.store import Archive
from evo.campaign.loop import CampaignStopped
from evo.config.schema import Config, ConfigError, parse_config
from evo.session.preflight import PreflightFailed
from evo.session.session import _log_to, run_session, workers_for
from fitness.task import TaskError
from sandbox.vetting.pool import VetPool, WorkerFailed

pytest.importorskip("torch")


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which files tell the task `instant` what to do."""
    install(tmp_path / "site", monkeypatch)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def config(held: Path, **changes: Any) -> Config:
    return parse_config({
        "task": "instant", "workers": 1, "seeds": ["dpo"], "fitness": {"folder": str(held)}, "pictures": False,
        "budget": {"proposals": 1}, "ladder": {"finalists": 0, "contenders": 0}, "search": {"in_flight": 1}, **changes,
    })  # fmt: skip


def session(held: Path, **changes: Any) -> list[str]:
    """What a session in the folder `run` says."""
    said: list[str] = []
    with own_handlers():
        run_session(config(held, **changes), held / "run", said.append)
    return said


def snapshot_of(held: Path) -> Snapshot:
    with Reader.open(held / "run" / "archive.db") as reader:
        return Snapshot.of(reader)


def kinds_of(held: Path) -> list[str]:
    with Reader.open(held / "run" / "archive.db") as reader:
        return [event.kind for event in reader.events()]


def test_a_run_is_made_goes_on_with_what_was_cut_off_and_what_was_changed_and_is_then_only_read(held: Path) -> None:
    said = session(held)
    assert said[0] == f"Run instant with seed 0 in {held / 'run'}."
    assert "Proposer: built-in genetic programming." in said[
        1
    ] and "Search ended: the budget of 1 proposals" in "\n".join(said)
    with Archive.open(held / "run" / "archive.db") as archive:
        archive.request_proposal(2, 1, "explore", "openai", "m", 0.7, "t", {"island": 0, "parents": []}, 1)
    again = session(held, budget={"proposals": 3}, search={"in_flight": 1, "islands": 5})
    assert again[0].endswith(", resumed.")
    told = "\n".join(again)
    assert "Interrupted and possibly paid: 1 call (step 2)." in told
    assert "Settings changed since the last session: budget.proposals from 1 to 3, search.islands from 2 to 5." in told
    proposals = snapshot_of(held).proposals.values()
    assert [(p.step, p.attempt, p.state) for p in proposals] == [
        (1, 1, ProposalState.RECEIVED), (2, 1, ProposalState.LOST), (2, 2, ProposalState.RECEIVED), (3, 1, ProposalState.RECEIVED),
    ]  # fmt: skip
    kinds = kinds_of(held)
    assert (
        kinds.count(EventKind.SESSION_STARTED) == 2 and kinds.count("settings_changed") == 1 and kinds[-1] == "finished"
    )
    finished = session(held, budget={"proposals": 3}, search={"in_flight": 1, "islands": 5})
    assert (
        "is finished: the budget of 3 proposals is reached. To go on" in finished[0]
        and "budget.proposals=6" in finished[0]
    )
    assert kinds_of(held) == kinds
    log = (held / "run" / "run.log").read_text("utf-8")
    assert log.count("Run instant with seed 0") == 2 and "Settings changed" in log


def test_a_task_that_cannot_be_prepared_stops_the_session_before_a_loss_is_asked_for(held: Path) -> None:
    (held / "broken").touch()
    with pytest.raises(CampaignStopped, match="there is no such data set"):
        session(held)
    assert not snapshot_of(held).proposals and not snapshot_of(held).candidates
    assert "Stopped: CampaignStopped there is no such data set" in (held / "run" / "run.log").read_text("utf-8")
    (held / "broken").unlink()
    assert "Search ended" in "\n".join(session(held)), "the same command goes on once it is mended"


def test_a_machine_on_which_nothing_can_be_vetted_stops_the_session_and_refuses_no_loss(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise WorkerFailed("the isolated interpreter did not start")

    with monkeypatch.context() as patch:
        patch.setattr(VetPool, "vet", unavailable)
        patch.setattr(VetPool, "vet_graph", unavailable)
        with pytest.raises(CampaignStopped, match="losses cannot be vetted: the isolated interpreter did not start"):
            session(held)
    assert not snapshot_of(held).verdicts
    assert "Search ended" in "\n".join(session(held)), "the same command goes on once it is mended"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"seeds": ["dop"]}, ConfigError),
        ({"launcher": ["no-such-command"]}, TaskError),
        ({"llm": {"model": "m", "base_url": "https://llm.invalid/v1"}}, PreflightFailed),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told_before_a_directory_is_made(
    held: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        session(held, **changes)
    assert not (held / "run").exists()


def test_what_a_model_wrote_steers_nobody_who_reads_the_log(tmp_path: Path) -> None:
    with own_handlers():
        _log_to(tmp_path / "run.log")
        logging.getLogger("evo").info("a name: %s", f"{SHORT}\r\nand a second line")
    lines = (tmp_path / "run.log").read_text("utf-8").split("\n")
    assert len(lines) == 3 and all(line.isprintable() for line in lines)


def test_workers_are_as_configured_or_as_many_as_there_are_cores_up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo.session.session.visible_gpus", list)
    assert workers_for(parse_config({"workers": 7})) == 7
    for cores, workers in ((1, 1), (3, 3), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process, cores=cores: set(range(cores)))
        assert workers_for(parse_config({})) == workers
    monkeypatch.setattr("evo.session.session.visible_gpus", lambda: ["0", "1", "2", "3", "4", "5"])
    assert workers_for(parse_config({})) == 6, "one for each GPU, however many cores there are"
