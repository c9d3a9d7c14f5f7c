"""What a person's command writes: one event beside the session that may be running, and the loss of a person as a proposal.

The lock of an archive keeps a second session out. A person's command needs no lock: it adds one row to `event` in one transaction,
and SQLite serialises the transactions of several processes. The running session sees the row as soon as it reads new events. The
command never migrates: an older archive is first upgraded by a session.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

from archive.disk.filesystem import refuse_network
from archive.errors import ArchiveNotFound, WriteFailed
from archive.records import INJECT, PERSON, EventKind, ProposalState
from archive.sqlite.connection import Write, connect, prepare, reported, resolve, transaction
from archive.sqlite.identification import identify, require_no_triggers
from archive.sqlite.values import compress, dump_json


def append_event(path: str | Path, kind: EventKind, payload: Any, candidate_id: int | None = None) -> int:
    """Appends one event to the archive at `path`, whether a session runs or not, and returns the event's id.

    Raises ArchiveNotFound, NotAnArchive, NewerArchive, UnsafeFile, NetworkFilesystem, MissingRow for an unknown candidate, and
    WriteFailed if the file cannot be written or is of an older version.
    """
    place = resolve(path)
    if not place.exists():
        raise ArchiveNotFound(f"there is no archive at {place}; check the path")
    refuse_network(place)
    with reported(place), closing(connect(place)) as connection:
        if identify(connection, place):
            raise WriteFailed(
                f"{place} was written by an older evopo and is upgraded when its run continues; continue the run first"
            )
        require_no_triggers(connection, place)
        prepare(connection, place)
        with transaction(connection) as write:
            return write.event(kind, payload, candidate_id=candidate_id)


def receive_injected(write: Write, step: int, references: Any, seen_event: int, reply: str) -> int:
    """Adds a person's loss as a proposal whose reply is received, so that no crash can leave it half recorded."""
    proposal = write.next_id("proposal")
    requested = write.event(EventKind.PROPOSAL_REQUESTED, proposal_id=proposal)
    received = write.event(EventKind.PROPOSAL_RECEIVED, proposal_id=proposal)
    return write.insert(
        "proposal",
        id=proposal,
        step=step,
        attempt=1,
        operator=INJECT,
        proposer=PERSON,
        template="",
        references=dump_json(references),
        seen_event=seen_event,
        state=ProposalState.RECEIVED,
        reply=compress(reply),
        tokens_in=0,
        tokens_out=0,
        usd=0.0,
        seconds=0.0,
        requested_event=requested,
        received_event=received,
    )
