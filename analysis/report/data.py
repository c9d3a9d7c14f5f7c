"""What the report's tables hold, as plain records; the template only lays them out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import stats
from analysis.claims.comparison import Comparison, Decision, at_rung, best_arm
from analysis.claims.table import Cell
from analysis.lineage.graph import standing
from analysis.lineage.moves import OperatorSummary, moves, phases, summaries
from analysis.recorded import refusing
from analysis.snapshot import CandidateStatus, Snapshot
from analysis.wording import count, display_name, duration, figure, full_name
from archive.disk.files import read_bounded
from archive.errors import CorruptArchive, UnsafeFile
from archive.records import EvaluationState, EventKind, FindingRow, ProposalState
from archive.sqlite.values import load_json
from sandbox.verdicts.verdict import VerdictStatus

BOARD = 20
"""Rows of the leaderboard, the seeds included."""

LEADERS = 5
"""Proposed losses whose code is printed."""


@dataclass(frozen=True)
class BoardRow:
    """A line of the leaderboard; `cells` by rung, `comparison` at the highest rung that the baseline shares."""

    place: int
    id: int
    name: str
    made_by: str
    is_seed: bool
    cells: Mapping[str, Cell]
    comparison: Comparison | None
    failed: int


@dataclass(frozen=True)
class Leader:
    """A loss with its code, printed from its graph."""

    id: int
    name: str
    made_by: str
    thought: str
    parents: Sequence[tuple[int, str, str]]
    """Id, name and role of each."""
    python: str
    latex: str
    descriptors: Sequence[tuple[str, str]]
    notes: Sequence[str]


@dataclass(frozen=True)
class RuleCount:
    """How many candidates a rule of the sandbox refused, and the last of its findings."""

    count: int
    share: float
    """Of the most frequent rule's count."""
    last: FindingRow


@dataclass(frozen=True)
class Failure:
    """Why trainings gave no fitness."""

    reason: str
    count: int
    detail: str
    candidate: int


@dataclass(frozen=True)
class CandidateSummary:
    """One candidate in the list of all."""

    id: int
    name: str
    status: str
    made_by: str
    parents: Sequence[int]
    score: str
    remark: str


def leaderboard(snapshot: Snapshot, decision: Decision | None) -> list[BoardRow]:
    """Candidates with scores: those at a higher rung and with more seeds first, then by the difference to the baseline; last,
    losses of which nothing may be claimed."""
    compared = {rung: {c.arm: c for c in at_rung(snapshot, rung)} for rung in snapshot.rungs}
    if decision is not None:
        compared[decision.rung] |= {c.arm: c for c in decision.comparisons}
    ranked = []
    for id in snapshot.candidates:
        if (arm := standing(snapshot, id)) is not None:
            scores = snapshot.scores[arm]
            comparison = compared[arm.rung].get(arm)
            worth = comparison.paired.difference if comparison else 0.0
            knows = bool(snapshot.caution(id))
            ranked.append(((knows, -snapshot.rungs.index(arm.rung), -len(scores), -worth, id), id, comparison))
    ranked.sort(key=lambda entry: entry[0])
    chosen = ranked[:BOARD] + [e for e in ranked[BOARD:] if snapshot.candidates[e[1]] in snapshot.seeds]
    places = {id: place for place, (_, id, _) in enumerate(ranked, start=1)}
    return [_board_row(snapshot, places[id], id, comparison) for _, id, comparison in chosen]


def leaders(snapshot: Snapshot, decision: Decision | None, board: Sequence[BoardRow]) -> list[Leader]:
    """The finalists, best first, then the next proposals of the leaderboard, those that have a graph."""
    first = [c.arm.candidate for c in decision.finalists] if decision else []
    ids = dict.fromkeys([*first, *(row.id for row in board if not row.is_seed)])
    return [leader for id in ids if (leader := _leader(snapshot, id)) is not None][:LEADERS]


def operator_rows(snapshot: Snapshot) -> list[OperatorSummary]:
    """A row per operator, and per operator and model where more than one model proposed."""
    found = moves(snapshot)
    several = len({move.model for move in found}) > 1
    return summaries(found) + (summaries(found, by_model=True) if several else [])


def phase_sentences(snapshot: Snapshot) -> list[str]:
    """The phases of the search in words."""
    sentences = []
    for phase in phases(moves(snapshot)):
        steps = f"step {phase.first}" if phase.first == phase.last else f"steps {phase.first} to {phase.last}"
        focus = f", mostly from {display_name(snapshot.candidates[phase.focus])}" if phase.focus is not None else ""
        sentences.append(f"{steps}: {phase.operator} leads ({phase.share:.0%} of proposals){focus}")
    return sentences


