"""Reader: rows, standings, views, and past states."""

import math
import random
import sqlite3
import threading

import pytest

from archive.errors import ArchiveClosed, MissingRow
from archive.query import Reader
from archive.records import EvaluationState, Origin, ProposalState, Role
from sandbox.verdicts.verdict import VerdictStatus


def view(path, name):
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA trusted_schema = OFF")
    try:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
    finally:
        connection.close()


VERDICT = {
    "status": "refused",
    "accepted": False,
    "contract": "preference",
    "entry": "my_loss",
    "findings": [
        {
            "rule": "SBX301",
            "severity": "refuse",
            "message": "the gradient is inf at rho = 400, beta = 0.05",
            "line": 3,
            "column": 5,
            "excerpt": "return torch.exp(x)",
            "remedy": "clamp the argument",
            "counterexample": {"rho": 400.0, "gradient": math.inf},
        },
        {
            "rule": "SBX320",
            "severity": "note",
            "message": "not convex",
            "line": None,
            "column": None,
            "excerpt": "",
            "remedy": "",
            "counterexample": {},
        },
    ],
    "graph": '{"nodes": [1, 2], "output": 1}',
    "hash": "abc",
    "fingerprint": {"key": "k", "vector": [0.5, -1e300]},
    "descriptors": {"convex": False, "tail": "exponential"},
    "guarantees": {"files": "landlock"},
    "milliseconds": 1.25,
}


def test_a_verdict_is_read_back(archive, reader):
    candidate = archive.add_candidate("seed", "x", "", "source", "preference")
    archive.record_verdict(candidate, VERDICT)
    row = reader.verdict(candidate)
    assert (row.status, row.entry, row.is_new) == (VerdictStatus.REFUSED, "my_loss", True)
    assert [finding.rule for finding in reader.findings(candidate)] == ["SBX301", "SBX320"]
    assert [finding.column_number for finding in reader.findings()] == [5, None]
    assert reader.findings()[0].counterexample == {"rho": 400.0, "gradient": "inf"}
    assert (row.hash, row.descriptors, row.guarantees) == tuple(
        VERDICT[k] for k in ("hash", "descriptors", "guarantees")
    )


def test_a_graph_may_be_given_as_an_object(archive, reader):
    candidate = archive.add_candidate("seed", "x", "", "source", "preference")
    archive.record_verdict(candidate, {"status": "accepted", "graph": {"nodes": []}})
    assert reader.verdict(candidate).graph == '{"nodes":[]}'


def test_hostile_text_is_kept_exactly_or_as_escapes(archive, reader):
    name = "x'; DROP TABLE candidate; --\x00\x1b[31m</script>\ud800é😀"
    candidate = archive.add_candidate("seed", name, name, name, "preference")
    archive.record_verdict(
        candidate, {"status": "refused", "findings": [{"rule": "R", "severity": "refuse", "message": name}]}
    )
    expected = name.replace("\ud800", "\\ud800")
    row = reader.candidate(candidate)
    assert (row.name, row.thought, row.source) == (expected, expected, expected)
    assert reader.findings(candidate)[0].message == expected


def test_lineage_and_duplicates(write, archive, reader):
    a, b = write.seed("a"), write.seed("b")
    child = write.child(0, b, a, role="combined", operator="combine")
    archive.record_verdict(child, {"status": "accepted", "hash": "a"}, duplicate_of=a, duplicate_kind="same hash")
    assert [(edge.parent, edge.role, edge.position) for edge in reader.parents(child)] == [
        (b, Role.COMBINED, 0),
        (a, Role.COMBINED, 1),
    ]
    assert reader.parents(a) == []
    assert len(reader.lineage()) == 2
    assert not reader.verdict(child).is_new
    rows = view(archive.path, "lineage")
    assert [(row["candidate"], row["parent_name"], row["operator"], row["duplicate_of"]) for row in rows] == [
        (a, None, None, None),
        (b, None, None, None),
        (child, "b", "combine", a),
        (child, "a", "combine", a),
    ]


def test_missing_ids_are_reported(reader, write):
    write.seed()
    for question in (reader.candidate, reader.proposal, reader.evaluation):
        with pytest.raises(MissingRow, match=r"there is no .* 77"):
            question(77)
    assert reader.verdict(77) is None
    assert reader.findings(77) == [] and reader.parents(77) == [] and reader.evaluations(77) == []


