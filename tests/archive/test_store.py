"""Writer: what it records, the states of rows, and what it refuses."""

import math
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from archive.errors import (
    ArchiveClosed,
    ArchiveExists,
    ArchiveNotFound,
    CorruptArchive,
    MissingRow,
    NewerArchive,
    NotAnArchive,
    WriteFailed,
    WrongState,
)
from archive.query import Reader
from archive.records import NOT_FINITE, EvaluationState, Items, ProposalState, RunRow, Usage
from archive.store import Archive


def test_the_run_is_read_back_as_it_was_recorded(reader, run):
    got = reader.run()
    assert (got.name, got.seed, got.task, got.contract) == (run.name, run.seed, run.task, run.contract)
    assert got.identity == run.identity and got.config == run.config and got.version == run.version
    assert got.created_at.endswith("+00:00")


def test_creating_over_an_existing_file_is_refused(path, run):
    path.write_text("mine")
    with pytest.raises(ArchiveExists, match="exists already"):
        Archive.create(path, run)
    assert path.read_text() == "mine"
    assert not path.with_name("archive.db.lock").exists()


def test_an_interrupted_creation_can_be_repeated(path, run):
    path.with_name("archive.db.creating").write_bytes(b"half a page")
    path.with_name("archive.db-wal").write_bytes(b"log of an archive that was removed")
    Archive.create(path, run).close()
    with Reader.open(path) as reader:
        assert reader.problems() == []
    assert sorted(p.name for p in path.parent.iterdir() if "creating" in p.name) == []


def test_opening_a_missing_file_is_refused(path):
    with pytest.raises(ArchiveNotFound, match="no archive at"):
        Archive.open(path)


def test_opening_a_file_that_is_no_database_is_refused(path):
    path.write_bytes(b"not a database, but long enough to have a header " * 40)
    with pytest.raises(NotAnArchive, match="not an SQLite database"):
        Archive.open(path)


def test_another_programs_database_is_refused_and_unchanged(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE candidate (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NotAnArchive, match="not an evopo archive"):
        Archive.open(path)
    assert path.read_bytes() == before


def test_a_newer_archive_is_refused(path, archive):
    archive.close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('evopo.archive', 'm999_future', '2030')"
    )
    connection.commit()
    connection.close()
    with pytest.raises(NewerArchive, match="m999_future"):
        Archive.open(path)
    with pytest.raises(NewerArchive, match="a newer version of evopo"):
        Reader.open(path)


def test_every_write_appends_its_event(write, archive, reader):
    parent = write.seed()
    child = write.child(0, parent)
    archive.record_verdict(
        child, {"status": "refused", "findings": [{"rule": "SBX1", "severity": "refuse", "message": "m"}]}
    )
    write.score(parent, 0.5)
    failed = archive.queue_evaluation(parent, "sentiment", "full", 7)
    archive.fail_evaluation(failed, "diverged", "loss is NaN at step 3")
    archive.fail_proposal(write.request(1), "timeout")
    archive.lose_proposal(write.request(2))
    archive.event("budget_changed", {"usd": 3})
    assert [event.kind for event in reader.events()] == [
        "run_created",
        "candidate_added",
        "verdict_recorded",
        "proposal_requested",
        "proposal_received",
        "candidate_added",
        "verdict_recorded",
        "evaluation_queued",
        "evaluation_started",
        "evaluation_scored",
        "evaluation_queued",
        "evaluation_failed",
        "proposal_requested",
        "proposal_failed",
        "proposal_requested",
        "proposal_lost",
        "budget_changed",
    ]
    assert archive.last_event() == reader.last_event() == len(reader.events())
    assert reader.events(after=16)[0].payload == {"usd": 3}
    assert reader.problems() == []


def test_a_write_that_fails_leaves_no_event(archive, reader, write):
    write.seed()
    before = archive.last_event()
    with pytest.raises(MissingRow):
        archive.add_candidate("seed", "x", "", "", "preference", parents=[(99, "refined")])
    with pytest.raises(MissingRow):
        archive.record_verdict(99, {"status": "accepted"})
    with pytest.raises(MissingRow):
        archive.queue_evaluation(99, "sentiment", "full", 0)
    with pytest.raises(MissingRow, match="no evaluation 99"):
        archive.start_evaluation(99)
    with pytest.raises(ValueError, match="bribe"):
        archive.record_verdict(1, {"status": "bribe"})
    with pytest.raises(TypeError, match="plain data"):
        archive.event("odd", object())
    assert archive.last_event() == before
    assert len(reader.candidates()) == 1


