"""What is read of some candidates, or when it is asked for, is what a snapshot of the whole archive says."""

import random

import pytest

from analysis.claims.comparison import decide
from analysis.claims.headline import headline_of
from analysis.claims.table import final_lines
from analysis.lineage import rungs
from analysis.snapshot import CandidateStatus, Outline, Snapshot
from archive.query import Reader
from archive.records import PERSON, RunRow
from archive.store import Archive


def random_archive(path, seed):
    """Losses with every kind of verdict and training, of two proposers, with trainings of another task and open requests."""
    rng = random.Random(seed)
    with Archive.create(path / "archive.db", RunRow("x", seed, "task", "preference", baseline="dpo")) as archive:
        ids = [archive.add_candidate("seed", name, "", "", "preference") for name in ("dpo", "ipo")]
        for step in range(1, 24):
            who = rng.choice(["builtin", PERSON])
            asked = archive.request_proposal(
                step, 1, "refine", who, None, None, "t", {"island": 0}, archive.last_event()
            )
            if rng.random() < 0.1:
                continue
            archive.receive_proposal(asked, f"reply {step}", 1, 2, 0.5, 1.0)
            if rng.random() < 0.1:
                continue
            parents = [(rng.choice(ids), "refined") for _ in range(rng.randrange(3))]
            ids.append(archive.add_candidate("proposal", f"loss {step}", "", "", "preference", asked, parents))
        for id in ids:
            if rng.random() < 0.1:
                continue
            status = rng.choice(["accepted"] * 4 + ["partial", "refused"])
            same = rng.choice([None] * 4 + [1])
            notes = [{"rule": "SBX327", "severity": "note", "message": "m"}] * rng.choice([0, 0, 0, 1])
            archive.record_verdict(id, {"status": status, "findings": notes}, same, "hash" if same else None)
            for seed in range(rng.randrange(4)):
                rung = rng.choice(["short", "full"])
                training = archive.queue_evaluation(id, rng.choice(["task"] * 5 + ["other"]), rung, seed)
                if (draw := rng.random()) < 0.7:
                    archive.score_evaluation(training, rng.gauss(0, 1), {"kl": rng.random()}, 1.0, 5)
                elif draw < 0.9:
                    archive.fail_evaluation(training, "diverged")
    return path / "archive.db"


@pytest.fixture(params=["campaign", *range(3)])
def path(request, tmp_path):
    if request.param == "campaign":
        return request.getfixturevalue("run_dir") / "archive.db"
    return random_archive(tmp_path, request.param)


def test_an_outline_says_what_a_snapshot_says(path):
    with Reader.open(path) as reader, reader.consistent():
        whole, outline = Snapshot.of(reader), Outline.read(reader)
        for part in ("run", "seeds", "baseline", "scores", "failures", "rungs", "spending", "events", "last_at"):
            assert getattr(outline, part) == getattr(whole, part), part
        for status in CandidateStatus:
            assert outline.statuses[status] == whole.statuses[status], status
        assert list(outline.of_people) == list(whole.of_people)
        for rows in ("candidates", "parents", "findings", "metrics", "items"):
            known = getattr(whole, rows)
            assert {key: getattr(outline, rows)[key] for key in known} == dict(known), rows
        assert outline.candidates.get(10**6) is None and list(outline.candidates) == list(whole.candidates)
        assert {id: outline.status(id) for id in whole.candidates} == {id: whole.status(id) for id in whole.candidates}
        assert headline_of(outline) == headline_of(whole)
        decision = decide(whole)
        assert decide(outline) == decision
        if decision is not None:
            assert final_lines(outline, decision, 5) == final_lines(whole, decision, 5)
            assert rungs.describe(outline, decision) == rungs.describe(whole, decision)


def test_of_some_candidates_is_said_what_is_said_among_all(path):
    with Reader.open(path) as reader, reader.consistent():
        whole, seeds = Snapshot.of(reader), Snapshot.of_seeds(reader)
        assert list(seeds.candidates) == [row.id for row in whole.seeds]
        ids = list(whole.candidates)
        for some in ([ids[-1]], ids[3:9], [], ids):
            part = seeds.with_candidates(reader, some)
            assert set(part.candidates) == {*some, *seeds.candidates}
            assert part.rungs == whole.rungs and part.baseline == whole.baseline
            for id in part.candidates:
                for told in ("status", "step", "known_as", "caution", "by_person", "banned", "failed_trainings"):
                    assert getattr(part, told)(id) == getattr(whole, told)(id), told
                assert part.parents.get(id) == whole.parents.get(id)
                assert part.trainings.get(id) == whole.trainings.get(id)
            assert part.candidates | whole.candidates == whole.candidates
