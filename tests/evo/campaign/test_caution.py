"""A loss that knows single pairs is shown with the reason, wherever a run is looked at, and never as the best of anything."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from analysis.claims.comparison import decide
from analysis.report.page import render
from analysis.snapshot import CAUTION, Snapshot
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.config.rundir import RunDir
from evo.config.schema import parse_config
from evo.display.listing import runs_text
from evo.display.screen import best_so_far
from evo.display.show import Parts, candidate_text
from evo.display.views import status_text
from evo.search.population import Population
from fitness.task import task_info
from sandbox import known
from sandbox.identity.relation import Kind, Relation

CONFIG, INFO = parse_config({}), task_info("sentiment")
FRESH = (101, 102, 103, 104)


def noted(graph: str, rule: str | None) -> dict[str, object]:
    """An accepted verdict as the sandbox writes it, with a note."""
    finding = {"rule": rule, "severity": "note", "message": "another loss at one value", "remedy": "", "line": None, "column": None,
               "excerpt": "", "counterexample": {}}  # fmt: skip
    return {
        "status": "accepted", "accepted": True, "contract": "preference", "entry": "loss", "findings": [finding] if rule else [],
        "hash": None, "fingerprint": None, "descriptors": {}, "guarantees": {}, "milliseconds": 1.0, "graph": graph,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in which `table` leads by far, and `honest` is a discovery behind it."""
    folder = tmp_path_factory.mktemp("caution")
    settings, searched = CONFIG.model_dump(mode="json"), Population(CONFIG, INFO, 1).seeds.search[0]
    row = RunRow("r", 0, "sentiment", "preference", {}, settings, baseline="dpo")
    with Archive.create(folder / "archive.db", row) as archive:
        archive.event("session_started", {"config": settings, "fitness": {}})
        lifts = {"dpo": (0.0, None), "honest": (0.1, None), "table": (0.3, "SBX327")}
        ids = {}
        for step, (name, (_, rule)) in enumerate(lifts.items()):
            proposal = None
            if name != "dpo":
                references = {"island": 0, "parents": []}
                proposal = archive.request_proposal(step, 1, "explore", "builtin", None, None, "t", references, 0)
                archive.receive_proposal(proposal, "reply")
            origin = "seed" if proposal is None else "proposal"
            ids[name] = archive.add_candidate(origin, name, "", "def loss(): ...", "preference", proposal)
            archive.record_verdict(ids[name], noted(known.graph("dpo").to_json(), rule))
        new = Relation(Kind.NEW).to_json()
        archive.event("final", {"rung": "held_out", "seeds": FRESH, "beta": 0.5, "relations": {"2": new, "3": new}})
        for name, (lift, _) in lifts.items():
            for number, (rung, seed) in enumerate([("full", searched), *(("held_out", seed) for seed in FRESH)]):
                evaluation = archive.queue_evaluation(ids[name], "sentiment", rung, seed)
                archive.score_evaluation(evaluation, 0.5 + 0.01 * number + lift * (1 + 0.001 * number))
        archive.event("finished", {"reason": "done"})
    return folder


def snapshot_of(run: Path) -> Snapshot:
    with Reader.open(run / "archive.db") as reader:
        return Snapshot.of(reader)


def test_ls_names_the_best_sound_loss(run: Path) -> None:
    line = runs_text(run)
    assert "honest" in line and "a discovery" in line and "table" not in line


def test_status_shows_it_in_the_table_with_the_reason(run: Path) -> None:
    text = status_text(RunDir(run))
    assert "A discovery: honest" in text
    said = [line for line in text.splitlines() if "table" in line]
    assert len(said) == 1 and CAUTION in said[0] and "no claim is made for it" in said[0]


def test_show_says_that_no_claim_is_made_of_it(run: Path) -> None:
    assert f"No claim is made of it: it {CAUTION}." in candidate_text(RunDir(run), "table", Parts())
    assert "No claim" not in candidate_text(RunDir(run), "honest", Parts())


def test_the_report_shows_it_without_a_p_value_and_in_the_list_of_all_with_the_reason(run: Path) -> None:
    snapshot = snapshot_of(run)
    page = render(snapshot, run, pictures=False)
    assert page.count(f"table ({CAUTION})") >= 2 and page.count(CAUTION) >= 3
    best = decide(snapshot)
    assert best is not None and best.best is not None and snapshot.candidates[best.best.arm.candidate].name == "honest"


def test_the_search_names_no_such_loss_as_its_best(run: Path) -> None:
    with Reader.open(run / "archive.db") as reader:
        population = Population(CONFIG, INFO, 1).advance(reader)
    assert best_so_far(population).startswith("honest ")


def test_an_archive_without_the_note_claims_as_before(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "archive.db"
    with sqlite3.connect(run / "archive.db") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE finding SET rule = 'SBX325'")
    assert "table" in runs_text(tmp_path) and "a discovery" in runs_text(tmp_path)