def refusals(snapshot: Snapshot) -> list[RuleCount]:
    """The rules that refused candidates, most frequent first; each candidate counts once per rule."""
    refused = [id for id, verdict in snapshot.verdicts.items() if verdict.status == VerdictStatus.REFUSED]
    hits = [finding for id in refused for finding in refusing(snapshot.findings.get(id, ()))]
    counts = Counter(rule for rule, _ in {(finding.rule, finding.candidate_id) for finding in hits})
    last = {finding.rule: finding for finding in hits}
    most = max(counts.values(), default=1)
    return [
        RuleCount(number, number / most, last[rule])
        for rule, number in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    ]


def failures(snapshot: Snapshot) -> list[Failure]:
    """The reasons of trainings that gave no fitness, most frequent first."""
    failed = [row for row in snapshot.evaluations if row.state is EvaluationState.FAILED]
    last = {row.reason or "unknown": row for row in failed}
    counts = Counter(row.reason or "unknown" for row in failed)
    return [Failure(r, n, last[r].detail or "", last[r].candidate_id) for r, n in counts.most_common()]


def everyone(snapshot: Snapshot) -> list[CandidateSummary]:
    """All candidates, in order of time."""
    return [_summary(snapshot, id) for id in snapshot.candidates]


def warnings(snapshot: Snapshot) -> list[str]:
    """What a reader must know before believing or paying anything."""
    found = []
    spending = snapshot.spending
    if not any(event.kind == EventKind.FINISHED for event in snapshot.events):
        found.append("This run is not finished: all figures are as of its last recorded event.")
    under_way = sum(row.state is ProposalState.REQUESTED for row in snapshot.proposals.values())
    if spending.possibly_paid:
        costs = "count them with the most that they may have cost" if spending.at_most else "leave them out"
        found.append(
            f"{count(spending.possibly_paid, 'call')} to the proposer never brought a reply and may have been paid for. "
            f"The costs below {costs}."
        )
    if under_way:
        found.append(f"{count(under_way, 'call')} had no reply when this was written. The costs below leave them out.")
    if spending.at_most:
        found.append(
            f"{count(spending.at_most, 'request')} did not tell what they cost: tokens and USD count the most that "
            "they may have cost, so both are upper bounds."
        )
    if spending.unpriced and spending.tokens_out:
        found.append(f"{count(spending.unpriced, 'reply', 'replies')} came without a price; USD leaves them out.")
    if spending.judge_possibly_paid:
        found.append(
            f"{count(spending.judge_possibly_paid, 'training')} cut off: what the judge was paid for it is not known and left out."
        )
    if spending.judge_unpriced:
        found.append("The judge has no price in the configuration; USD leaves out what it cost.")
    return found


def facts(snapshot: Snapshot, run_dir: Path) -> list[tuple[str, str]]:
    """The run in figures and versions, as names and values; what is unknown or empty is left out."""
    run, spending = snapshot.run, snapshot.spending
    statuses = Counter(snapshot.status(id) for id in snapshot.candidates)
    proposers = sorted({f"{p.proposer} ({p.model})" if p.model else p.proposer for p in snapshot.proposals.values()})
    budget = run.config.get("budget")
    limits = {name: value for name, value in budget.items() if value is not None} if isinstance(budget, Mapping) else {}
    judged = spending.judge_tokens_in + spending.judge_tokens_out
    at_most = "at most " if spending.at_most else ""
    ended = [
        e.payload.get("reason")
        for e in snapshot.events
        if e.kind == EventKind.FINISHED and isinstance(e.payload, Mapping)
    ]
    rows = [
        ("run", f"{run.name}, seed {run.seed}"),
        ("task", f"{run.task} ({run.contract} losses)"),
        ("baseline", run.baseline or ""),
        ("started", run.created_at),
        ("last event", snapshot.events[-1].at if snapshot.events else run.created_at),
        (
            "settings changed",
            "; ".join(_compact(e.payload) for e in snapshot.events if e.kind == EventKind.SETTINGS_CHANGED),
        ),
        ("ended", "; ".join(str(reason) for reason in ended if reason)),
        ("proposers", ", ".join(proposers)),
        ("budget", ", ".join(f"{value} {name}" for name, value in limits.items())),
        (
            "candidates",
            ", ".join(f"{statuses[status]} {status.value}" for status in CandidateStatus if statuses[status]),
        ),
        ("proposals answered", f"{spending.steps} ({count(spending.proposals, 'request')})"),
        ("tokens in, out", f"{at_most}{spending.tokens_in:,}, {spending.tokens_out:,}"),
        ("USD", f"{at_most if spending.usd else ''}{spending.usd:.4f}"),
        ("judges: tokens in, out", f"{spending.judge_tokens_in:,}, {spending.judge_tokens_out:,}" if judged else ""),
        ("judges: USD", f"{spending.judge_usd:.4f}" if judged else ""),
        ("waiting for the proposer", duration(spending.seconds)),
        (
            "trainings",
            f"{spending.evaluations:,} ({duration(spending.evaluation_seconds)}, {spending.evaluation_tokens:,} tokens)",
        ),
        ("evopo", run.version),
    ]
    return [(name, value) for name, value in (*rows, *_manifest(run_dir / "manifest.json")) if value]


