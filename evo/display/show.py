"""`evopo show`: the candidates of a run, one candidate, or one step with its prompts and replies.

Threat model. Names, thoughts, prompts and replies were written by language models, or come from an untrusted archive. In all
output, to a pipe as well as to a terminal, characters without a glyph are written as escapes, so that no text can control the
terminal. `--as` prints code from verified graphs. The source of a candidate is shown as it was written, with the same escapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from analysis.output.encode import block, one_line, visible
from analysis.output.latex_legend import with_legend
from analysis.snapshot import Snapshot
from analysis.steering import shown_value
from analysis.wording import columns, count, notes_on
from archive.query import Reader
from archive.records import (
    PERSON,
    STUDIES,
    SUMMARISE,
    CandidateRow,
    Curves,
    EvaluationRow,
    EvaluationState,
    ProposalRow,
    ProposalState,
)
from evo.config.proposer_settings import BUILTIN
from evo.config.rundir import NotInRun, RunDir
from evo.display.lookup import brief_table, find_candidate
from evo.display.views import state
from fitness.training.curves import thinned
from sandbox.contracts.contract import CONTRACTS, contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import to_latex, to_python, to_trl

ANCESTORS, GENERATIONS = 60, 12
"""Maximum lines of a candidate's ancestry, and generations back."""
CURVE_ROWS = 12
"""Maximum points of a training's curves that are printed."""

