"""What a person's commands do to a run: inject a loss, pin and ban parents, write notes. Each appends one event.

A session that is running sees the event at its next step; otherwise the next session does. So no command waits for a session, and
what a command recorded is there after any crash. `analysis.steering` says what the events contain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.output.encode import one_line
from analysis.snapshot import CandidateStatus, Snapshot
from analysis.steering import LONGEST_NOTE, Steering, shown_value
from archive.query import Reader
from archive.records import PERSON, CandidateRow, EventKind
from archive.sqlite.appending import append_event
from evo.campaign.injections import given_before
from evo.config.rundir import NotInRun, RunDir, RunDirError
from evo.config.schema import Config, ConfigError, parse_config
from evo.display.lookup import find_candidate
from evo.session.earlier_session import last_settings
from evo.session.warm_start import SourceText, accepted_by_sandbox, read_source
from fitness.task.faults import did_you_mean


@dataclass(frozen=True, slots=True)
class Steered:
    """A run directory that a person steers, with what is recorded in it now."""

    rundir: RunDir
    snapshot: Snapshot
    """The seed losses; `find` adds a candidate."""
    config: Config
    steering: Steering

    @classmethod
    def open(cls, rundir: RunDir) -> Steered:
        """The state of a run. Raises RunDirError for a directory of another command, ArchiveError."""
        with Reader.open(rundir.archive) as reader:
            snapshot = Snapshot.of_seeds(reader)
            settings = last_settings(reader)
        if kind := snapshot.run.identity.get("kind"):
            raise RunDirError(
                f"{rundir.path} holds {one_line(str(kind))}, and not a search, which is what this command is for"
            )
        return cls(rundir, snapshot, parse_config(settings), Steering.of(snapshot.events))

    def find(self, named: str) -> tuple[Snapshot, CandidateRow]:
        """A candidate by id or name, and the rows of it. Raises NotInRun."""
        with Reader.open(self.rundir.archive) as reader, reader.consistent():
            id = find_candidate(reader, named)
            snapshot = self.snapshot.with_candidates(reader, [id])
        return snapshot, snapshot.candidates[id]

    def require_search(self) -> None:
        """Raise RunDirError if the search has ended and nothing can be steered any more."""
        marks = (EventKind.SESSION_STARTED, EventKind.FINAL, EventKind.FINISHED)
        last = next((e.kind for e in reversed(self.snapshot.events) if e.kind in marks), None)
        if last in (EventKind.FINAL, EventKind.FINISHED):
            why = "the run is finished" if last == EventKind.FINISHED else "its final has begun"
            raise RunDirError(
                f"the search in {self.rundir.path} has ended: {why}; continue the run with a larger budget and repeat this command "
                "while it searches, or give a loss to another run (evopo run --seed-from)"
            )

    def append(self, kind: EventKind, payload: dict[str, Any] | None = None, candidate: int | None = None) -> None:
        """Append the event of a command."""
        append_event(self.rundir.archive, kind, {"author": PERSON, **(payload or {})}, candidate)


def inject(rundir: RunDir, files: list[Path]) -> list[str]:
    """Give losses in files to a run; returns a line for each. All are vetted before the first is recorded.

    A file whose content was given before is not recorded again.

    Raises ConfigError for a file that cannot be read or that the sandbox refuses, RunDirError, ArchiveError.
    """
    run = Steered.open(rundir)
    run.require_search()
    losses = [SourceText.of_file(file, read_source(file, "inject")) for file in files]
    accepted_by_sandbox(losses, run.config, run.snapshot.run.contract, "inject")
    with Reader.open(rundir.archive) as reader:
        before = given_before(reader)
    lines = []
    for loss in losses:
        digest = hashlib.sha256(loss.source).hexdigest()
        if digest in before:
            lines.append(_given_twice(loss, *before[digest]))
            continue
        payload = {
            "name": loss.name,
            "file": loss.provenance.file,
            "sha256": digest,
            "source": loss.source.decode("utf-8", "replace"),
        }
        run.append(EventKind.INJECTED, payload)
        before[digest] = (loss.provenance.file, None)
        lines.append(f"Recorded {loss.place}: it becomes a candidate at the next step of the search.")
    return lines


def _given_twice(loss: SourceText, file: str, candidate: int | None) -> str:
    """A line for a file whose content was given before: it would only be a duplicate of itself."""
    becomes = "it becomes a candidate at the next step" if candidate is None else f"it is candidate {candidate}"
    name = "" if loss.provenance.file == file else f" as {one_line(file)}"
    return f"Not recorded: {loss.place} was given before{name}, with the same content; {becomes}."


def pin(rundir: RunDir, named: str, *, remove: bool) -> str:
    """Pin a candidate, given by id or name, or remove its pin. Returns a line for the user. Raises NotInRun, RunDirError."""
    run = Steered.open(rundir)
    run.require_search()
    snapshot, row = run.find(named)
    name = f"candidate {row.id} {one_line(row.name)}"
    if remove:
        if row.id not in run.steering.pinned:
            raise NotInRun(f"{name} is not pinned; pinned: {_ids(run.steering.pinned)}")
        run.append(EventKind.UNPINNED, candidate=row.id)
        return f"{name} is no longer pinned."
    status = snapshot.status(row.id)
    if status not in (CandidateStatus.SCORED, CandidateStatus.ACCEPTED):
        raise NotInRun(f"{name} is {status}, so it cannot be a parent; expected an accepted loss")
    verdict = snapshot.verdicts[row.id]
    if run.steering.bans(row.id, verdict.descriptors or {}):
        raise NotInRun(f"{name} is banned; unban it first: evopo unban {rundir.path} {row.id}")
    run.append(EventKind.PINNED, candidate=row.id)
    return f"{name} is pinned: it is a parent more often."


def ban(rundir: RunDir, named: str | None, descriptor: str | None, *, remove: bool) -> str:
    """Ban a candidate or all candidates with a descriptor's value (`NAME=VALUE`), or remove the ban. Returns a line for the user.

    Raises NotInRun, ConfigError for a wrong descriptor, RunDirError.
    """
    run = Steered.open(rundir)
    run.require_search()
    kind = EventKind.UNBANNED if remove else EventKind.BANNED
    if descriptor is not None:
        name, value = _descriptor(rundir, descriptor)
        if remove and (name, value) not in run.steering.banned_descriptors:
            there = ", ".join(sorted(f"{n}={v}" for n, v in run.steering.banned_descriptors)) or "none"
            raise NotInRun(f"{name}={value} is not banned; banned descriptors: {there}")
        run.append(kind, {"descriptor": name, "value": value})
        what = f"losses with {name} {value} are"
    else:
        _, row = run.find(named or "")
        if remove and row.id not in run.steering.banned:
            raise NotInRun(f"candidate {row.id} is not banned; banned: {_ids(run.steering.banned)}")
        if not remove and run.snapshot.baseline is not None and row.id == run.snapshot.baseline.id:
            raise NotInRun(f"{one_line(row.name)} is the baseline, whose score every prompt needs; it cannot be banned")
        run.append(kind, candidate=row.id)
        what = f"candidate {row.id} {one_line(row.name)} is"
    return f"{what[0].upper()}{what[1:]} {'no longer banned.' if remove else 'banned: never a parent, and left out of prompts.'}"


def note(rundir: RunDir, named: str | None, text: str) -> str:
    """Write a note on a candidate, given by id or name, or on the run (None). Returns a line for the user.

    Raises NotInRun, ConfigError for an empty or too long text.
    """
    if not text.strip():
        raise ConfigError("note: the text is empty; give a few words")
    if len(text) > LONGEST_NOTE:
        raise ConfigError(
            f"note: expected at most {LONGEST_NOTE} characters, got {len(text)}; keep longer texts in a file"
        )
    run = Steered.open(rundir)
    row = run.find(named)[1] if named is not None else None
    run.append(EventKind.NOTED, {"text": text}, row.id if row else None)
    return f"Noted on {f'candidate {row.id} {one_line(row.name)}' if row else 'the run'}."


def _descriptor(rundir: RunDir, text: str) -> tuple[str, str]:
    """Name and value of `NAME=VALUE`, the value in the form of `shown_value`."""
    name, separator, value = (part.strip() for part in text.partition("="))
    if not separator or not name or not value:
        raise ConfigError(f"--descriptor needs NAME=VALUE, got {text!r}")
    names: set[str] = set()
    kind = None
    with Reader.open(rundir.archive) as reader, reader.consistent():
        for descriptors in reader.descriptors():
            names.update(descriptors)
            if (found := descriptors.get(name)) is not None:
                kind = type(found)  # a descriptor has one type in all losses
                break
    if name not in names:
        raise ConfigError(
            f"--descriptor: no loss of the run has a descriptor {name!r}; they have {', '.join(sorted(names)) or 'none yet'}"
            f"{did_you_mean(name, sorted(names))}"
        )
    plain = {"true": "yes", "false": "no"}.get(value.lower(), value.lower())
    if kind is float:
        try:
            plain = shown_value(float(plain))
        except ValueError:
            raise ConfigError(f"--descriptor: {name} is a number, got {value!r}") from None
    if kind is bool and plain not in ("yes", "no"):
        raise ConfigError(f"--descriptor: {name} is yes or no, got {value!r}")
    return name, plain


def _ids(ids: set[int]) -> str:
    return ", ".join(map(str, sorted(ids))) or "none"
