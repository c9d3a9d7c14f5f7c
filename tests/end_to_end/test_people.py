"""People and a running search, as real processes: warm start, steering, kill -9, and a model that brings nothing new."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from campaigns import QUICK, Command, assert_sound, classification_losses, wait_for
from loopback_llm import Answer, LoopbackLLM, proposal

from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import EventKind, ProposalState

OWN = """
def loss(logits, targets):
    return F.cross_entropy(logits * 0.8, targets, reduction="none", label_smoothing=0.02)
"""
TRICK = "import os\ndef loss(logits, targets):\n    return os.environ\n"


def snapshot(path: Path) -> Snapshot:
    with Reader.open(path) as reader:
        return Snapshot.of(reader)


def arguments(server: LoopbackLLM, proposals: int, *more: str) -> tuple[str, ...]:
    return (
        "run", "--dir", "run", *QUICK, "--set", f"llm.base_url={server.base_url}", "--set", "llm.model=scripted-1",
        "--set", f"budget.proposals={proposals}", *more,
    )  # fmt: skip


def test_a_person_steers_a_running_search_and_nothing_of_it_is_lost_by_kill_9(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    (evo.folder / "own.py").write_text(OWN)
    (evo.folder / "late.py").write_text(OWN.replace("0.8", "1.7"))
    (evo.folder / "bad.py").write_text(TRICK)
    with LoopbackLLM(latency=1.0, fallback=classification_losses) as server:
        process = evo.start(*arguments(server, 1000))
        wait_for(process, archive, lambda reader: bool(reader.proposals(ProposalState.RECEIVED)))
        refused = evo.run("inject", "run", "own.py", "bad.py")
        assert refused.code == 2 and "bad.py" in refused.err and "SBX" in refused.err
        assert evo.run("inject", "run", "own.py").code == 0
        assert evo.run("ban", "run", "focal").code == 0
        assert evo.run("pin", "run", "mse").code == 0
        assert evo.run("note", "run", "1", "look <b>\x1b[31m").code == 0
        again = evo.run("inject", "run", "own.py")
        assert again.code == 0 and "Not recorded: own.py was given before" in again.out
        assert "not pinned" in evo.run("unpin", "run", "1").err
        assert "coupled is yes or no, got 'maybe'" in evo.run("ban", "run", "--descriptor", "coupled=maybe").err
        assert evo.run("ban", "run", "cross_entropy").code == evo.run("pin", "run", "999").code == 2
        wait_for(process, archive, lambda reader: any(p.proposer == "person" for p in reader.proposals()))
        own = next(row.id for row in snapshot(archive).candidates.values() if row.name == "own")
        (evo.folder / "copy.py").write_text(OWN)
        assert (
            f"given before as own.py, with the same content; it is candidate {own}"
            in evo.run("inject", "run", "copy.py").out
        )
        assert evo.run("inject", "run", "late.py").code == 0
        process.send_signal(signal.SIGKILL)
        process.communicate()
        server.latency = 0.0
        answered = snapshot(archive).spending.steps
        last = evo.run(*arguments(server, answered + 3))
        assert last.code == 0, last.err
        assert_sound(archive)
    found = snapshot(archive)
    people = sorted(found.candidates[id].name for id in found.candidates if found.by_person(id))
    assert sum(e.kind == EventKind.INJECTED for e in found.events) == 2
    assert people == ["late", "own"] and found.spending.steps == answered + 3
    banned = next(e.id for e in found.events if e.kind == EventKind.BANNED)
    focal = next(row.id for row in found.candidates.values() if row.name == "focal")
    later = [p for p in found.proposals.values() if p.seen_event >= banned]
    assert later and all(focal not in [q["id"] for q in p.references["parents"]] for p in later)
    assert evo.run("replay", "run").code == 0
    shown = evo.run("show", "run", "1").out
    assert "Note: look <b>\\x1b[31m" in shown
    assert evo.run("report", "run", "--no-pictures").code == 0
    page = (evo.folder / "run/report.html").read_text()
    assert "look &lt;b&gt;" in page and "look <b>" not in page
    assert evo.run("export", "run", "--format", "json").code == 0
    nodes = json.loads((evo.folder / "run/exports/lineage.json").read_text())["nodes"]
    assert [n["name"] for n in nodes if n.get("written_by") == "person"] == ["own", "late"]
    for command in (("inject", "run", "own.py"), ("pin", "run", "1"), ("ban", "run", "2")):
        ended = evo.run(*command)
        assert ended.code == 2 and "the search in run has ended" in ended.err
    assert evo.run("note", "run", "--run", "done").code == 0
    assert "Notes: done" in evo.run("status", "run").out


def test_a_run_starts_from_files_and_from_the_best_of_an_earlier_run_and_adds_them_once(
    evo: Command, finished: Path
) -> None:
    (evo.folder / "own.py").write_text(OWN)
    command = ("run", "--dir", "run", *QUICK, "--seed-from", "own.py", "--seed-from", f"{finished}:2")
    bad = evo.folder / "bad.py"
    bad.write_text(TRICK)
    refused = evo.run(*command, "--seed-from", "bad.py")
    assert refused.code == 2 and "--seed-from bad.py" in refused.err and not (evo.folder / "run").exists()
    rehearsed = evo.run(*command, "--dry-run")
    assert rehearsed.code == 0 and "own (from own.py): accepted" in rehearsed.out and not (evo.folder / "run").exists()
    assert evo.run(*command, "--set", "budget.proposals=1").code == 0
    assert evo.run(*command, "--set", "budget.proposals=3").code == 0
    found, earlier = snapshot(evo.folder / "run/archive.db"), snapshot(finished / "archive.db")
    assert [(given.file, given.candidate is not None) for given in found.given.values()] == [
        ("own.py", False), ("", True), ("", True),
    ]  # fmt: skip
    for id, given in found.given.items():
        assert found.status(id) in ("scored", "duplicate") and not found.is_proposal(id)
        if given.candidate is not None:
            assert found.verdicts[id].hash == earlier.verdicts[given.candidate].hash, "the graph that was trained"
    assert found.spending.steps == 3
    assert evo.run("replay", "run").code == 0
    assert evo.run(*command, "--set", "budget.proposals=3").code == 0, "the same command prints the finished run"
    other = evo.folder / "other.py"
    other.write_text(OWN.replace("0.8", "1.9"))
    changed = evo.run(*command, "--set", "budget.proposals=3", "--seed-from", "other.py")
    assert changed.code == 2 and "without the seed loss other.py, which the sandbox accepts" in changed.err
    assert "only together with a larger budget" in changed.err and "budget.proposals=6" in changed.err
    vetted = evo.run(*command, "--set", "budget.proposals=3", "--seed-from", "other.py", "--seed-from", "bad.py")
    assert (
        vetted.code == 2 and "--seed-from bad.py: the sandbox refuses it" in vetted.err and "other.py" not in vetted.err
    )


def test_a_model_that_repeats_one_loss_for_ever_ends_the_session_with_the_way_on(evo: Command) -> None:
    def same(body: dict[str, Any], number: int) -> Answer:
        return Answer(proposal(OWN, "again", "same"))

    with LoopbackLLM(fallback=same) as server:
        stopped = evo.run(*arguments(server, 60, "--set", "search.give_up_after=6"))
        assert stopped.code == 1 and "held no new loss" in stopped.err and "search.give_up_after" in stopped.err
        used = snapshot(evo.folder / "run/archive.db").spending.steps
        assert 7 <= used <= 9
        final = evo.run(*arguments(server, used, "--set", "search.give_up_after=6"))
        assert final.code == 0, final.err