# ---- parts ---------------------------------------------------------------------------------------------------------


def _board_row(snapshot: Snapshot, place: int, id: int, comparison: Comparison | None) -> BoardRow:
    row = snapshot.candidates[id]
    cells = {}
    for rung in snapshot.rungs:
        if (arm := best_arm(snapshot.arms(id, rung))) is not None:
            cells[rung] = Cell.of(snapshot.scores[arm])
    failed = sum(e.candidate_id == id and e.state is EvaluationState.FAILED for e in snapshot.evaluations)
    is_seed = row.proposal_id is None
    return BoardRow(place, id, full_name(snapshot, id), _made_by(snapshot, id), is_seed, cells, comparison, failed)


def _leader(snapshot: Snapshot, id: int) -> Leader | None:
    graph = snapshot.graph(id)
    if graph is None:
        return None
    from sandbox.graph.printers import to_latex, to_python

    row, verdict = snapshot.candidates[id], snapshot.verdicts[id]
    descriptors = verdict.descriptors if isinstance(verdict.descriptors, Mapping) else {}
    return Leader(
        id=id,
        name=full_name(snapshot, id),
        made_by=_made_by(snapshot, id),
        thought=row.thought,
        parents=[
            (edge.parent, display_name(snapshot.candidates[edge.parent]), edge.role.value.replace("_", " "))
            for edge in snapshot.parents.get(id, ())
        ],
        python=to_python(graph),
        latex=to_latex(graph),
        descriptors=[(name.replace("_", " "), _value(value)) for name, value in descriptors.items()],
        notes=[finding.message for finding in snapshot.findings.get(id, ())],
    )


def _summary(snapshot: Snapshot, id: int) -> CandidateSummary:
    row, verdict, status = snapshot.candidates[id], snapshot.verdicts.get(id), snapshot.status(id)
    arm = standing(snapshot, id)
    remark = ""
    if status is CandidateStatus.REFUSED:
        remark = next((f"{f.rule}: {f.message}" for f in refusing(snapshot.findings.get(id, ()))), "")
    elif status is CandidateStatus.DUPLICATE and verdict is not None:
        remark = f"same as {verdict.duplicate_of}, shown by {verdict.shown_by}"
    elif status is CandidateStatus.FAILED:
        remark = next((e.reason or "" for e in snapshot.evaluations if e.candidate_id == id and e.reason), "")
    else:
        remark = "; ".join(filter(None, (snapshot.known_as(id), snapshot.caution(id))))
    score = "" if arm is None else f"{stats.mean(list(snapshot.scores[arm].values())):#.3g} at {arm.rung}"
    parents = list(dict.fromkeys(edge.parent for edge in snapshot.parents.get(id, ())))
    return CandidateSummary(id, display_name(row), status.value, _made_by(snapshot, id), parents, score, remark)


def _made_by(snapshot: Snapshot, id: int) -> str:
    proposal = snapshot.proposals.get(snapshot.candidates[id].proposal_id or 0)
    return "seed" if proposal is None else f"{proposal.operator}, step {proposal.step}"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    return figure(value) if isinstance(value, int | float) else value if isinstance(value, str) else _compact(value)


def _manifest(path: Path) -> list[tuple[str, str]]:
    """Versions and hardware, where the run directory still has its manifest."""
    try:
        manifest = load_json(read_bounded(path).decode("utf-8"), str(path))
    except UnsafeFile as error:
        return [("manifest", f"not read: {error}")]
    except (OSError, CorruptArchive, UnicodeDecodeError):
        return []
    if not isinstance(manifest, dict):
        return []
    rows = [
        (name, str(manifest[name]))
        for name in ("python", "platform", "machine", "cores", "commit")
        if manifest.get(name)
    ]
    packages = manifest.get("packages")
    if isinstance(packages, dict):
        rows.append(("packages", ", ".join(f"{name} {version}" for name, version in packages.items() if version)))
    return rows