def test_standings_have_mean_standard_error_and_seeds(write, archive, reader):
    good, bad, hopeless = write.seed("good"), write.seed("bad"), write.seed("hopeless")
    for seed, fitness in enumerate((0.7, 0.8, 0.9)):
        write.score(good, fitness, seed)
    write.score(bad, 0.2)
    write.score(good, 0.1, beta=0.5)
    write.score(good, 0.3, rung="short")
    archive.fail_evaluation(archive.queue_evaluation(hopeless, "sentiment", "full", 0), "diverged", seconds=1.0)
    archive.fail_evaluation(archive.queue_evaluation(bad, "sentiment", "full", 1), "timeout")
    archive.queue_evaluation(hopeless, "sentiment", "full", 1)

    full = reader.standings(rung="full")
    assert [(s.name, s.beta, s.n, s.failed) for s in full] == [
        ("good", None, 3, 0),
        ("bad", None, 1, 1),
        ("good", 0.5, 1, 0),
        ("hopeless", None, 0, 1),
    ]
    assert full[0].mean == pytest.approx(0.8)
    assert full[0].standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert full[0].seeds == (0, 1, 2) and full[0].fitnesses == (0.7, 0.8, 0.9) and full[0].seconds == 6.0
    assert (full[0].origin, full[0].status) == (Origin.SEED, VerdictStatus.ACCEPTED)
    assert full[1].standard_error is None
    assert full[3].mean is None and full[3].seconds == 1.0
    assert [s.rung for s in reader.standings()].count("short") == 1
    assert reader.standings(task="other") == []


def test_the_leaderboard_view_agrees_with_the_standings(write, archive, reader):
    dice = random.Random(5)
    for name in ("a", "b", "c", "d", "e", "f"):
        candidate = write.seed(name)
        for seed in range(dice.randrange(0, 6)):
            spread = 10.0 ** dice.randrange(-9, 9)
            write.score(candidate, dice.gauss(0, 1) * spread, seed, rung=dice.choice(["full", "short"]))
    flat = write.seed("flat")
    for seed in range(3):
        write.score(flat, 0.25, seed)
    archive.fail_evaluation(archive.queue_evaluation(flat, "sentiment", "short", 0), "diverged")
    rows = view(archive.path, "leaderboard")
    standings = {(s.candidate_id, s.rung): s for s in reader.standings()}
    assert {(row["candidate"], row["rung"]) for row in rows} == set(standings)
    for row in rows:
        standing = standings[row["candidate"], row["rung"]]
        assert (row["seeds"], row["failed_seeds"]) == (standing.n, standing.failed)
        for ours, theirs in ((standing.mean, row["fitness"]), (standing.standard_error, row["standard_error"])):
            assert theirs == (None if ours is None else pytest.approx(ours, rel=1e-6, abs=1e-12))
    for rung in ("full", "short"):
        means = [row["fitness"] for row in rows if row["rung"] == rung and row["fitness"] is not None]
        assert means == sorted(means, reverse=True)
        assert [row["place"] for row in rows if row["rung"] == rung] == list(
            range(1, 1 + len([r for r in rows if r["rung"] == rung]))
        )


def test_the_refusals_view_has_the_reasons(write, archive):
    write.seed()
    child = write.child(0, 1)
    archive.record_verdict(child, VERDICT)
    assert [(row["candidate"], row["rule"], row["operator"]) for row in view(archive.path, "refusals")] == [
        (child, "SBX301", "refine")
    ]


def test_pandas_reads_the_views(write, archive, path):
    pandas = pytest.importorskip("pandas")
    write.score(write.seed(), 0.5)
    connection = sqlite3.connect(path)
    for name in ("leaderboard", "lineage", "refusals"):
        frame = pandas.read_sql(f"SELECT * FROM {name}", connection)
        assert len(frame.columns) > 5
    connection.close()


def test_spending_adds_up(write, archive, reader):
    write.seed()
    write.child(0, 1)
    free = write.request(1)
    archive.receive_proposal(free, "reply", 10, 5, None, 1.0)
    archive.lose_proposal(write.request(2))
    write.score(1, 0.5)
    spent = reader.spending()
    assert (spent.proposals, spent.tokens_in, spent.tokens_out, spent.usd) == (3, 110, 55, 0.01)
    assert (spent.unpriced, spent.possibly_paid, spent.seconds) == (1, 1, 3.0)
    assert (spent.evaluations, spent.evaluation_seconds, spent.evaluation_tokens) == (1, 2.0, 100)


