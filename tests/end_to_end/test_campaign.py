"""A complete campaign through the command line: run, show, run again, resume with a larger budget, replay, export."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import sqlite3
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import networkx as nx
import pytest
from campaigns import QUICK, TINY_SENTIMENT, Command, assert_sound, wait_for

from archive.query import Reader
from evo.search.rng import derive

KEPT = ("archive.db", "config.yaml", "manifest.json", "run.log", "report.html")
"""Files of a finished run."""


def test_embedded_campaign_trains_with_trl_and_reports(evo: Command) -> None:
    result = evo.alone("run", "--dir", "run", *TINY_SENTIMENT, "--set", "budget.proposals=4")
    assert result.code == 0, result.err
    run = evo.folder / "run"
    assert_sound(run / "archive.db")
    with Reader.open(run / "archive.db") as reader:
        seeds = [c.name for c in reader.candidates() if c.origin == "seed"]
        assert seeds == ["dpo", "slic", "ipo", "kto_pair"]
        assert len({p.step for p in reader.proposals() if p.reply}) == 4
        trained = {e.candidate_id for e in reader.evaluations(state="scored")}
        accepted = {v.candidate_id for v in reader.verdicts() if v.status == "accepted" and v.is_new}
        assert trained == accepted
        held_out = [e for e in reader.evaluations() if e.rung == "held_out"]
        assert {e.seed for e in held_out} and len({e.seed for e in held_out}) == 2
        log = (run / "run.log").read_text("utf-8").splitlines()
        for candidate in reader.candidates():
            assert sum(f": candidate {candidate.id} " in line and " (s" in line for line in log) == 1
        assert sum(": fitness " in line for line in log) == len(reader.evaluations(state="scored"))
        assert sum(" requested, attempt 1" in line for line in log) == 4
    assert "built-in" in result.out and "Report:" in result.out
    for phase in ("phase preparing", "phase final"):  # the others may be shorter than the time between two looks
        assert phase in result.out
    report = (run / "report.html").read_text("utf-8")
    assert "Content-Security-Policy" in report and "<svg" in report
    assert {"config.yaml", "manifest.json", "run.log", "report.html", "archive.db"} <= {p.name for p in run.iterdir()}


def test_a_run_killed_in_its_final_keeps_the_finals_seeds_and_continues_with_a_larger_budget(
    evo: Command,
) -> None:
    arguments = ("run", "--dir", "run", *QUICK)
    archive = evo.folder / "run/archive.db"
    process = evo.start(*arguments, "--set", "budget.proposals=2")
    wait_for(process, archive, lambda reader: bool(reader.events(kind="final")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = final_seeds(archive)
    assert evo.run(*arguments, "--set", "budget.proposals=2").code == 0
    with Reader.open(evo.folder / "run/archive.db") as reader:
        before = reader.last_event()
    again = evo.run(*arguments, "--set", "budget.proposals=2")
    assert again.code == 0 and "is finished" in again.out
    with Reader.open(evo.folder / "run/archive.db") as reader:
        assert reader.last_event() == before
    more = evo.run(*arguments, "--set", "budget.proposals=5", "--set", "search.islands=3")
    assert more.code == 0
    assert (
        "Settings changed since the last session: budget.proposals from 2 to 5, search.islands from 2 to 3" in more.out
    )
    with Reader.open(evo.folder / "run/archive.db") as reader:
        assert sorted({p.step for p in reader.proposals()}) == [1, 2, 3, 4, 5]
    assert killed == final_seeds(archive)
    assert_sound(evo.folder / "run/archive.db")
    assert "All 5 proposals replay" in evo.run("replay", "run").out


@pytest.mark.parametrize(
    ("change", "key"),
    [(("--seed", "5"), "seed"), (("--set", "fitness.label_noise=0.3"), "label_noise")],
    ids=["seed", "fitness"],
)
def test_changing_what_identifies_a_run_is_refused_and_named(
    evo: Command, finished: Path, change: tuple[str, ...], key: str
) -> None:
    before = (finished / "config.yaml").read_text()
    refused = evo.run("run", "--dir", str(finished), *QUICK, "--set", "budget.proposals=8", *change)
    assert refused.code == 2 and key in refused.err
    assert (finished / "config.yaml").read_text() == before


def test_fitness_is_kept_by_item_where_claims_are_decided(finished: Path) -> None:
    with Reader.open(finished / "archive.db") as reader:
        scored = reader.evaluations(state="scored")
    assert {e.rung for e in scored if e.items is not None} == {"held_out"} < {e.rung for e in scored}
    for evaluation in scored:
        if evaluation.items is not None:
            assert fmean(evaluation.items.values) == pytest.approx(evaluation.fitness)
    assert len({e.items.groups for e in scored if e.items is not None}) == 1


def test_a_final_is_measured_on_unpredictable_seeds_that_it_recorded_first(finished: Path) -> None:
    with Reader.open(finished / "archive.db") as reader:
        (final,) = reader.events(kind="final")
        measured = [e for e in reader.evaluations() if e.rung == "held_out"]
    assert measured and all(e.queued_event > final.id for e in measured)
    assert {e.seed for e in measured} == set(final.payload["seeds"])
    assert not set(final.payload["seeds"]) & {derive(0, "final", i) for i in range(64)}


def final_seeds(archive: Path) -> set[int]:
    """All seeds of recorded finals in an archive."""
    with Reader.open(archive) as reader:
        return {seed for event in reader.events(kind="final") for seed in event.payload["seeds"]}


def test_a_recorded_run_replays_unless_it_was_changed(evo: Command, finished: Path) -> None:
    copy = evo.folder / "copy"
    shutil.copytree(finished, copy)
    assert "All 8 proposals replay" in evo.run("replay", "copy").out
    with sqlite3.connect(copy / "archive.db") as database:
        database.execute(
            "UPDATE proposal SET operator = iif(operator = 'combine', 'explore', 'combine') WHERE step = 3"
        )
    assert evo.run("replay", "copy").code == 1


def test_reading_commands_print_what_the_archive_holds(evo: Command, finished: Path) -> None:
    run = str(finished)
    status = evo.run("status", run)
    assert status.code == 0 and "State: finished" in status.out and "8 requested" in status.out
    assert "Rung held_out, fresh seeds" in status.out and "mse" in status.out
    listed = evo.run("ls", str(finished.parent))
    assert listed.code == 0 and "classification  finished  8 of 8" in listed.out
    shown = evo.run("show", run, "5")
    assert shown.code == 0 and "def loss(logits, targets)" in shown.out and "Candidate 5" in shown.out
    missing = evo.run("show", run, "9999")
    assert missing.code == 2 and "9999" in missing.err and "Traceback" not in missing.err
    plain = evo.run("report", run, "--no-pictures", "--out", "plain.html")
    assert plain.code == 0 and "<svg" not in (evo.folder / "plain.html").read_text("utf-8")
    environment = evo.run("env")
    assert environment.code == 0 and "sandbox" in environment.out
    for package in ("torch", "sqlite-utils"):
        assert re.search(rf"{package}\W+{re.escape(version(package))}", environment.out)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--set", "llm.model=other"), ('llm.model from null to "other"', "proposer")),
        (("other.yaml",), ("search.mode", "run other.yaml --set")),
    ],
    ids=["set", "file"],
)
def test_a_finished_run_in_the_default_directory_refuses_other_settings_and_is_unchanged(
    evo: Command, finished: Path, change: tuple[str, ...], words: tuple[str, ...]
) -> None:
    run = evo.folder / "runs/classification-s0"
    shutil.copytree(finished, run)
    before = {name: (run / name).read_bytes() for name in KEPT}
    (evo.folder / "other.yaml").write_text("search: {mode: chat}\n")
    refused = evo.run("run", *QUICK, "--set", "budget.proposals=8", *change)
    assert refused.code == 2 and "finished run (the budget of 8 proposals is reached)" in refused.err
    for word in (*words, "--set name=classification-2", "--set budget.proposals=16"):
        assert word in refused.err
    assert {name: (run / name).read_bytes() for name in KEPT} == before
    assert [p.name for p in (evo.folder / "runs").iterdir()] == [run.name]


def test_a_dry_run_is_refused_where_the_run_would_be(evo: Command, finished: Path) -> None:
    arguments = ("run", "--dry-run", "--dir", str(finished), *QUICK)
    refused = evo.run(*arguments, "--set", "budget.proposals=8", "--set", "llm.model=other")
    assert refused.code == 2 and "finished run" in refused.err
    same = evo.run(*arguments, "--set", "budget.proposals=8")
    assert same.code == 0 and "is finished" in same.out


def test_settings_that_would_run_nothing_else_print_the_table_of_a_finished_run(evo: Command, finished: Path) -> None:
    config = (finished / "config.yaml").read_bytes()
    settings = ("budget.proposals=8", "workers=1", "timeout_seconds=900", "proposer=builtin", "name=mine")
    more = [word for setting in settings for word in ("--set", setting)]
    again = evo.run("run", "--dir", str(finished), *QUICK, *more)
    assert again.code == 0, again.err
    assert "is finished: the budget of 8 proposals" in again.out
    assert "Rung held_out, fresh seeds" in again.out
    assert (finished / "config.yaml").read_bytes() == config


@pytest.mark.parametrize("kind", ["graphml", "gexf", "json", "cytoscape", "dot", "csv"])
def test_exports_are_read_by_other_programs(evo: Command, kind: str, finished: Path) -> None:
    out = evo.folder / f"lineage.{kind}"
    assert evo.run("export", str(finished), "--format", kind, "--out", str(out)).code == 0
    with Reader.open(finished / "archive.db") as reader:
        count = len(reader.candidates())
    match kind:
        case "graphml":
            assert len(nx.read_graphml(out)) == count
        case "gexf":
            assert len(nx.read_gexf(out)) == count
        case "json":
            assert len(nx.node_link_graph(json.loads(out.read_text()))) == count
        case "cytoscape":
            assert len(nx.cytoscape_graph(json.loads(out.read_text()))) == count
        case "dot":
            assert out.read_text().startswith("digraph")
        case "csv":
            assert len(list(csv.reader(out.open()))) == count + 1


def test_ctrl_c_ends_cleanly_and_the_same_command_resumes(evo: Command) -> None:
    arguments = ("run", "--dir", "run", *QUICK, "--set", "budget.proposals=20")
    archive = evo.folder / "run/archive.db"
    process = evo.start(*arguments)
    wait_for(process, archive, lambda reader: len(reader.evaluations(state="scored")) >= 8)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130 and "the same command continues" in err and "Traceback" not in err
    assert_sound(archive)
    with Reader.open(archive) as reader:
        before = {e.id: e.fitness for e in reader.evaluations(state="scored")}
    resumed = evo.run(*arguments)
    assert resumed.code == 0, resumed.err
    assert_sound(archive)
    with Reader.open(archive) as reader:
        after = {e.id: e.fitness for e in reader.evaluations(state="scored")}
        assert len({p.step for p in reader.proposals() if p.reply}) == 20
    assert before.items() <= after.items()


def test_a_second_session_on_a_live_run_is_refused(evo: Command) -> None:
    arguments = ("run", "--dir", "run", *QUICK, "--set", "budget.proposals=200")
    process = evo.start(*arguments)
    wait_for(process, evo.folder / "run/archive.db", lambda reader: reader.last_event() > 3)
    second = evo.run(*arguments)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    assert second.code == 1 and str(process.pid) in second.err
    assert "running" not in evo.run("status", "run").out


def test_a_budget_of_seconds_stops_a_run_without_other_limits(evo: Command) -> None:
    result = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=null", "--set", "budget.seconds=1")
    assert result.code == 0 and "1 seconds is reached" in result.out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a budget of nine trainings, made in the default directory."""
    folder = tmp_path_factory.mktemp("small")
    budget = ("--set", "budget.proposals=null", "--set", "budget.evaluations=9")
    result = Command(folder).run("run", *QUICK, "--set", "name=mine", "--seed", "7", *budget)
    assert result.code == 0, result.err
    return folder


