"""The events of a run as lines of its log: requests, replies, verdicts and trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis.output.encode import one_line
from analysis.recorded import refusing
from archive.query import Reader
from archive.records import BY_PEOPLE, PERSON, STUDIES, EvaluationRow, EventKind, EventRow, ProposalRow
from sandbox.verdicts.verdict import VerdictStatus

WIDTH = 200
"""Maximum characters of a name or message in a line."""


def line(event: EventRow, reader: Reader) -> str | None:
    """The event as one line that is safe for a file or a terminal; None if another event gives the same information."""
    say = _LINES.get(event.kind)
    return say(event, reader) if say else None


def refused(reader: Reader, candidate: int, width: int = WIDTH) -> str:
    """`refused, SBX103: message`, with the first finding that refuses the candidate."""
    findings = refusing(reader.findings(candidate))
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"refused, {findings[0].rule}: {one_line(findings[0].message, width)}{more}" if findings else "refused"


def _requested(event: EventRow, reader: Reader) -> str | None:
    row = _proposal(event, reader)
    if row.proposer == PERSON:
        return None
    model = f" of {one_line(row.model)}" if row.model else ""
    return f"step {row.step}: {row.operator} requested{model}, attempt {row.attempt}"


def _received(event: EventRow, reader: Reader) -> str:
    row = _proposal(event, reader)
    if row.proposer == PERSON:
        return f"step {row.step}: a loss that a person gave to the run"
    tokens = (row.tokens_in or 0) + (row.tokens_out or 0)
    cost = [f"{tokens} tokens"] if tokens else []
    cost += [f"{row.usd:.4f} USD"] if row.usd else []
    return f"step {row.step}: reply after {row.seconds or 0.0:.1f} s" + "".join(f", {part}" for part in cost)


def _failed(event: EventRow, reader: Reader) -> str:
    row = _proposal(event, reader)
    if row.operator in STUDIES:
        return f"step {row.step}, {row.operator}: {one_line(row.error or 'no reason was recorded', WIDTH)}"
    what = "no reply" if row.reply is None else "no loss in the reply"
    return f"step {row.step}, attempt {row.attempt}: {what}: {one_line(row.error or 'no reason was recorded', WIDTH)}"


def _lost(event: EventRow, reader: Reader) -> str:
    row = _proposal(event, reader)
    return f"step {row.step}, attempt {row.attempt}: cut off" + ", possibly paid" * (row.operator not in STUDIES)


def _vetted(event: EventRow, reader: Reader) -> str:
    assert event.candidate_id is not None
    verdict = reader.verdict(event.candidate_id)
    assert verdict is not None
    if verdict.status == VerdictStatus.REFUSED:
        outcome = refused(reader, event.candidate_id)
    elif verdict.duplicate_of is not None:
        outcome = f"duplicate of {_name(verdict.duplicate_of, reader)}, shown by {verdict.shown_by}; not trained"
    else:
        outcome = verdict.status
    return f"{_candidate(event.candidate_id, reader)}: {outcome}"


def _scored(event: EventRow, reader: Reader) -> str:
    row = _evaluation(event, reader)
    return f"{_name(row.candidate_id, reader)}: fitness {row.fitness:.4g} {_where(row)}, {row.seconds or 0.0:.1f} s"


def _training_failed(event: EventRow, reader: Reader) -> str:
    row = _evaluation(event, reader)
    why = one_line(f"{row.reason}: {row.detail}", WIDTH)
    return f"{_name(row.candidate_id, reader)}: training failed {_where(row)}: {why}"


def _requeued(event: EventRow, reader: Reader) -> str:
    row = _evaluation(event, reader)
    return f"{_name(row.candidate_id, reader)}: training {_where(row)} was cut off and will be repeated"


def _by_person(event: EventRow, reader: Reader) -> str:
    """A command of a person: its kind, and what it is about."""
    payload = event.payload if isinstance(event.payload, Mapping) else {}
    what = [_name(event.candidate_id, reader)] if event.candidate_id is not None else []
    what += [str(payload[part]) for part in ("file", "descriptor", "value", "text") if part in payload]
    return f"a person: {event.kind} {one_line(', '.join(what), WIDTH)}"


def _proposal(event: EventRow, reader: Reader) -> ProposalRow:
    assert event.proposal_id is not None
    return reader.proposal(event.proposal_id)


def _evaluation(event: EventRow, reader: Reader) -> EvaluationRow:
    assert event.evaluation_id is not None
    return reader.evaluation(event.evaluation_id)


def _name(candidate: int, reader: Reader) -> str:
    return f"candidate {candidate} {one_line(reader.candidate(candidate).name)}"


def _candidate(candidate: int, reader: Reader) -> str:
    """Name of a candidate with its origin: seed loss, or step and operator."""
    proposal = reader.candidate(candidate).proposal_id
    if proposal is None:
        return f"{_name(candidate, reader)} (seed loss)"
    row = reader.proposal(proposal)
    return f"{_name(candidate, reader)} (step {row.step}, {row.operator})"


def _where(row: EvaluationRow) -> str:
    beta = "" if row.beta is None else f", beta {row.beta:g}"
    rate = "" if row.learning_rate is None else f", learning rate {row.learning_rate:g}"
    return f"at rung {one_line(row.rung)}, seed {row.seed}{beta}{rate}"


_LINES: Mapping[str, Callable[[EventRow, Reader], str | None]] = {
    **dict.fromkeys(BY_PEOPLE, _by_person),
    EventKind.PROPOSAL_REQUESTED: _requested,
    EventKind.PROPOSAL_RECEIVED: _received,
    EventKind.PROPOSAL_FAILED: _failed,
    EventKind.PROPOSAL_LOST: _lost,
    EventKind.VERDICT_RECORDED: _vetted,
    EventKind.EVALUATION_SCORED: _scored,
    EventKind.EVALUATION_FAILED: _training_failed,
    EventKind.EVALUATION_REQUEUED: _requeued,
}