_PRINTERS: Mapping[str, Callable[[VerifiedGraph, str], str]] = {
    "python": to_python,
    "latex": lambda graph, _: with_legend(to_latex(graph)),
    "trl": to_trl,
    "json": lambda graph, _: graph.to_json(),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts to print of a candidate or a step; without any, the summary is printed."""

    prompt: bool = False
    reply: bool = False
    curves: bool = False
    form: str | None = None
    """The loss as python, latex, trl or json."""


def overview_text(rundir: RunDir) -> str:
    """A line for each candidate, and for each step without one."""
    with Reader.open(rundir.archive) as reader:
        snapshot = Snapshot.of(reader)
    lines = brief_table(snapshot, list(snapshot.candidates)) if snapshot.candidates else []
    with_one = {snapshot.step(id) for id in snapshot.candidates}
    last = {p.step: p for p in snapshot.proposals.values() if p.step not in with_one}
    lines += [f"step {step} gave no candidate: {_outcome(last[step], None)}" for step in sorted(last)]
    more = [f"evopo show {rundir.path} ID"] if snapshot.candidates else []
    more += [f"evopo show {rundir.path} --step N"] if snapshot.proposals else []
    missing = _nothing_scored(snapshot, rundir)
    more += [f"evopo status {rundir.path}"] if missing else []
    return "\n".join([*lines, *[""] * bool(lines), *missing, f"More: {', or '.join(more)}."])


def _nothing_scored(snapshot: Snapshot, rundir: RunDir) -> list[str]:
    """Lines that say why no candidate has a fitness yet; none if one has."""
    stands = f"The run is {state(snapshot, rundir)}."
    if not snapshot.candidates:
        return [
            f"No candidates yet: a session records the seed losses once a worker has loaded model and data. {stands}"
        ]
    if snapshot.scores:
        return []
    ended = [row for row in snapshot.evaluations if row.state is EvaluationState.FAILED]
    failed = ""
    if ended:
        why = one_line(f"{ended[-1].reason}: {ended[-1].detail or ''}".rstrip(": "), 200)
        failed = f" {count(len(ended), 'training')} failed, the last one with {why}."
    open_ones = len(snapshot.evaluations) - len(ended)
    waiting = f" {count(open_ones, 'training')} not ended." if open_ones else ""
    return [f"No candidate has a fitness yet: no training has succeeded.{failed}{waiting} {stands}"]


def candidate_text(rundir: RunDir, named: str, parts: Parts) -> str:
    """A candidate, given by id or name: its summary, or the requested parts. Raises NotInRun."""
    with Reader.open(rundir.archive) as reader, reader.consistent():
        id = find_candidate(reader, named)
        snapshot = Snapshot.of_seeds(reader).with_candidates(reader, [id])
        row = snapshot.candidates[id]
        proposal = snapshot.proposals.get(row.proposal_id or 0)
        sections: dict[str, list[str]] = {}
        if parts.prompt:
            sections["prompt"] = [_NO_REQUEST] if proposal is None else _prompt(reader, proposal)
        if parts.reply:
            sections["reply"] = [_NO_REQUEST] if proposal is None else _reply(proposal)
        if parts.form:
            sections[parts.form] = [_printed(rundir, snapshot, row, parts.form)]
        if parts.curves:
            sections["curves"] = list(_curves(reader, snapshot, row))
        return _joined(sections) if sections else _summary(reader, snapshot, row)


def step_text(rundir: RunDir, step: int, parts: Parts) -> str:
    """All attempts of a step with their outcomes, and their prompts and replies if requested. Raises NotInRun."""
    with Reader.open(rundir.archive) as reader, reader.consistent():
        attempts = reader.attempts(step)
        if not attempts:
            asked = reader.latest_step()
            raise NotInRun(f"there is no step {step}; the run has " + (f"steps 1 to {asked}" if asked else "none yet"))
        if parts.curves or parts.form:
            made = reader.candidate_of(attempts[-1].id)
            said = f"it made candidate {made}: evopo show {rundir.path} {made}" if made else "it made none"
            raise NotInRun(f"--as and --curves need a candidate, and {step} is a step; {said}")
        lines = []
        for p in attempts:
            lines.append(f"Step {p.step}, attempt {p.attempt}: {_asked(p)}: {_outcome(p, reader.candidate_of(p.id))}")
            lines += _prompt(reader, p) if parts.prompt else []
            lines += ["--- reply", *_reply(p)] if parts.reply else []
    return "\n".join(lines)


# ---- prompts and replies -------------------------------------------------------------------------------------------

_NO_REQUEST = "This is a seed loss: no proposer was asked for it, so there is no prompt and no reply."


def _joined(sections: Mapping[str, list[str]]) -> str:
    """The sections as text. A single section has no title, so that it can be piped; several get one each."""
    if len(sections) == 1:
        return "\n".join(*sections.values())
    return "\n".join(line for title, lines in sections.items() for line in (f"=== {title}", *lines))


def _plain(text: str) -> str:
    """The whole text with visible escapes; line breaks and tabs are kept."""
    return visible(text.replace("\r\n", "\n"), keep="\n\t").rstrip("\n")


def _prompt(reader: Reader, proposal: ProposalRow) -> list[str]:
    messages = reader.prompt(proposal.id)
    if messages is not None:
        return [line for role, text in messages for line in (f"--- {one_line(role)}", _plain(text))]
    if proposal.proposer == BUILTIN:
        return [
            "The built-in proposer was asked. It is a program and gets no prompt: only the operator and the parents."
        ]
    if proposal.operator in STUDIES:
        return ["Nothing was asked: the trainings of its forms decide what a study proposes."]
    if proposal.proposer == PERSON:
        return ["A person gave this loss to the run: nothing was asked."]
    return [
        "The prompt of this request was not recorded: an older evopo recorded only its parents and its template's hash."
    ]


def _reply(proposal: ProposalRow) -> list[str]:
    if proposal.reply is not None:
        return [_plain(proposal.reply)]
    return ["There is no reply yet." if proposal.state is ProposalState.REQUESTED else "There is no reply."]


def _asked(proposal: ProposalRow) -> str:
    temperature = "" if proposal.temperature is None else f", temperature {proposal.temperature:g}"
    if proposal.proposer == PERSON:
        return f"{proposal.operator} by a person"
    if proposal.operator in STUDIES:
        return f"{proposal.operator}, by trainings of its forms"
    who = "built-in proposer" if proposal.proposer == BUILTIN else f"{one_line(proposal.model or '')}{temperature}"
    return f"{proposal.operator} by {who}"


def _outcome(proposal: ProposalRow, made: int | None) -> str:
    """What came of a request, of which candidate `made` was made."""
    match proposal.state:
        case ProposalState.REQUESTED:
            return "in progress"
        case ProposalState.LOST:
            return "cut off" if proposal.operator in STUDIES else "cut off, and possibly paid for"
        case ProposalState.FAILED:
            study = proposal.operator in STUDIES
            if study and proposal.reply is not None:
                return one_line(proposal.error or "", 400)
            ended = "cut off" if study else "the call failed"
            what = ended if proposal.reply is None else "no loss in the reply"
            return f"{what}: {one_line(proposal.error or '', 400)}"
    if proposal.operator == SUMMARISE:
        return "a summary, which later prompts show"
    return f"candidate {made}" if made else "reply received, not parsed yet"


def _cost(proposal: ProposalRow) -> str:
    usd = "" if proposal.usd is None else f", {proposal.usd:.4f} USD"
    return f"{proposal.tokens_in or 0} + {proposal.tokens_out or 0} tokens{usd}"


def _printed(rundir: RunDir, snapshot: Snapshot, row: CandidateRow, form: str) -> str:
    graph = snapshot.graph(row.id)
    if graph is None:
        raise NotInRun(
            f"candidate {row.id} has no graph to print as {form}: it is {snapshot.status(row.id)}; to see its source: evopo show "
            f"{rundir.path} {row.id}"
        )
    if form == "trl" and not contract_named(graph.contract).trl:
        raise NotInRun(
            f"TRL's DPOTrainer takes preference losses, and candidate {row.id} is a {graph.contract} loss; use --as python"
        )
    return _plain(_PRINTERS[form](graph, row.name))


# ---- one candidate -------------------------------------------------------------------------------------------------


def _summary(reader: Reader, snapshot: Snapshot, row: CandidateRow) -> str:
    """Origin, source code, verdict, scores and ancestors of a candidate."""
    verdict, proposal = snapshot.verdicts.get(row.id), snapshot.proposals.get(row.proposal_id or 0)
    lines = [
        f"Candidate {row.id}: {one_line(row.name)} ({snapshot.status(row.id)}, {row.origin}, step {snapshot.step(row.id)})"
    ]
    if known := snapshot.known_as(row.id):
        lines.append(f"Known: {known}.")
    if caution := snapshot.caution(row.id):
        lines.append(f"No claim is made of it: it {caution}.")
    if row.id in snapshot.given or snapshot.by_person(row.id):
        lines.append(
            f"Given by a person: {one_line(snapshot.given[row.id].words if row.id in snapshot.given else row.thought)}."
        )
    elif proposal is not None:
        own = proposal.proposer == BUILTIN or proposal.operator in STUDIES
        lines.append(f"Asked for: {_asked(proposal)}" + ("" if own else f", {_cost(proposal)}"))
    lines += ["Pinned by a person."] * (row.id in snapshot.steering.pinned)
    lines += ["Banned by a person: no parent, and in no prompt."] * snapshot.banned(row.id)
    lines += [f"Note: {text}" for text in notes_on(snapshot, row.id)]
    if row.thought:
        lines.append(f"Thought: {one_line(row.thought, 400)}")
    if verdict and verdict.duplicate_of:
        lines.append(f"Same loss as candidate {verdict.duplicate_of} (shown by {verdict.shown_by}).")
    lines += ["", block(row.source).rstrip(), ""]
    for finding in snapshot.findings.get(row.id, ()):
        place = f" line {finding.line}" if finding.line else ""
        lines.append(f"{finding.severity} {finding.rule}{place}: {one_line(finding.message, 240)}")
    if verdict and verdict.descriptors:
        lines.append("Shape: " + ", ".join(f"{k} {_short(v)}" for k, v in verdict.descriptors.items()))
    scores = [e for e in snapshot.evaluations if e.candidate_id == row.id]
    if scores:
        lines += ["", "Scores:", *columns([("rung", "seed", "fitness", "metrics"), *map(_score, scores)])]
    ancestors = list(islice(ancestry(reader, row.id), ANCESTORS + 1))
    if ancestors:
        lines += ["", "Ancestry:", *ancestors[:ANCESTORS], *["  ..."] * (len(ancestors) > ANCESTORS)]
    return "\n".join(lines)


def _score(row: EvaluationRow) -> tuple[str, ...]:
    if row.fitness is None:
        return (row.rung, str(row.seed), str(row.reason or row.state), one_line(row.detail or "", 100))
    return (row.rung, str(row.seed), f"{row.fitness:.4f}", ", ".join(f"{k} {v:.4g}" for k, v in row.metrics.items()))


def ancestry(reader: Reader, candidate: int, depth: int = 1, listed: set[int] | None = None) -> Iterator[str]:
    """A line for each edge above a candidate, read one by one. What is above an ancestor is listed once; where the ancestor comes
    again, its line says so."""
    listed = set() if listed is None else listed
    for edge in reader.parents(candidate) if depth <= GENERATIONS else ():
        parent = reader.candidate(edge.parent)
        again = parent.id in listed
        above = " (its parents: above)" if again and reader.parents(parent.id) else ""
        yield f"{'  ' * depth}{edge.role} {parent.id} {one_line(parent.name, 60)}{above}"
        if not again and depth < GENERATIONS:
            listed.add(parent.id)
            yield from ancestry(reader, parent.id, depth + 1, listed)


def _short(value: object) -> str:
    return one_line(shown_value(value), 60)


# ---- curves --------------------------------------------------------------------------------------------------------


def _curves(reader: Reader, snapshot: Snapshot, row: CandidateRow) -> Iterable[str]:
    trainings = [e for e in snapshot.evaluations if e.candidate_id == row.id and e.finished_event is not None]
    if not trainings:
        yield f"No training of candidate {row.id} has ended."
        return
    kept = {e.id: curves for e in trainings if (curves := reader.curves(e.id))}
    if not kept:
        yield "No curves of its trainings were recorded: an older evopo made them, or they ended before their first step."
        return
    yield f"Values before each optimiser step; {_meanings(row.contract)}."
    for e in trainings:
        result = f"fitness {e.fitness:.4f}" if e.fitness is not None else str(e.reason)
        at = [f"{name} {value:g}" for name, value in (("beta", e.beta), ("learning rate", e.learning_rate)) if value]
        yield f"\n{', '.join([f'rung {one_line(e.rung)}', f'seed {e.seed}', *at, result])}:"
        yield from _table(kept[e.id]) if e.id in kept else ["no curves were recorded"]


def _meanings(contract: str) -> str:
    return CONTRACTS[contract].curves if contract in CONTRACTS and CONTRACTS[contract].curves else "see the task"


def _table(curves: Curves) -> list[str]:
    heights = {name: dict(points) for name, points in curves.items()}
    steps = sorted({step for points in heights.values() for step in points})
    shown = [step for step, _ in thinned([(int(step), 0.0) for step in steps], CURVE_ROWS)]
    rows = [
        (str(step), *(f"{points[step]:.4g}" if step in points else "" for points in heights.values())) for step in shown
    ]
    rest = f"({len(shown)} of the {len(steps)} points that archive.db holds)" if len(shown) < len(steps) else ""
    return columns([("step", *map(one_line, heights)), *rows]) + ([rest] if rest else [])
