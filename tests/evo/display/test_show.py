"""`evopo show` reads one candidate and its ancestors, and finds candidates by name."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "analysis"))

from make_archive import make_archive

from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.config.rundir import NotInRun, RunDir
from evo.display.lookup import find_candidate
from evo.display.show import Parts, ancestry, candidate_text, overview_text, step_text


def test_each_candidate_is_shown_with_its_ancestry(tmp_path):
    with Reader.open(make_archive(tmp_path, 14)) as reader:
        snapshot = Snapshot.of(reader)
        for id in snapshot.candidates:
            edges = {(edge.child, edge.parent) for edge in reader.ancestry(id)}
            lines = list(ancestry(reader, id))
            assert {int(line.split()[1]) for line in lines} == {parent for _, parent in edges}
            assert len(lines) == len(edges), "the parents of each ancestor are listed once"
            text = candidate_text(RunDir(tmp_path), str(id), Parts())
            assert text.startswith(f"Candidate {id}: {one_line(snapshot.candidates[id].name)} ({snapshot.status(id)}, ")


def test_what_is_above_an_ancestor_is_listed_once(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        ids = [archive.add_candidate("seed", name, "", "", "preference") for name in ("dpo", "slic")]
        for name, parents in (("mixed", ids), ("left", [3]), ("right", [3]), ("child", [4, 5, 1])):
            asked = archive.request_proposal(len(ids), 1, "combine", "builtin", None, None, "t", {}, 0)
            archive.receive_proposal(asked, "r")
            edges = [(parent, "combined") for parent in parents]
            ids.append(archive.add_candidate("proposal", name, "", "", "preference", asked, edges))
    with Reader.open(tmp_path / "archive.db") as reader:
        assert list(ancestry(reader, 6)) == [
            "  combined 4 left",
            "    combined 3 mixed",
            "      combined 1 dpo",
            "      combined 2 slic",
            "  combined 5 right",
            "    combined 3 mixed (its parents: above)",
            "  combined 1 dpo",
        ]


def test_a_step_says_what_came_of_its_attempts(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        first = archive.request_proposal(1, 1, "refine", "builtin", None, None, "t", {}, 0)
        archive.fail_proposal(first, "no answer")
        second = archive.request_proposal(1, 2, "refine", "builtin", None, None, "t", {}, 0)
        archive.receive_proposal(second, "r")
        archive.add_candidate("proposal", "mine", "", "", "preference", second)
    told = step_text(RunDir(tmp_path), 1, Parts()).splitlines()
    assert [line.partition(": refine by built-in proposer: ")[2] for line in told] == [
        "the call failed: no answer", "candidate 1",
    ]  # fmt: skip
    assert candidate_text(RunDir(tmp_path), "1", Parts(prompt=True)) == (
        "The built-in proposer was asked. It is a program and gets no prompt: only the operator and the parents."
    )
    with pytest.raises(NotInRun, match="the run has steps 1 to 1"):
        step_text(RunDir(tmp_path), 2, Parts())


def test_a_candidate_is_found_by_id_or_name(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        for name in ("dpo", "twin", "twin", "4"):
            archive.add_candidate("seed", name, "", "", "preference")
    with Reader.open(tmp_path / "archive.db") as reader:
        assert [find_candidate(reader, name) for name in ("1", "dpo", "DPO", "2", "4")] == [1, 1, 1, 2, 4]
        with pytest.raises(NotInRun, match="no candidate 'TWIN'; did you mean twin"):
            find_candidate(reader, "TWIN")
        with pytest.raises(NotInRun, match=r"(?s)2 candidates are called 'twin'; give the id of one:.*2 .*3 "):
            find_candidate(reader, "twin")
        with pytest.raises(NotInRun, match="no candidate 'twim'; did you mean twin"):
            find_candidate(reader, "twim")
        with pytest.raises(NotInRun, match="the run has candidates 1 to 4"):
            find_candidate(reader, "77")


def test_a_run_without_any_fitness_says_so_and_what_to_do(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        assert overview_text(RunDir(tmp_path)).startswith("No candidates yet: a session records the seed losses")
        archive.add_candidate("seed", "dpo", "", "", "preference")
        evaluation = archive.queue_evaluation(1, "task", "short", 0)
        archive.start_evaluation(evaluation)
        told = overview_text(RunDir(tmp_path))
        assert (
            "No candidate has a fitness yet: no training has succeeded. 1 training not ended. The run is running"
            in told
        )
        archive.fail_evaluation(evaluation, "diverged", "the loss became infinite")
        told = overview_text(RunDir(tmp_path))
        assert "1 training failed, the last one with diverged: the loss became infinite." in told
        assert f"evopo status {tmp_path}" in told and "--step" not in told
        archive.score_evaluation(archive.queue_evaluation(1, "task", "short", 1), 0.5)
    assert "fitness yet" not in overview_text(RunDir(tmp_path))