def test_the_default_directory_is_named_after_run_and_seed(small: Path) -> None:
    assert [path.name for path in (small / "runs").iterdir()] == ["mine-s7"]


def test_a_budget_of_evaluations_is_never_exceeded(small: Path) -> None:
    with Reader.open(small / "runs/mine-s7/archive.db") as reader:
        assert 4 <= len(reader.evaluations()) <= 9


def test_the_final_trains_the_baseline_at_other_learning_rates_on_request(finished: Path) -> None:
    with Reader.open(finished / "archive.db") as reader:
        tuned = [e for e in reader.evaluations(state="scored") if e.learning_rate is not None]
        assert {e.rung for e in tuned} == {"held_out"}
        assert len([e for e in tuned if (e.candidate_id, e.learning_rate) == (1, 0.0025)]) == 2
        assert not any(e.candidate_id > 4 for e in tuned), "proposals are trained as the task says"


def test_dry_run_shows_the_plan_and_writes_nothing(evo: Command) -> None:
    result = evo.run("run", "--dry-run", "--dir", "run")
    assert result.code == 0, result.err
    for word in ("dpo: accepted", "kto_pair: accepted", "Budget: 48 proposals", "Trainings:", "No prompt is sent"):
        assert word in result.out
    assert (
        "policy_chosen_logps" not in result.out
        and "gives it the operator refine and the verified graph of dpo" in result.out
    )
    assert list(evo.folder.iterdir()) == []
