"""Recovery after a crash: running evaluations are queued again, requested proposals are marked as lost."""

from collections.abc import Sequence
from dataclasses import dataclass

from archive.records import EvaluationState, EventKind, ProposalState
from archive.sqlite.connection import Write


@dataclass(frozen=True)
class Recovery:
    """Result of `Archive.recover` after a crash, as ids."""

    requeued: Sequence[int]
    """Evaluations that were running; now `queued`."""
    lost: Sequence[int]
    """Proposals without a recorded reply, possibly paid for; now `lost`."""
    unread: Sequence[int]
    """Proposals with a reply but without a candidate; unchanged."""
    unvetted: Sequence[int]
    """Candidates without a verdict; unchanged."""

    def __bool__(self) -> bool:
        """Whether any list is not empty."""
        return bool(self.requeued or self.lost or self.unread or self.unvetted)


def recover(write: Write) -> Recovery:
    """Queues running evaluations again and marks requested proposals as lost. Returns these, and what remains to be done."""
    running = write.ids(
        "SELECT id FROM evaluation WHERE finished_event IS NULL AND state = ? ORDER BY id", (EvaluationState.RUNNING,)
    )
    for id in running:
        write.event(
            EventKind.EVALUATION_REQUEUED,
            {"reason": "recovered"},
            candidate_id=write.candidate_of(id),
            evaluation_id=id,
        )
        write.update("evaluation", id, state=EvaluationState.QUEUED)
    lost = write.ids("SELECT id FROM proposal WHERE received_event IS NULL ORDER BY id")
    for id in lost:
        lose_proposal(write, id)
    unread = write.ids(
        "SELECT id FROM proposal WHERE state = ? AND id NOT IN "
        "(SELECT proposal_id FROM candidate WHERE proposal_id IS NOT NULL) ORDER BY id",
        (ProposalState.RECEIVED,),
    )
    unvetted = write.ids("SELECT id FROM candidate WHERE id NOT IN (SELECT candidate_id FROM verdict) ORDER BY id")
    return Recovery(running, lost, unread, unvetted)


def lose_proposal(write: Write, id: int) -> None:
    """Records that there will be no reply, and that the call may have been paid for."""
    write.require("proposal", id, ProposalState.REQUESTED)
    event = write.event(EventKind.PROPOSAL_LOST, proposal_id=id)
    write.update("proposal", id, state=ProposalState.LOST, received_event=event)
