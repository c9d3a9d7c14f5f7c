"""Text forms of numbers, names, durations and tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from analysis import stats
from analysis.output.encode import one_line
from analysis.snapshot import Arm, Snapshot
from analysis.steering import LONGEST_NOTE
from archive.decode import Brief
from archive.records import CandidateRow, Origin


def display_name(candidate: CandidateRow | Brief, width: int = 48) -> str:
    """A candidate's name as one visible line. The seed loss `dpo` is written DPO, as in its paper."""
    is_dpo = candidate.origin is Origin.SEED and candidate.name == "dpo"
    return "DPO" if is_dpo else one_line(candidate.name, width)


def told_name(snapshot: Snapshot, candidate: int, width: int = 48) -> str:
    """A candidate's name in a sentence, with its id if another candidate of the run has the same name."""
    id = f" (candidate {candidate})" if candidate in snapshot.namesakes else ""
    return display_name(snapshot.candidates[candidate], width) + id


def told_arm(snapshot: Snapshot, arm: Arm) -> str:
    """`told_name` with the arm's beta and learning rate, where these are not the task's own."""
    return f"{told_name(snapshot, arm.candidate)} {settings_of(arm)}".rstrip()


def full_name(snapshot: Snapshot, candidate: int, width: int = 48, *, told_apart: bool = False) -> str:
    """A candidate's name, followed in brackets by the known loss that it is, by its caution, and by a person as its author.

    `told_apart`: with the id, as in `told_name`; not needed in a table with ids.
    """
    id = f"candidate {candidate}" if told_apart and candidate in snapshot.namesakes else ""
    author = "written by a person" if snapshot.by_person(candidate) else ""
    words = "; ".join(filter(None, (id, author, snapshot.known_as(candidate), snapshot.caution(candidate))))
    return display_name(snapshot.candidates[candidate], width) + (f" ({words})" if words else "")


def how_known(snapshot: Snapshot, candidate: int) -> str:
    """Why a seed loss counts as known, as a relative clause."""
    return "which was given to the run" if candidate in snapshot.given else "which is published"


def origin(snapshot: Snapshot, candidate: int) -> str:
    """Where a loss comes from: its operator and step, or the file or run of a user's loss. One visible line."""
    proposal = snapshot.proposals.get(snapshot.candidates[candidate].proposal_id or 0)
    if proposal is None:
        given = snapshot.given.get(candidate)
        return f"seed, {one_line(given.words)}" if given else "seed"
    return f"{'a person' if snapshot.by_person(candidate) else proposal.operator}, step {proposal.step}"


def notes_on(snapshot: Snapshot, candidate: int | None) -> list[str]:
    """The notes of people on a candidate, or on the run (None), each as one visible line."""
    return [one_line(note.text, LONGEST_NOTE) for note in snapshot.steering.notes if note.candidate == candidate]


def arm_name(candidate: CandidateRow, arm: Arm) -> str:
    """A candidate's name with the arm's beta and learning rate, where these are not the task's own."""
    return f"{display_name(candidate)} {settings_of(arm)}".rstrip()


def settings_of(arm: Arm) -> str:
    """The arm's beta and learning rate in words, where these are not the task's own; else empty."""
    beta = [] if arm.beta is None else [f"at beta {arm.beta:g}"]
    rate = [] if arm.learning_rate is None else [f"at learning rate {arm.learning_rate:g}"]
    return " ".join([*beta, *rate])


def figure(value: float | None, *, signed: bool = False) -> str:
    """A number to three significant digits; a dash for None."""
    if value is None:
        return "–"
    return _minus(f"{value:+.3g}" if signed else f"{value:.3g}")


def plus_minus(value: float, error: float | None, *, signed: bool = False) -> str:
    """`value ± error`, both to the error's second significant digit; the value alone without an error."""
    if error is None or not math.isfinite(error):
        return figure(value, signed=signed)
    if error == 0:
        return f"{figure(value, signed=signed)} ± 0"
    places = max(0, 1 - math.floor(math.log10(error)))
    if not 0 < places <= 6:
        return f"{figure(value, signed=signed)} ± {error:.2g}"
    return _minus(f"{value:{'+' if signed else ''}z.{places}f}") + f" ± {error:.{places}f}"


def mean_error(values: Iterable[float], places: int) -> str:
    """`mean ± standard error`; the mean alone for one value, empty for no values."""
    numbers = list(values)
    if not numbers:
        return ""
    error = stats.standard_error(numbers)
    return f"{stats.mean(numbers):.{places}f}" + ("" if error is None else f" ± {error:.{places}f}")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table. Each column is as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `5 h 02 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def _minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
