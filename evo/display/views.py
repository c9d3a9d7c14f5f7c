"""Output of the commands that only read a run. Text that a model wrote is printed with visible escapes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from analysis.claims.comparison import Decision, decide
from analysis.claims.headline import headline_of
from analysis.claims.table import final_lines
from analysis.lineage import rungs
from analysis.output.encode import one_line
from analysis.report.data import steered, studied
from analysis.report.proposers import proposer_rows
from analysis.snapshot import Arm, CandidateStatus, Outline, Snapshot
from analysis.wording import count, display_name, duration
from archive.disk.files import require_regular
from archive.query import Reader
from archive.records import PERSON, EvaluationState, EventKind, ProposalState
from archive.spending import Spending
from evo.config.rundir import RunDir, environment

LEADERS = 8
"""Rows of a leaderboard."""


def leaderboard_text(rundir: RunDir) -> str:
    """The headline, then the best losses and the baseline with standard errors and numbers of seeds."""
    with Reader.open(rundir.archive) as reader, reader.consistent():
        return _leaderboard(Outline.read(reader))


def _leaderboard(snapshot: Snapshot) -> str:
    decision = decide(snapshot)
    lines = [headline_of(snapshot).text]
    if decision is None:
        return lines[0]
    assert snapshot.baseline is not None
    seeds = "fresh seeds" if decision.fresh else "search seeds"
    lines += [
        "",
        f"Rung {one_line(decision.rung)}, {seeds}; differences are paired by seed, fitness is {_metric(snapshot, decision.rung)}.",
    ]
    lines += [*final_lines(snapshot, decision, LEADERS), *_failed_seeds(snapshot, decision), ""]
    # Differences in different units cannot be compared.
    alike = {_metric(snapshot, rung) for rung in snapshot.rungs} == {_metric(snapshot, decision.rung)}
    return "\n".join([*lines, *rungs.describe(snapshot, decision if alike else None)])


def _failed_seeds(snapshot: Snapshot, decision: Decision) -> list[str]:
    """A line for each seed loss that is missing in the table because its trainings failed."""
    lines = []
    for row in snapshot.seeds:
        failed = [e for e in snapshot.evaluations if e.candidate_id == row.id and e.rung == decision.rung and e.reason]
        if failed and not any(arm == Arm(row.id, decision.rung) for arm in snapshot.scores):
            why = one_line(failed[0].detail or "", 120)
            lines.append(
                f"{display_name(row)}: {failed[0].reason} on {count(len(failed), 'seed')}{f': {why}' if why else ''}"
            )
    return lines


def status_text(rundir: RunDir) -> str:
    """Counts, spending, work in progress, and the leaderboard."""
    with Reader.open(rundir.archive) as reader, reader.consistent():
        return _status(Outline.read(reader), rundir, reader)


def _status(snapshot: Snapshot, rundir: RunDir, reader: Reader) -> str:
    run, spending = snapshot.run, snapshot.spending
    counts = snapshot.statuses
    lines = [
        f"Run {one_line(run.name)}, seed {run.seed}, task {one_line(run.task)}, begun {run.created_at}, last event "
        f"{snapshot.last_at}",
        f"State: {state(snapshot, rundir)}",
        f"Baseline: {one_line(run.baseline or 'none')}",
        *_under_way(snapshot, rundir, reader),
        "Candidates: " + (", ".join(f"{counts[s]} {s}" for s in CandidateStatus if counts[s]) or "none yet"),
        f"Trainings: {spending.evaluations} done, {spending.evaluation_seconds:.0f} s of training",
        _proposals(snapshot),
        *_proposers(snapshot),
        *_judges(spending),
        *(f"{name.capitalize()}: {value}" for name, value in (*studied(snapshot), *steered(snapshot)) if value),
        "",
        _leaderboard(snapshot),
    ]
    return "\n".join(lines)


def _proposals(snapshot: Snapshot) -> str:
    """A line with the number of proposals and what the proposer was paid."""
    spending, at_most = snapshot.spending, "at most " if snapshot.spending.at_most else ""
    asked = len({p.step for p in snapshot.proposals.values() if p.proposer != PERSON})
    answered = f", {spending.steps} answered" if spending.steps != asked else ""
    parts = [f"Proposals: {asked} requested{answered} (budget {snapshot.budget.get('proposals', 'none')})"]
    parts += [f"{at_most}{spending.tokens_in + spending.tokens_out} tokens"]
    parts += [f"{at_most if spending.usd else ''}{spending.usd:.4f} USD"]
    parts[-1] += f" ({count(spending.unpriced, 'reply', 'replies')} without a price)" if spending.unpriced else ""
    parts += [f"{spending.possibly_paid} cut off and possibly paid"] if spending.possibly_paid else []
    parts += (
        [f"{count(spending.at_most, 'request')} counted at the most that may have been charged"]
        if spending.at_most
        else []
    )
    return ", ".join(parts)


def _proposers(snapshot: Snapshot) -> list[str]:
    """A line for each proposer; none if the run has only one."""
    lines = []
    for row in proposer_rows(snapshot):
        parts = [f"{row.proposals} requested, {row.replies} answered, {row.accepted} new and accepted"]
        parts += [f"reward {row.reward:.2f}"] if row.reward is not None else []
        parts += [f"share {row.share:.0%}"] if row.share is not None else []
        parts += [f"{row.usd:.4f} USD"] if row.usd is not None else []
        model = f" ({one_line(', '.join(row.models))})" if row.models else ""
        lines.append(f"Proposer {one_line(row.name)}{model}: {', '.join(parts)}, {row.seconds:.1f} s per reply")
    return lines


def _judges(spending: Spending) -> list[str]:
    """A line with what judges were paid; none if no judge was used."""
    tokens = spending.judge_tokens_in + spending.judge_tokens_out
    if not tokens:
        return []
    usd = "no price" if spending.judge_unpriced and not spending.judge_usd else f"{spending.judge_usd:.4f} USD"
    lost = spending.judge_possibly_paid
    cut = f", {count(lost, 'training')} cut off whose judge was possibly paid" if lost else ""
    return [f"Judges: {tokens} tokens, {usd}{cut}"]


def write_report_file(rundir: RunDir, out: Path | None, *, pictures: bool = True) -> Path:
    """Write the report, and return its path. Raises MissingExtra if pictures are wanted and matplotlib is missing."""
    from analysis.report.page import write_report

    return write_report(rundir.path, out, pictures=pictures)


def export_file(rundir: RunDir, kind: str, out: Path | None, say: Callable[[str], None]) -> list[Path]:
    """Export the lineage, and return the files written. Without `out`, they go to `exports/` in the run directory."""
    from analysis.lineage.export import SUFFIXES, Format, export, require, written
    from analysis.output.files import make_folder

    target = out or rundir.exports / f"lineage{SUFFIXES[Format(kind)]}"
    require(kind)
    with Reader.open(rundir.archive) as reader:
        if out is None:
            if make_folder(rundir.exports):
                say(f"Created the folder {rundir.exports}")
            for path in written(kind, target):
                require_regular(path)
        return export(reader, kind, target)


def environment_text() -> str:
    """Versions, hardware, and the guarantees of the sandbox on this machine."""
    from sandbox.child.jail.isolate import guarantees

    known = environment()
    packages = known.pop("packages")
    lines = [f"{key}: {value}" for key, value in known.items() if value is not None]
    lines += [f"{name}: {version or 'not installed'}" for name, version in packages.items()]
    lines.append(f"GPUs: {_gpus()}")
    lines += [f"sandbox, {name}: {layers}" for name, layers in guarantees().items()]
    return "\n".join(lines)


def _gpus() -> str:
    from fitness.workers.devices import visible_gpus

    names = visible_gpus()
    return f"{len(names)} (CUDA names {', '.join(names)})" if names else "none"


def state(snapshot: Snapshot, rundir: RunDir) -> str:
    """State of a run in words: running, finished or interrupted."""
    from archive.disk.lock import living_writer

    holder = living_writer(rundir.archive)
    if holder is not None:
        return f"running ({holder})"
    marks = [e.kind for e in snapshot.events if e.kind in (EventKind.SESSION_STARTED, EventKind.FINISHED)]
    if marks[-1:] == [EventKind.FINISHED]:
        return "finished"
    return "interrupted; the command that started it continues it"


def _under_way(snapshot: Snapshot, rundir: RunDir, reader: Reader) -> list[str]:
    """A line with the requests and trainings in progress; none if the run is not running."""
    from archive.disk.lock import living_writer

    if living_writer(rundir.archive) is None:
        return []
    asked = [p for p in snapshot.proposals.values() if p.state is ProposalState.REQUESTED]
    trained = sum(e.state in (EvaluationState.QUEUED, EvaluationState.RUNNING) for e in snapshot.evaluations)
    line = f"In progress: {count(trained, 'training')}, {count(len(asked), 'request')}"
    if asked:
        first = min(asked, key=lambda p: p.requested_event)
        asked_at = reader.event(first.requested_event).at
        age = (datetime.now(UTC) - datetime.fromisoformat(asked_at)).total_seconds()
        line += f", the oldest for {duration(max(0.0, age))} (step {first.step}, attempt {first.attempt})"
    return [line]


def _metric(snapshot: Snapshot, rung: str) -> str:
    return snapshot.metric(rung) or "the task's own"