def test_a_proposal_goes_through_its_states_once(archive, write, reader):
    proposal = write.request(0)
    archive.receive_proposal(proposal, "reply", 10, 20, 0.5, 1.0)
    with pytest.raises(WrongState, match="should be requested, but it is received"):
        archive.receive_proposal(proposal, "again")
    with pytest.raises(WrongState):
        archive.lose_proposal(proposal)
    archive.fail_proposal(proposal, "no code in the reply")
    row = reader.proposal(proposal)
    assert (row.state, row.reply, row.usd, row.error) == (ProposalState.FAILED, "reply", 0.5, "no code in the reply")
    with pytest.raises(WrongState, match="already"):
        write.request(0)


def test_a_received_proposal_gives_exactly_one_candidate(archive, write):
    proposal = write.request(0)
    with pytest.raises(WrongState, match="should be received"):
        archive.add_candidate("proposal", "a", "", "", "preference", proposal)
    archive.receive_proposal(proposal, "reply")
    archive.add_candidate("proposal", "a", "", "", "preference", proposal)
    with pytest.raises(WrongState, match="already"):
        archive.add_candidate("proposal", "b", "", "", "preference", proposal)


def test_a_second_verdict_is_refused(archive, write):
    candidate = write.seed()
    with pytest.raises(WrongState, match="already"):
        archive.record_verdict(candidate, {"status": "refused"})


def test_queueing_an_evaluation_twice_gives_one_row(archive, write, reader):
    candidate = write.seed()
    first = archive.queue_evaluation(candidate, "sentiment", "full", 0)
    events = archive.last_event()
    assert archive.queue_evaluation(candidate, "sentiment", "full", 0) == first
    assert archive.last_event() == events
    assert archive.queue_evaluation(candidate, "sentiment", "full", 0, beta=0.2) != first
    assert len(reader.evaluations(candidate)) == 2


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_a_beta_that_is_not_positive_and_finite_is_refused(archive, write, beta):
    candidate = write.seed()
    with pytest.raises(ValueError, match="positive, finite beta"):
        archive.queue_evaluation(candidate, "sentiment", "full", 0, beta)


def test_a_finished_evaluation_stays_finished(archive, write):
    evaluation = write.score(write.seed(), 0.5)
    with pytest.raises(WrongState, match="it is scored"):
        archive.score_evaluation(evaluation, 0.6)
    with pytest.raises(WrongState, match="it is scored"):
        archive.start_evaluation(evaluation)


def test_a_score_too_large_to_be_averaged_is_a_failure(archive, write, reader):
    evaluation = archive.queue_evaluation(write.seed(), "sentiment", "full", 0)
    assert archive.score_evaluation(evaluation, 1.1e100) is EvaluationState.FAILED
    assert reader.evaluation(evaluation).detail == "the fitness is 1.1e+100"


def test_a_score_with_an_item_that_is_not_finite_is_a_failure_without_items(archive, write, reader):
    evaluation = archive.queue_evaluation(write.seed(), "sentiment", "full", 0)
    items = Items((0.5, math.nan), ("a", "b"))
    assert archive.score_evaluation(evaluation, 0.5, items=items) is EvaluationState.FAILED
    row = reader.evaluation(evaluation)
    assert (row.reason, row.detail, row.items) == (NOT_FINITE, "the fitness of an item is nan", None)


@pytest.mark.parametrize("fitness", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_a_failure(archive, write, reader, fitness):
    evaluation = archive.queue_evaluation(write.seed(), "sentiment", "full", 0)
    assert archive.score_evaluation(evaluation, fitness, {"kl": 3.0}) is EvaluationState.FAILED
    row = reader.evaluation(evaluation)
    assert (row.state, row.fitness, row.reason, row.metrics) == (EvaluationState.FAILED, None, NOT_FINITE, {"kl": 3.0})
    assert str(fitness) in (row.detail or "")


def test_recovery_requeues_running_evaluations_and_reports_possibly_paid_calls(path, archive, write):
    parent = write.seed()
    running = archive.queue_evaluation(parent, "sentiment", "full", 0)
    archive.start_evaluation(running)
    queued = archive.queue_evaluation(parent, "sentiment", "full", 1)
    done = write.score(parent, 0.4, seed=2)
    unvetted = write.child(0, parent)
    lost = write.request(1)
    unread = write.request(2)
    archive.receive_proposal(unread, "reply", usd=0.02)
    archive.close()

    with Archive.open(path) as again, Reader.open(path) as reader:
        assert reader.evaluation(running).state == EvaluationState.RUNNING, "opening changes nothing"
        found = again.recover()
        assert (found.requeued, found.lost, found.unread, found.unvetted) == (
            (running,),
            (lost,),
            (unread,),
            (unvetted,),
        )
        assert found
        states = [reader.evaluation(id).state for id in (running, queued, done)]
        assert states == [EvaluationState.QUEUED, EvaluationState.QUEUED, EvaluationState.SCORED]
        assert reader.proposal(lost).state == ProposalState.LOST
        assert reader.spending().possibly_paid == 1
        repeated = again.recover()
        assert (repeated.requeued, repeated.lost) == ((), ())
        again.start_evaluation(running)
        assert reader.evaluation(running).attempts == 2


def test_a_clean_archive_needs_no_recovery(archive, write):
    write.score(write.seed(), 0.5)
    assert not archive.recover()


def test_many_threads_may_write(archive, reader):
    def work(thread: int) -> None:
        for i in range(20):
            candidate = archive.add_candidate("seed", f"t{thread}-{i}", "", "source", "preference")
            archive.record_verdict(candidate, {"status": "accepted"})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row.name for row in reader.candidates()}) == 120
    assert [event.id for event in reader.events()] == list(range(1, 242))
    for row in reader.candidates():
        assert reader.verdict(row.id) is not None


