"""Contents of the report's tables as plain records. The template only formats them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from analysis import stats
from analysis.claims.comparison import Comparison, Decision, at_rung, best_arm
from analysis.claims.table import Cell
from analysis.lineage.graph import standing
from analysis.lineage.moves import OperatorSummary, moves, phases, summaries
from analysis.lineage.staleness import staleness
from analysis.output.encode import one_line
from analysis.output.latex_legend import with_legend
from analysis.recorded import refusing, section
from analysis.snapshot import CandidateStatus, Snapshot
from analysis.wording import count, display_name, duration, figure, full_name, notes_on, origin, settings_of, told_name
from archive.disk.files import read_bounded
from archive.errors import CorruptArchive, UnsafeFile
from archive.records import STUDIES, EvaluationState, EventKind, FindingRow, ProposalState
from archive.sqlite.values import load_json
from sandbox.verdicts.verdict import VerdictStatus

BOARD = 20
"""Largest number of rows in the report's leaderboard; seed losses further down are added."""

LEADERS = 5
"""Largest number of proposed losses whose code is printed."""


@dataclass(frozen=True)
class BoardRow:
    """A row of the leaderboard. `cells` and `settings` (in words; empty for the task's own) are those of the best arm by rung;
    `comparison` is at the candidate's highest rung, None without one there."""

    place: int
    id: int
    name: str
    made_by: str
    is_seed: bool
    cells: Mapping[str, Cell]
    settings: Mapping[str, str]
    comparison: Comparison | None
    failed: int


@dataclass(frozen=True)
class Leader:
    """A leading loss, with its code printed from its graph."""

    id: int
    name: str
    made_by: str
    thought: str
    parents: Sequence[tuple[int, str, str]]
    """(id, name, role) of each."""
    python: str
    latex: str
    descriptors: Sequence[tuple[str, str]]
    notes: Sequence[str]


@dataclass(frozen=True)
class RuleCount:
    """Number of candidates that a rule of the sandbox refused, and the rule's last finding."""

    count: int
    share: float
    """As a fraction of the count of the most frequent rule."""
    last: FindingRow


@dataclass(frozen=True)
class Failure:
    """Failed trainings with one reason; `detail` and `candidate` are those of the last one."""

    reason: str
    count: int
    detail: str
    candidate: int


@dataclass(frozen=True)
class CandidateSummary:
    """One candidate in the list of all candidates."""

    id: int
    name: str
    status: str
    made_by: str
    parents: Sequence[int]
    score: str
    remark: str


def leaderboard(snapshot: Snapshot, decision: Decision | None, most: int = BOARD) -> list[BoardRow]:
    """The `most` best scored candidates. First those at a higher rung, then those with more seeds, then by the difference to the
    baseline. Losses with a caution are last. Seed losses further down are added."""
    compared = {rung: {c.arm: c for c in at_rung(snapshot, rung)} for rung in snapshot.rungs}
    if decision is not None:
        compared[decision.rung] |= {c.arm: c for c in decision.comparisons}
    ranked = []
    for id in snapshot.candidates:
        if (arm := standing(snapshot, id)) is not None:
            scores = snapshot.scores[arm]
            comparison = compared[arm.rung].get(arm)
            difference = comparison.paired.difference if comparison else 0.0
            cautioned = bool(snapshot.caution(id))
            ranked.append(((cautioned, -snapshot.rungs.index(arm.rung), -len(scores), -difference, id), id, comparison))
    ranked.sort(key=lambda entry: entry[0])
    chosen = ranked[:most] + [e for e in ranked[most:] if not snapshot.is_proposal(e[1])]
    places = {id: place for place, (_, id, _) in enumerate(ranked, start=1)}
    return [_board_row(snapshot, places[id], id, comparison) for _, id, comparison in chosen]


def leaders(snapshot: Snapshot, decision: Decision | None, board: Sequence[BoardRow]) -> list[Leader]:
    """The finalists, best first, then the next proposals of the leaderboard. Losses without a valid graph are left out."""
    first = [c.arm.candidate for c in decision.finalists] if decision else []
    ids = dict.fromkeys([*first, *(row.id for row in board if not row.is_seed)])
    return [leader for id in ids if (leader := _leader(snapshot, id)) is not None][:LEADERS]


