#!/usr/bin/env python3
"""Does the autopsy tell active from inert parts, and how often does it say of an inert one that it matters?

Inert parts (a term times 0, a term times 1e-6, a clamp that never bites, an added constant) and an active term are planted into a
known loss. The whole loss and the loss without each planted part are trained on the same seeds, once, and kept in a file. Simulated
autopsies then draw seeds from this pool, and their results are read by the real code (`analysis.claims.autopsy`).

False "matters", of which the stated rate is 5 % per autopsy, under two null hypotheses:

- swapped: on each seed, the results of the whole loss and of its inert forms are exchanged at random. They are exchangeable if the
  parts are inert, so this keeps the noise and the correlations of real trainings.
- apart: every form gets the results of the whole loss on seeds of its own, as if a part without an effect changed all random draws.

Power: how often an autopsy says of the active term that it helps, or hurts.

    python scripts/bench_autopsy.py --task classification --pool 96 --seeds 16 --runs 2000
    python scripts/bench_autopsy.py --task sentiment --rung short --pool 32

Prints one table, or JSON with --json; exits with 1 if a rate of false "matters" is above the stated level.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, show
from task_settings import options_of

from analysis import stats
from analysis.claims.autopsy import PURPOSE, Autopsy, Outcome, Plan
from analysis.claims.autopsy_table import HEADINGS, part_rows
from analysis.wording import columns
from archive.variants import VariantEvaluationRow, VariantRow
from evo.autopsy.plan import distinct_parts
from fitness.score import SeedResult
from fitness.task import task_info
from fitness.workers.pool import score_all
from sandbox.graph.edits.edit import edited
from sandbox.graph.edits.parts import Part, PartKind
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.verdict import VerdictStatus
from sandbox.vetting.vet import vet

PLANTED: Mapping[str, str] = {
    "preference": """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    x = beta * rho
    inert = 0.0 * torch.tanh(x) + 1e-6 * torch.sin(x) + 0.3
    return torch.clamp(F.softplus(-x), max=1e4) + inert + 0.05 * rho**2
""",
    "classification": """
def loss(logits, targets):
    ce = F.cross_entropy(logits, targets, reduction="none")
    inert = 0.0 * torch.tanh(ce) + 1e-6 * torch.sin(ce) + 0.3
    return torch.clamp(ce, max=1e4) + inert + 0.5 * torch.mean(logits**2, dim=1)