def test_a_closed_archive_takes_no_writes(archive):
    archive.close()
    archive.close()
    with pytest.raises(ArchiveClosed, match="open it again"):
        archive.event("late")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_neither_write_nor_release(archive):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            archive.event("from the child")
        except ArchiveClosed:
            archive.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert archive.path.with_name("archive.db.lock").exists()
    archive.event("from the parent")


def test_commits_are_synced_and_logged(archive):
    connection = archive._file._connection
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_an_archive_is_one_file_after_closing(archive, write, path):
    write.seed()
    archive.close()
    assert [p.name for p in path.parent.iterdir()] == ["archive.db"]


def test_a_missing_folder_is_named(tmp_path: Path, run: RunRow):
    with pytest.raises(Exception, match="does not exist; create it first"):
        Archive.create(tmp_path / "no" / "archive.db", run)


def test_a_write_on_a_full_disk_is_rolled_back_and_the_next_one_works(archive, reader):
    pages = archive._file._connection.execute("PRAGMA page_count").fetchone()[0]
    archive._file._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(WriteFailed, match=r"disk is full.*what was recorded before is kept"):
        archive.add_candidate("seed", "big", "", "x" * 100_000, "preference")
    archive._file._connection.execute("PRAGMA max_page_count = 1000000")
    assert reader.candidates() == [] and reader.last_event() == 1
    archive.add_candidate("seed", "big", "", "x" * 100_000, "preference")
    assert len(reader.candidates()) == 1


def test_an_open_transaction_of_another_program_is_reported(archive, path):
    archive._file._connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(WriteFailed, match="locked"):
        archive.event("refused")
    other.execute("ROLLBACK")
    other.close()
    archive.event("recorded")


def test_a_prompt_is_read_back_exactly_and_shared_texts_are_stored_once(archive, reader):
    system, first, second = "you are a researcher \ud800", "refine this", "combine these"
    ids = [
        archive.request_proposal(
            step, 0, "refine", "openai", "m", 0.7, "t", {}, 0, [("system", system), ("user", words)]
        )
        for step, words in ((1, first), (2, second))
    ]
    assert reader.prompt(ids[0]) == [("system", system), ("user", first)]
    assert reader.prompt(ids[1]) == [("system", system), ("user", second)]
    assert len(reader._rows("SELECT hash FROM text")) == 3


def test_a_request_without_a_prompt_has_none(reader, write):
    assert reader.prompt(write.request(1)) is None


def test_items_curves_and_judge_usage_are_read_back(archive, reader, write):
    items, judged = Items((0.25, 0.75), ("p1", "p2")), Usage(100, 7, 0.02)
    curves = {"loss": [(1.0, 0.7), (2.0, math.inf)]}
    evaluation = archive.queue_evaluation(write.seed(), "sentiment", "full", 0)
    archive.score_evaluation(evaluation, 0.5, items=items, curves=curves, judged=judged)
    row = reader.evaluation(evaluation)
    assert (row.items, row.judged) == (items, judged)
    assert reader.curves(evaluation) == curves


def test_each_item_needs_a_group(archive, write):
    evaluation = archive.queue_evaluation(write.seed(), "sentiment", "full", 0)
    with pytest.raises(ValueError, match="2 items and 1 groups"):
        archive.score_evaluation(evaluation, 0.5, items=Items((0.25, 0.75), ("p1",)))


@pytest.mark.parametrize("name", ["", "Refine", "a b", "9th", "x" * 41, "a\n", "<b>"])
def test_an_invalid_operator_name_is_neither_written_nor_read(archive, write, name):
    with pytest.raises(ValueError, match="lower-case letters"):
        write.request(0, operator=name)
    write.request(1)
    archive.close()
    with closing(sqlite3.connect(archive.path)) as connection:
        connection.execute("UPDATE proposal SET operator = ?", (name,))
        connection.commit()
    with (
        Reader.open(archive.path) as reader,
        pytest.raises(CorruptArchive, match=r"proposal\.operator should be a name"),
    ):
        reader.proposals()