def operator_rows(snapshot: Snapshot) -> list[OperatorSummary]:
    """A row per operator, and per operator and model if there was more than one model."""
    found = moves(snapshot)
    several = len({move.model for move in found}) > 1
    return summaries(found) + (summaries(found, by_model=True) if several else [])


def phase_sentences(snapshot: Snapshot) -> list[str]:
    """The phases of the search in words."""
    sentences = []
    for phase in phases(moves(snapshot)):
        steps = f"step {phase.first}" if phase.first == phase.last else f"steps {phase.first} to {phase.last}"
        focus = f", mostly from {told_name(snapshot, phase.focus)}" if phase.focus is not None else ""
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
    """Reasons of failed trainings, most frequent first."""
    failed = [row for row in snapshot.evaluations if row.state is EvaluationState.FAILED]
    last = {row.reason or "unknown": row for row in failed}
    counts = Counter(row.reason or "unknown" for row in failed)
    return [Failure(r, n, last[r].detail or "", last[r].candidate_id) for r, n in counts.most_common()]


def all_candidates(snapshot: Snapshot) -> list[CandidateSummary]:
    """All candidates, oldest first."""
    return [_summary(snapshot, id) for id in snapshot.candidates]


def warnings(snapshot: Snapshot) -> list[str]:
    """Warnings: an unfinished run, and costs that are unknown or upper bounds."""
    found = []
    spending = snapshot.spending
    if not any(event.kind == EventKind.FINISHED for event in snapshot.events):
        found.append("This run is not finished: all figures are as of its last recorded event.")
    under_way = sum(row.state is ProposalState.REQUESTED for row in snapshot.proposals.values())
    if spending.possibly_paid:
        costs = "include their maximum cost" if spending.at_most else "do not include them"
        found.append(
            f"{count(spending.possibly_paid, 'call')} to the proposer never received a reply and may have been paid for. "
            f"The costs below {costs}."
        )
    if under_way:
        found.append(
            f"{count(under_way, 'call')} had no reply when this was written. The costs below do not include them."
        )
    if spending.at_most:
        found.append(
            f"{count(spending.at_most, 'request')} without a reported cost: tokens and USD include their maximum cost, "
            "so both are upper bounds."
        )
    if spending.unpriced and spending.tokens_out:
        found.append(f"{count(spending.unpriced, 'reply', 'replies')} came without a price; USD does not include them.")
    if spending.judge_possibly_paid:
        found.append(
            f"{count(spending.judge_possibly_paid, 'training')} cut off: the judge's cost is not known and not included."
        )
    if spending.judge_unpriced:
        found.append("The judge has no price in the configuration; USD does not include its cost.")
    return found


def facts(snapshot: Snapshot, run_dir: Path) -> list[tuple[str, str]]:
    """Figures and versions of the run, as (name, value). Unknown and empty values are left out."""
    run, spending = snapshot.run, snapshot.spending
    statuses = Counter(snapshot.status(id) for id in snapshot.candidates)
    proposers = sorted({f"{p.proposer} ({p.model})" if p.model else p.proposer for p in snapshot.proposals.values()})
    limits = {name: value for name, value in section(run.config, "budget").items() if value is not None}
    judged = spending.judge_tokens_in + spending.judge_tokens_out
    at_most = "at most " if spending.at_most else ""
    ended = [
        e.payload.get("reason")
        for e in snapshot.events
        if e.kind == EventKind.FINISHED and isinstance(e.payload, Mapping)
    ]
    stale = staleness(snapshot)
    rows = [
        ("run", f"{run.name}, seed {run.seed}"),
        ("task", f"{run.task} ({run.contract} losses)"),
        ("baseline", run.baseline or ""),
        ("started", run.created_at),
        ("last event", snapshot.last_at),
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
        *studied(snapshot),
        (
            "results between the selection of parents and a candidate's own",
            f"{median(stale):g} (median), at most {max(stale)}" if stale else "",
        ),
        *steered(snapshot),
        ("evopo", run.version),
    ]
    return [(name, value) for name, value in (*rows, *_manifest(run_dir / "manifest.json")) if value]


