"""A person's command appends its event beside the process that writes the archive."""

import shutil
import subprocess
import sys

import pytest

from archive.errors import ArchiveNotFound, MissingRow, WriteFailed
from archive.query import Reader
from archive.records import EventKind, ProposalState, RunRow
from archive.sqlite.appending import append_event
from archive.sqlite.connection import connect
from archive.store import Archive

OTHER = "import sys; from archive.sqlite.appending import append_event; append_event(sys.argv[1], 'noted', {'text': sys.argv[2]})"


@pytest.fixture
def path(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("r", 0, "t", "preference")) as archive:
        archive.add_candidate("seed", "dpo", "", "", "preference")
    return tmp_path / "archive.db"


def texts(path):
    with Reader.open(path) as reader:
        return [e.payload["text"] for e in reader.events(kind=EventKind.NOTED)]


def test_other_processes_append_while_a_writer_holds_the_lock_and_none_loses_an_event(path):
    with Archive.open(path) as archive:
        others = [subprocess.Popen([sys.executable, "-c", OTHER, str(path), str(n)]) for n in range(3)]
        own = [archive.event(EventKind.SETTINGS_CHANGED) for _ in range(30)]
        assert [other.wait(120) for other in others] == [0, 0, 0]
        own.append(archive.event(EventKind.SETTINGS_CHANGED))
    assert len(set(own)) == 31 and sorted(texts(path)) == ["0", "1", "2"]
    with Reader.open(path) as reader:
        assert reader.problems() == []


def test_an_event_without_a_session_is_in_the_file_itself(path, tmp_path):
    append_event(path, EventKind.NOTED, {"text": "kept"})
    shutil.copy(path, tmp_path / "copy.db")
    assert texts(tmp_path / "copy.db") == ["kept"]


def test_an_unknown_candidate_is_refused_and_nothing_is_recorded(path):
    with pytest.raises(MissingRow):
        append_event(path, EventKind.PINNED, {}, 99)
    with Reader.open(path) as reader:
        assert not reader.events(kind=EventKind.PINNED)


def test_a_missing_or_older_archive_is_refused_unchanged(path, tmp_path):
    with pytest.raises(ArchiveNotFound):
        append_event(tmp_path / "none.db", EventKind.NOTED, {})
    assert not (tmp_path / "none.db").exists()
    connection = connect(path)
    newest = "SELECT max(name) FROM _sqlite_migrations"
    connection.execute(f"DELETE FROM _sqlite_migrations WHERE name = ({newest})")
    connection.close()
    with pytest.raises(WriteFailed, match="continue the run first"):
        append_event(path, EventKind.NOTED, {"text": "x"})


def test_a_person_s_loss_is_a_received_proposal_that_counts_and_costs_nothing(path):
    with Archive.open(path) as archive, Reader.open(path) as reader:
        proposal = reader.proposal(archive.receive_injected(1, {"island": 0, "parents": []}, 2, "text"))
        assert (proposal.state, proposal.proposer, proposal.operator, proposal.reply) == (
            ProposalState.RECEIVED, "person", "inject", "text",
        )  # fmt: skip
        spending = reader.spending()
        assert (spending.proposals, spending.steps, spending.unpriced, spending.possibly_paid) == (0, 0, 0, 0)
        assert archive.recover().unread == (proposal.id,)
