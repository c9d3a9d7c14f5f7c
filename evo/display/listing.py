"""`evopo ls`: the runs in a directory, one line for each run in any state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.claims.headline import headline_of
from analysis.output.encode import one_line
from analysis.snapshot import Outline, Snapshot
from analysis.wording import columns, count, full_name, plus_minus
from archive.disk.files import there
from archive.errors import UnsafeFile
from archive.query import Reader
from evo.config.rundir import RunDir, RunDirError
from evo.display.views import state

TITLES = ("run", "task", "state", "proposals", "trainings", "best proposal", "last event (UTC)")


def runs_text(place: Path, width: int | None = None) -> str:
    """The runs in the directory `place`, or `place` itself if it is a run; the most recently used run first.

    If the table is wider than `width` characters, each run is printed as a paragraph instead. Raises RunDirError if `place` cannot
    be listed, or is a run that cannot be read.
    """
    rows, faults = [], []
    for path in _runs(place):
        name = one_line(path.resolve().name if path == place else path.name, 40)
        try:
            if path != place and path.is_symlink():
                raise UnsafeFile(f"it is a symbolic link, which is not followed; give its target: {path.readlink()}")
            with Reader.open(RunDir(path).archive) as reader, reader.consistent():
                rows.append((name, *_cells(Outline.read(reader), RunDir(path))))
        except (
            Exception
        ) as error:  # an untrusted or damaged archive may raise anything, and must not hide the other runs
            fault = f"{name}: cannot be read: {one_line(str(error) or type(error).__name__, 300)}"
            if path == place:
                raise RunDirError(fault) from error
            faults.append(fault)
    if not rows and not faults:
        return f"No runs in {one_line(str(place), 400)}."
    rows.sort(key=lambda row: row[-1], reverse=True)
    table = columns([TITLES, *rows]) if rows else []
    lines = _paragraphs(rows) if width is not None and any(len(text) > width for text in table) else table
    if any(row[5].endswith("*") for row in rows):
        lines += ["", "* distinguishable from the baseline, but not a discovery; `evopo status` says why"]
    between = [""] if lines and faults else []
    return "\n".join([*lines, *between, *sorted(faults)])


def _runs(place: Path) -> list[Path]:
    if there(RunDir(place).archive):
        return [place]
    try:
        return [path for path in place.iterdir() if path.is_dir() and there(RunDir(path).archive)]
    except OSError as error:
        raise RunDirError(
            f"cannot list the runs in {place}: {error.strerror}; give the directory that holds run directories"
        ) from None


def _cells(snapshot: Snapshot, rundir: RunDir) -> tuple[str, ...]:
    run, last = snapshot.run, snapshot.last_at
    wanted = snapshot.budget.get("proposals")
    kind = str(run.identity.get("kind") or "")
    return (
        one_line(run.task, 24),
        one_line((f"{kind}, " if kind else "") + state(snapshot, rundir).partition(";")[0].partition(" (")[0], 40),
        "" if kind else f"{snapshot.spending.steps}" + (f" of {wanted}" if isinstance(wanted, int) else ""),
        str(snapshot.spending.evaluations),
        _best(snapshot),
        one_line(last.replace("T", " ")[:16]),
    )


def _best(snapshot: Snapshot) -> str:
    """Short form of the headline: the best proposal and its difference to the baseline."""
    headline = headline_of(snapshot)
    if headline.candidate is None or headline.difference is None:
        return ""
    difference = plus_minus(headline.difference, headline.standard_error, signed=True)
    claim = ", a discovery" if headline.discovery else " *" if headline.distinguishable else ""
    return f"{full_name(snapshot, headline.candidate, 32, told_apart=True)} {difference}{claim}"


def _paragraphs(rows: Sequence[Sequence[str]]) -> list[str]:
    """One paragraph for each run, for a narrow terminal."""
    lines = []
    for name, task, stands, proposals, trainings, best, last in rows:
        lines += [name, f"  {task}: {stands}"]
        amounts = [f"{proposals} proposals"] if proposals else []
        amounts += [count(int(trainings), "training")]
        lines += [f"  {part}" for part in (", ".join(amounts), f"best {best}" if best else "", last) if part]
    return lines