def studied(snapshot: Snapshot) -> list[tuple[str, str]]:
    """What `tune` and `simplify` did, as (name, value): losses, trainings, proposed losses. Empty for a run without studies."""
    purposes = {variant.id: variant.purpose for variant in snapshot.variants}
    rows = []
    for operator in sorted(STUDIES):
        made = [p for p in snapshot.proposals.values() if p.operator == operator]
        if made:
            born = {candidate.proposal_id for candidate in snapshot.candidates.values()}
            trainings = sum(purposes.get(e.variant_id) == operator for e in snapshot.variant_evaluations)
            losses = count(len({p.step for p in made}), "loss", "losses")
            proposed = sum(p.id in born for p in made)
            rows.append((operator.value, f"{losses} examined, {count(trainings, 'training')}, {proposed} proposed"))
    return rows


def steered(snapshot: Snapshot) -> list[tuple[str, str]]:
    """What people did to the run, as (name, value): losses, pins, bans, notes on the run. A value is empty if there is none."""
    steering = snapshot.steering
    bans = [
        *map(str, sorted(steering.banned)),
        *(f"{name}={value}" for name, value in sorted(steering.banned_descriptors)),
    ]
    own = [f"{id} ({one_line(given.words)})" for id, given in snapshot.given.items()]
    return [
        ("seed losses of the user", ", ".join(own)),
        ("losses of a person", ", ".join(map(str, snapshot.of_people))),
        ("pinned", ", ".join(map(str, sorted(steering.pinned)))),
        ("banned", one_line(", ".join(bans), 400)),
        ("notes", "; ".join(notes_on(snapshot, None))),
    ]


# ---- parts ---------------------------------------------------------------------------------------------------------


def _board_row(snapshot: Snapshot, place: int, id: int, comparison: Comparison | None) -> BoardRow:
    best = {rung: arm for rung in snapshot.rungs if (arm := best_arm(snapshot.arms(id, rung))) is not None}
    cells = {rung: Cell.of(snapshot.scores[arm]) for rung, arm in best.items()}
    settings = {rung: settings_of(arm) for rung, arm in best.items()}
    failed = snapshot.failed_trainings(id)
    is_seed = not snapshot.is_proposal(id)
    return BoardRow(
        place, id, full_name(snapshot, id), origin(snapshot, id), is_seed, cells, settings, comparison, failed
    )


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
        made_by=origin(snapshot, id),
        thought=row.thought,
        parents=[
            (edge.parent, display_name(snapshot.candidates[edge.parent]), edge.role.value.replace("_", " "))
            for edge in snapshot.parents.get(id, ())
        ],
        python=to_python(graph),
        latex=with_legend(to_latex(graph)),
        descriptors=[(name.replace("_", " "), _value(value)) for name, value in descriptors.items()],
        notes=[finding.message for finding in snapshot.findings.get(id, ())],
    )


def _summary(snapshot: Snapshot, id: int) -> CandidateSummary:
    row, verdict, status = snapshot.candidates[id], snapshot.verdicts.get(id), snapshot.status(id)
    arm = standing(snapshot, id)
    if status is CandidateStatus.REFUSED:
        remark = next((f"{f.rule}: {f.message}" for f in refusing(snapshot.findings.get(id, ()))), "")
    elif status is CandidateStatus.DUPLICATE and verdict is not None:
        remark = f"same as {verdict.duplicate_of}, shown by {verdict.shown_by}"
    elif status is CandidateStatus.FAILED:
        remark = next((e.reason or "" for e in snapshot.trainings[id] if e.reason), "")
    else:
        remark = "; ".join(filter(None, (snapshot.known_as(id), snapshot.caution(id))))
    remark = "; ".join(filter(None, (remark, *(f"note: {text}" for text in notes_on(snapshot, id)))))
    score = "" if arm is None else f"{stats.mean(list(snapshot.scores[arm].values())):#.3g} at {arm.rung}"
    parents = list(dict.fromkeys(edge.parent for edge in snapshot.parents.get(id, ())))
    return CandidateSummary(id, display_name(row), status.value, origin(snapshot, id), parents, score, remark)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return figure(value) if isinstance(value, int | float) else value if isinstance(value, str) else _compact(value)


def _manifest(path: Path) -> list[tuple[str, str]]:
    """Versions and hardware from the manifest of the run directory; empty without a valid one."""
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