""",
}
"""A loss with inert parts and one active term, by contract."""

INERT = (
    (PartKind.TERM, "0.0 * torch.tanh"),
    (PartKind.TERM, "1e-06 * torch.sin"),
    (PartKind.CONSTANT, "… + 0.3"),
    (PartKind.OPERATION, "torch.clamp"),
)
ACTIVE = ((PartKind.TERM, "0.05 * rho"), (PartKind.TERM, "0.5 * torch.mean"))
"""Kinds of the planted parts and beginnings of their expressions."""

Scores = Mapping[str, Sequence[float]]
"""Fitness by form (`whole`, or the expression of the removed part), one per pool seed."""


def main() -> int:
    arguments = _arguments()
    info = task_info(arguments.task, options_of(arguments.task))
    rung = arguments.rung or info.search_rungs[-1].name
    verdict = vet(PLANTED[info.contract], info.contract)
    assert verdict.graph is not None and verdict.accepted, verdict.findings
    graph = verdict.graph
    planted = {part.text: part for part in distinct_parts(graph, ()) if _is(part, INERT) or _is(part, ACTIVE)}
    inert = [name for name, part in planted.items() if _is(part, INERT)]
    active = [name for name in planted if name not in inert]
    scores = _pool(arguments, rung, graph, planted)
    rng = random.Random(arguments.seed)
    everything = len(scores["whole"])

    def paired(draw: random.Random) -> Scores:
        chosen = draw.sample(range(everything), arguments.seeds)
        return {name: [values[i] for i in chosen] for name, values in scores.items()}

    def swapped(draw: random.Random) -> Scores:
        drawn = {name: paired_scores for name, paired_scores in paired(draw).items() if name in ("whole", *inert)}
        rows = [draw.sample(row, len(row)) for row in zip(*drawn.values(), strict=True)]
        return dict(zip(drawn, map(list, zip(*rows, strict=True)), strict=True))

    def apart(draw: random.Random) -> Scores:
        return {name: draw.choices(scores["whole"], k=arguments.seeds) for name in ("whole", *inert)}

    def autopsy(drawn: Scores) -> Autopsy:
        return _autopsy(graph, rung, [planted[name] for name in drawn if name != "whole"], drawn)

    def rate(draw: Callable[[random.Random], Scores], names: Sequence[str]) -> tuple[float, stats.Interval]:
        hits = 0
        for _ in range(arguments.runs):
            effects = autopsy(draw(rng)).effects
            hits += any(e.outcome in (Outcome.HELPS, Outcome.HURTS) for e in effects if e.part.text in names)
        found = stats.wilson(hits, arguments.runs)
        assert found is not None
        return hits / arguments.runs, found

    figures: dict[str, Figure] = {}
    for name, draw in (("false_matters_swapped", swapped), ("false_matters_apart", apart)):
        value, bounds = rate(draw, inert)
        kept = bounds.low <= stats.SIGNIFICANCE
        note = f"per autopsy of {len(inert)} inert parts, 95 % {bounds.low:.1%} to {bounds.high:.1%}"
        figures[name] = Figure(value, "", stats.SIGNIFICANCE, kept, note)
    for name in active:
        value, bounds = rate(paired, [name])
        figures["found_active"] = Figure(
            value, "", None, None, f"{name}, {arguments.seeds} seeds, 95 % {bounds.low:.1%} to {bounds.high:.1%}"
        )
    if not arguments.json:
        print(f"{arguments.task}, rung {rung}: all {everything} pool seeds as one autopsy")
        print("\n".join(columns([HEADINGS, *(row.cells for row in part_rows(autopsy(scores)))])) + "\n")
    show(figures, ("torch", "numpy", "scipy"), as_json=arguments.json)
    return 0 if all(figure.reached is not False for figure in figures.values()) else 1


def _is(part: Part, planted: Sequence[tuple[PartKind, str]]) -> bool:
    return any(part.kind is kind and part.text.startswith(beginning) for kind, beginning in planted)


def _autopsy(graph: VerifiedGraph, rung: str, parts: Sequence[Part], scores: Scores) -> Autopsy:
    """The autopsy that an archive with these scores holds, on seeds 0, 1, ..."""
    seeds = range(len(scores["whole"]))
    plan = Plan(1, rung, tuple(seeds), (), tuple(parts))
    edits = [[], *([part.edit.to_json()] for part in parts)]
    accepted = VerdictStatus.ACCEPTED.value
    variants = [VariantRow(n, 1, PURPOSE, edit, "", str(n), accepted, ()) for n, edit in enumerate(edits)]
    names = ["whole", *(part.text for part in parts)]
    rows = [
        VariantEvaluationRow(0, n, rung, seed, None, None, scores[name][seed], {}, None, None, None)
        for n, name in enumerate(names)
        for seed in seeds
    ]
    return Autopsy(plan, graph, variants, rows)


def _pool(arguments: argparse.Namespace, rung: str, graph: VerifiedGraph, planted: Mapping[str, Part]) -> Scores:
    """Fitness of the whole loss and of its forms, read from the file if it has them."""
    forms = {"whole": graph, **{name: edited(graph, [part.edit]) for name, part in planted.items()}}
    options = options_of(arguments.task)
    task = task_info(arguments.task, options).identity
    identity = json.loads(json.dumps([task, rung, arguments.pool, {n: g.to_json() for n, g in forms.items()}]))
    file = arguments.file or Path(tempfile.gettempdir()) / f"evopo-autopsy-{arguments.task}-{rung}.json"
    if file.exists():
        kept = json.loads(file.read_text("utf-8"))
        if kept["identity"] == identity:
            scores: Scores = kept["scores"]
            return scores
    print(f"training {len(forms) * arguments.pool} times; kept in {file}", file=sys.stderr)
    requests = [(form, rung, seed) for form in forms.values() for seed in range(arguments.pool)]
    results = score_all(arguments.task, requests, options, arguments.workers)
    failed = [result for result in results if not isinstance(result, SeedResult)]
    if failed:
        raise SystemExit(f"{len(failed)} trainings failed, the first one: {failed[0]}")
    values = [result.fitness for result in results if isinstance(result, SeedResult)]
    scores = {name: values[n * arguments.pool : (n + 1) * arguments.pool] for n, name in enumerate(forms)}
    file.write_text(json.dumps({"identity": identity, "scores": scores}), "utf-8")
    return scores


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--task", default="classification", help="task (%(default)s)")
    parser.add_argument("--rung", help="rung of the trainings (default: the search's rung of highest fidelity)")
    parser.add_argument("--pool", type=int, default=96, help="seeds of the real trainings (%(default)s)")
    parser.add_argument("--seeds", type=int, default=16, help="seeds of a simulated autopsy (%(default)s)")
    parser.add_argument("--runs", type=int, default=2000, help="simulated autopsies of each kind (%(default)s)")
    parser.add_argument("--file", type=Path, help="file of the pool (default: in the temporary folder)")
    parser.add_argument("--workers", type=int, default=2, help="training processes for the pool (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
