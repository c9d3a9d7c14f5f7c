"""Writer of an archive. Every method is one transaction, which also appends an event.

Everything that a method had written when it returned survives a crash (`archive.sqlite.writing`). Opening changes no row;
`Archive.recover` does, and returns what it changed. All methods may be called from several threads.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from archive.disk.lock import Holder
from archive.encode import finding_columns, result_columns, run_columns, training_columns, verdict_columns
from archive.errors import MissingRow
from archive.judgements import JudgementWriter
from archive.records import (
    NOT_FINITE,
    Curves,
    EvaluationState,
    EventKind,
    Items,
    Origin,
    ProposalState,
    Role,
    RunRow,
    Usage,
    is_operator,
)
from archive.spending import asked_at_most, charged, failed_call
from archive.sqlite.appending import receive_injected
from archive.sqlite.connection import Write, now
from archive.sqlite.packed import pack
from archive.sqlite.recovery import Recovery, lose_proposal, recover
from archive.sqlite.values import dump_json, finite_or_null, is_finite
from archive.sqlite.writing import WritableFile
from archive.variants import VariantWriter


class Archive:
    """An archive open for writing. Create it with `create` or `open` and close it (it is a context manager)."""

    def __init__(self, file: WritableFile) -> None:
        self._file = file

    @classmethod
    def create(cls, path: str | Path, run: RunRow, *, allow_network: bool = False) -> Self:
        """A new archive at `path` for `run`. The file appears complete or not at all.

        Raises ArchiveExists, ArchiveLocked, UnsafeFile, and NetworkFilesystem (unless `allow_network`).
        """

        def first_rows(write: Write) -> None:
            write.insert("run", id=1, **run_columns(run))
            write.event(EventKind.RUN_CREATED, {"version": run.version})

        return cls(WritableFile.create(path, first_rows, allow_network=allow_network))

    @classmethod
    def open(cls, path: str | Path, *, allow_network: bool = False) -> Self:
        """The archive at `path`, migrated to the current schema if it is older. Recorded values are not changed.

        Raises ArchiveNotFound, ArchiveLocked, NotAnArchive, NewerArchive, UnsafeFile, and NetworkFilesystem (unless
        `allow_network`).
        """
        return cls(WritableFile.open(path, allow_network=allow_network))

    @property
    def path(self) -> Path:
        """Resolved path of the file."""
        return self._file.path

    @property
    def replaced(self) -> Holder | None:
        """Holder of the stale lock that was taken over: a writer that ended without closing. None if there was none."""
        return self._file.replaced

    @property
    def variants(self) -> VariantWriter:
        """The writer of variants."""
        return VariantWriter(self._file)

    @property
    def judgements(self) -> JudgementWriter:
        """The writer of judged policies, their answers and judgements."""
        return JudgementWriter(self._file)

    def close(self) -> None:
        """Moves the log into the file, also while it is being read, and releases the lock.

        Does nothing if called again, or in a forked child.
        """
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- proposals -----------------------------------------------------------------------------------------------

    def request_proposal(
        self,
        step: int,
        attempt: int,
        operator: str,
        proposer: str,
        model: str | None,
        temperature: float | None,
        template: str,
        references: Any,
        seen_event: int,
        prompt: Sequence[tuple[str, str]] | None = None,
        most: Usage | None = None,
    ) -> int:
        """Records a request for a loss, before the call is made, and returns the proposal's id.

        `operator` is one of `Operator` or the name of an added one. `template` is the hash of the prompt template, `references`
        (JSON) the values it was filled with, and `seen_event` the newest event when the step chose its parents. `prompt` has
        (role, text) of each message; each text is stored once. `most` is the attempt's maximum cost, if known. WrongState if this
        attempt of this step was recorded already, ValueError for an invalid operator name.
        """
        if not is_operator(operator):
            raise ValueError(
                f"expected an operator's name of lower-case letters, digits and underscores, got {operator!r}"
            )
        with self._file.transaction() as write:
            proposal = write.next_id("proposal")
            event = write.event(EventKind.PROPOSAL_REQUESTED, asked_at_most(most), proposal_id=proposal)
            write.insert(
                "proposal",
                id=proposal,
                step=step,
                attempt=attempt,
                operator=str(operator),
                proposer=proposer,
                model=model,
                temperature=finite_or_null(temperature),
                template=template,
                references=dump_json(references),
                seen_event=seen_event,
                state=ProposalState.REQUESTED,
                requested_event=event,
                prompt=None if prompt is None else dump_json([(role, write.text(text)) for role, text in prompt]),
            )
            return proposal

    def receive_proposal(
        self,
        id: int,
        reply: str,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        usd: float | None = None,
        seconds: float | None = None,
    ) -> None:
        """Records the reply and its cost (None: unknown). Call it before the reply is used."""
        with self._file.transaction() as write:
            write.require("proposal", id, ProposalState.REQUESTED)
            event = write.event(EventKind.PROPOSAL_RECEIVED, proposal_id=id)
            write.update(
                "proposal",
                id,
                state=ProposalState.RECEIVED,
                reply=pack(reply),
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                usd=finite_or_null(usd),
                seconds=finite_or_null(seconds),
                received_event=event,
            )

    def fail_proposal(
        self,
        id: int,
        error: str,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        usd: float | None = None,
        *,
        ends_step: bool = False,
        possibly_paid: bool = False,
    ) -> None:
        """Records that the call failed, or that its reply has no loss (then the reply and its cost are kept).

        Tokens and USD are the cost of a failed call, if it was charged. `possibly_paid`: it may have been charged, and the cost is
        not known. `ends_step`: the step counts as a proposal and is not requested again.
        """
        with self._file.transaction() as write:
            state = write.require("proposal", id, ProposalState.REQUESTED, ProposalState.RECEIVED)
            event = write.event(EventKind.PROPOSAL_FAILED, failed_call(ends_step, possibly_paid), proposal_id=id)
            changes: dict[str, Any] = {"state": ProposalState.FAILED, "error": error}
            if state == ProposalState.REQUESTED:
                usage = {"tokens_in": tokens_in, "tokens_out": tokens_out, "usd": finite_or_null(usd)}
                changes |= {"received_event": event, **usage}
            write.update("proposal", id, **changes)

    def receive_injected(self, step: int, references: Any, seen_event: int, reply: str) -> int:
        """Records a loss of a person as a proposal with its reply, and returns the proposal's id."""
        with self._file.transaction() as write:
            return receive_injected(write, step, references, seen_event, reply)

    def lose_proposal(self, id: int) -> None:
        """Records that there will be no reply and that the call may have been paid for (a call cut off, a crash)."""
        with self._file.transaction() as write:
            lose_proposal(write, id)

    # ---- candidates ----------------------------------------------------------------------------------------------

    def add_candidate(
        self,
        origin: Origin | str,
        name: str,
        thought: str,
        source: str,
        contract: str,
        proposal_id: int | None = None,
        parents: Sequence[tuple[int, Role | str]] = (),
        payload: Any = None,
    ) -> int:
        """Records a loss and its parents (id and role, in order), and returns its id. A proposal has at most one candidate.
        `payload` is that of the event: where a seed loss of the user comes from."""
        with self._file.transaction() as write:
            if proposal_id is not None:
                write.require("proposal", proposal_id, ProposalState.RECEIVED)
            candidate = write.next_id("candidate")
            for parent, _ in parents:
                if not 0 < parent < candidate:
                    raise MissingRow(f"there is no candidate {parent} to be a parent")
            # The event gets its candidate last: while it refers to a row that is not there yet, SQLite looks through all events for
            # the rows that the new candidate would be missing from, and they have no index by candidate.
            event = write.event(EventKind.CANDIDATE_ADDED, payload, proposal_id=proposal_id)
            write.insert(
                "candidate",
                id=candidate,
                proposal_id=proposal_id,
                origin=Origin(origin),
                name=name,
                thought=thought,
                source=source,
                contract=contract,
                event_id=event,
                created_at=now(),
            )
            write.update("event", event, candidate_id=candidate)
            for position, (parent, role) in enumerate(parents):
                write.insert("parent", child=candidate, parent=parent, role=Role(role), position=position)
            return candidate

    def record_verdict(
        self,
        candidate_id: int,
        verdict: Mapping[str, Any],
        duplicate_of: int | None = None,
        duplicate_kind: str | None = None,
    ) -> None:
        """Records a verdict (`Verdict.to_json()`), accepted or refused. Keys without a column are kept too.

        `duplicate_of` is the earlier candidate that is the same loss, `duplicate_kind` how this was found. WrongState if the
        candidate has a verdict already.
        """
        columns = verdict_columns(verdict)
        findings: Sequence[Mapping[str, Any]] = verdict.get("findings") or ()
        with self._file.transaction() as write:
            payload = {"status": columns["status"], "rules": [str(finding["rule"]) for finding in findings]}
            event = write.event(EventKind.VERDICT_RECORDED, payload, candidate_id=candidate_id)
            write.insert(
                "verdict",
                candidate_id=candidate_id,
                duplicate_of=duplicate_of,
                duplicate_kind=duplicate_kind,
                event_id=event,
                **columns,
            )
            for position, finding in enumerate(findings):
                write.insert("finding", candidate_id=candidate_id, position=position, **finding_columns(finding))

    # ---- evaluations ---------------------------------------------------------------------------------------------

    def queue_evaluation(
        self,
        candidate_id: int,
        task: str,
        rung: str,
        seed: int,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> int:
        """Queues one training and returns its id. If it exists already, returns the existing id and appends no event."""
        training = training_columns(candidate_id, task, rung, seed, beta, learning_rate)
        with self._file.transaction() as write:
            same = " AND ".join(f"{name} IS ?" for name in training)
            there = write.value(f"SELECT id FROM evaluation WHERE {same}", tuple(training.values()))
            if there is not None:
                return int(there)
            evaluation = write.next_id("evaluation")
            event = write.event(EventKind.EVALUATION_QUEUED, candidate_id=candidate_id, evaluation_id=evaluation)
            write.insert(
                "evaluation",
                id=evaluation,
                **training,
                state=EvaluationState.QUEUED,
                metrics="{}",
                attempts=0,
                queued_event=event,
            )
            return evaluation

    def start_evaluation(self, id: int) -> None:
        """Records that a worker has started this evaluation."""
        with self._file.transaction() as write:
            write.require("evaluation", id, EvaluationState.QUEUED)
            write.event(EventKind.EVALUATION_STARTED, candidate_id=write.candidate_of(id), evaluation_id=id)
            attempts = write.value("SELECT attempts FROM evaluation WHERE id = ?", (id,))
            write.update("evaluation", id, state=EvaluationState.RUNNING, attempts=attempts + 1)

    def score_evaluation(
        self,
        id: int,
        fitness: float,
        metrics: Mapping[str, float | None] | None = None,
        seconds: float | None = None,
        tokens: int | None = None,
        *,
        items: Items | None = None,
        curves: Curves | None = None,
        judged: Usage | None = None,
    ) -> EvaluationState:
        """Records a score and returns the new state: scored, or failed if the fitness, or that of an item, is not finite (see
        `archive.sqlite.values`)."""
        wrong = [value for value in (fitness, *(items.values if items else ())) if not is_finite(value)]
        if wrong:
            detail = f"the fitness{'' if wrong[0] is fitness else ' of an item'} is {wrong[0]}"
            self.fail_evaluation(id, NOT_FINITE, detail, metrics, seconds, tokens, curves=curves, judged=judged)
            return EvaluationState.FAILED
        columns = result_columns(metrics, seconds, tokens, items, curves, judged)
        self._finish(id, None, None, float(fitness), columns)
        return EvaluationState.SCORED

    def fail_evaluation(
        self,
        id: int,
        reason: str,
        detail: str = "",
        metrics: Mapping[str, float | None] | None = None,
        seconds: float | None = None,
        tokens: int | None = None,
        *,
        curves: Curves | None = None,
        judged: Usage | None = None,
    ) -> None:
        """Records a failed training, with a one-word reason (diverged, out_of_memory, ...) and what was measured."""
        self._finish(id, reason, detail, None, result_columns(metrics, seconds, tokens, None, curves, judged))

    def _finish(
        self, id: int, reason: str | None, detail: str | None, fitness: float | None, columns: Mapping[str, Any]
    ) -> None:
        state = EvaluationState.SCORED if reason is None else EvaluationState.FAILED
        kind = EventKind.EVALUATION_SCORED if reason is None else EventKind.EVALUATION_FAILED
        with self._file.transaction() as write:
            write.require("evaluation", id, EvaluationState.QUEUED, EvaluationState.RUNNING)
            payload = {} if reason is None else {"reason": reason}
            event = write.event(kind, payload, candidate_id=write.candidate_of(id), evaluation_id=id)
            result = {"fitness": fitness, "reason": reason, "detail": detail, "finished_event": event}
            write.update("evaluation", id, state=state, **result, **columns)

    def charge(self, to: str, paid: Usage, evaluation: int | None = None) -> None:
        """Records a payment to the `proposer` or the `judge` that belongs to no proposal and no finished evaluation.

        `evaluation` is the unfinished training of the payment, if there is one.
        """
        self.event(EventKind.CHARGED, charged(to, paid, evaluation))

    # ---- events and recovery -------------------------------------------------------------------------------------

    def event(self, kind: EventKind, payload: Any = None) -> int:
        """Appends an event that is not about a row (session started, settings changed), and returns its id."""
        with self._file.transaction() as write:
            return write.event(kind, {} if payload is None else payload)

    def last_event(self) -> int:
        """The id of the newest event; 0 without events."""
        with self._file.transaction() as write:
            return int(write.value("SELECT max(id) FROM event") or 0)

    def recover(self) -> Recovery:
        """Queues running evaluations again and marks requested proposals as lost, after a crash. Returns what it changed.

        Call it once after `open`, before anything is started: it treats all unfinished work as interrupted.
        """
        with self._file.transaction() as write:
            return recover(write)