def past(reader: Reader) -> dict[str, object]:
    """Results of all methods of a reader."""
    return {
        "run": reader.run(),
        "candidates": reader.candidates(),
        "lineage": reader.lineage(),
        "nodes": list(reader.nodes("sentiment")),
        "noted": reader.with_finding(VERDICT["findings"][0]["rule"]),
        "verdicts": reader.verdicts(),
        "findings": reader.findings(),
        "proposals": reader.proposals(),
        "evaluations": reader.evaluations(),
        "standings": reader.standings(),
        "events": reader.events(),
        "last_event": reader.last_event(),
        "spending": reader.spending(),
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_past_is_reconstructed_exactly(write, archive, reader, seed):
    """After each write of a random history, all results are recorded; `as_of` must give the same results later."""
    dice = random.Random(seed)
    write.seed()
    pictures = {archive.last_event(): past(reader)}
    for step in range(90):
        evaluations, proposals = reader.evaluations(), reader.proposals()
        queued = [row.id for row in evaluations if row.state == EvaluationState.QUEUED]
        running = [row.id for row in evaluations if row.state == EvaluationState.RUNNING]
        requested = [row.id for row in proposals if row.state == ProposalState.REQUESTED]
        taken = {row.proposal_id for row in reader.candidates()}
        received = [row.id for row in proposals if row.state == ProposalState.RECEIVED and row.id not in taken]
        vetted = {row.candidate_id for row in reader.verdicts()}
        candidates = [row.id for row in reader.candidates()]
        raw = [id for id in candidates if id not in vetted]
        choice = dice.randrange(12)
        if choice <= 1:
            write.request(step)
        elif choice == 2 and requested:
            archive.receive_proposal(dice.choice(requested), f"reply {step}", 3, 4, 0.5, 1.0)
        elif choice == 3 and requested:
            dice.choice([archive.lose_proposal, lambda id: archive.fail_proposal(id, "timeout")])(
                dice.choice(requested)
            )
        elif choice == 4 and received:
            archive.fail_proposal(dice.choice(received), "no code")
        elif choice == 5 and received:
            parents = [(id, "combined") for id in dice.sample(candidates, min(2, len(candidates)))]
            archive.add_candidate("proposal", f"c{step}", "t", "s", "preference", dice.choice(received), parents)
        elif choice == 6 and raw:
            archive.record_verdict(dice.choice(raw), VERDICT)
        elif choice <= 8:
            archive.queue_evaluation(dice.choice(candidates), "sentiment", "full", step)
        elif choice == 9 and queued:
            archive.start_evaluation(dice.choice(queued))
        elif choice == 10 and running:
            archive.score_evaluation(dice.choice(running), dice.choice([0.5, math.nan, 0.75]), {"kl": math.inf}, 1.0, 5)
        elif choice == 11 and running:
            archive.recover() if dice.random() < 0.5 else archive.fail_evaluation(dice.choice(running), "diverged", "d")
        pictures[archive.last_event()] = past(reader)
    assert len(pictures) > 30
    for event, picture in pictures.items():
        assert past(reader.as_of(event)) == picture
    assert past(reader.as_of(10**9)) == pictures[archive.last_event()]


def test_a_view_of_the_past_hides_later_single_rows(write, archive, reader):
    before = archive.last_event()
    candidate = write.child(0)
    evaluation = write.score(candidate, 0.5)
    then = reader.as_of(before)
    for question, id in ((then.candidate, candidate), (then.evaluation, evaluation), (then.proposal, 1)):
        with pytest.raises(MissingRow):
            question(id)
    assert then.verdict(candidate) is None
    assert then.as_of(10**9).last_event() == before, "a view of the past cannot see further than it"
    then.close()
    assert reader.candidates(), "closing a view leaves its reader open"


def test_readers_see_each_commit_while_the_archive_is_open_for_writing(write, archive):
    with Reader.open(archive.path) as reader:
        for n in range(1, 6):
            write.seed(f"s{n}")
            assert len(reader.candidates()) == n


def test_a_consistent_block_sees_one_state(write, archive, reader):
    write.seed()
    with reader.consistent():
        assert len(reader.candidates()) == 1
        write.seed("later")
        assert len(reader.candidates()) == 1
    assert len(reader.candidates()) == 2


def test_threads_may_share_a_reader(write, reader):
    for n in range(20):
        write.score(write.seed(f"s{n}"), n / 10)
    results = []

    def look() -> None:
        for _ in range(10):
            results.append(len(reader.standings()))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(10):
        write.score(1, 0.1, seed=n + 1)
    for thread in threads:
        thread.join()
    assert results == [20] * 40


def test_a_reader_cannot_write(reader, write):
    write.seed()
    for statement in ("DELETE FROM candidate", "DROP TABLE event", "CREATE TABLE x (y)", "ATTACH '/tmp/x.db' AS x"):
        with pytest.raises(sqlite3.Error):
            reader._connection.execute(statement)


def test_a_closed_reader_raises_a_clear_error(archive):
    reader = Reader.open(archive.path)
    reader.close()
    with pytest.raises(ArchiveClosed, match="closed here"):
        reader.candidates()


def test_leaders_are_the_first_standings(write, archive, reader):
    rng = random.Random(5)
    losses = [write.archive.add_candidate("seed", f"loss{number}", "", "s", "preference") for number in range(40)]
    for candidate in losses:
        for seed in range(rng.choice([1, 1, 2, 4])):
            for beta in (None, 0.5)[: rng.choice([1, 2])]:
                write.score(candidate, round(rng.gauss(0, 1), 1), seed, beta=beta)
    write.score(losses[0], 99.0, rung="short")
    failed = archive.queue_evaluation(losses[1], "sentiment", "full", 77)
    archive.fail_evaluation(failed, "diverged")
    then = reader.last_event() - 30
    for view in (reader, reader.as_of(then)):
        everyone = [s for s in view.standings("sentiment", "full") if s.mean is not None]
        for most in (1, 2, 7, len(everyone), 500):
            assert view.leaders("sentiment", "full", most) == everyone[:most]
    assert reader.leaders("sentiment", "no such rung", 5) == []


def test_ancestry_has_every_edge_above_once(write, reader):
    first = write.archive.add_candidate("seed", "dpo", "", "s", "preference")
    second = write.child(1, first)
    third = write.child(2, first, second, role="combined", operator="combine")
    fourth = write.child(3, third, second, role="combined", operator="combine")
    write.child(4, fourth)
    edges = [(edge.child, edge.parent) for edge in reader.ancestry(fourth)]
    assert edges == [(fourth, third), (fourth, second), (third, first), (third, second), (second, first)]
    assert reader.ancestry(first) == []
    assert len(reader.ancestry(fourth, most=2)) == 2
    with pytest.raises(MissingRow):
        reader.ancestry(99)


def test_progress_counts_what_the_rows_say(write, archive, reader):
    first = write.archive.add_candidate("seed", "dpo", "", "s", "preference")
    for step, status in ((1, "accepted"), (2, "refused"), (3, "accepted")):
        child = write.child(step, first)
        archive.record_verdict(child, {"status": status}, first if step == 3 else None, "hash" if step == 3 else None)
    write.request(4)
    write.score(first, 0.5)
    archive.queue_evaluation(first, "sentiment", "full", 1)
    archive.fail_evaluation(archive.queue_evaluation(first, "sentiment", "full", 2), "diverged")
    found = reader.progress()
    assert (found.candidates, found.unvetted, found.refused, found.duplicates, found.accepted) == (4, 1, 1, 1, 1)
    assert (found.requests, found.unanswered) == (4, 1)
    assert (found.trainings, found.unfinished, found.failed) == (3, 1, 1)
    assert found.last_event == reader.last_event()


def test_curves_are_kept_to_four_digits_with_infinities(write, archive, reader):
    first = write.archive.add_candidate("seed", "dpo", "", "s", "preference")
    evaluation = archive.queue_evaluation(first, "sentiment", "full", 0)
    curves = {"loss": [(1, 0.693147), (2, math.inf)], "margin": [(1, -1.23456e-7), (3, 2.0), (4, 0.0)]}
    archive.score_evaluation(evaluation, 0.5, curves=curves)
    assert reader.curves(evaluation) == {
        "loss": [(1.0, 0.6931), (2.0, math.inf)],
        "margin": [(1.0, -1.235e-07), (3.0, 2.0), (4.0, 0.0)],
    }
