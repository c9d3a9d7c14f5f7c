#!/usr/bin/env python3
"""Benchmark of the search: whole campaigns of the built-in proposer, with each part of the search switched off in turn.

An *arm* is a setting of `search`: the defaults (`population`), the references `sample` (proposals without parents, best of N) and
`chat`, and for each part of selection the defaults with that part switched over. All arms have the same run seeds. Proposing,
vetting, duplicates, ladder and selection are the real code; trainings come from a table of scores that all runs share, and what the
table lacks is trained. So an interrupted benchmark continues with the same command, and another arm costs only its own trainings.

What leads after k proposals is judged by its true fitness: its mean at the search rung of highest fidelity over seeds that no
search used. The question is how many trainings the population needs until its leader is as good as that of `sample` at the end,
as a part of all trainings of `sample`. The trainings of seed losses count in both. For this, the means over run seeds are compared;
intervals are 95 %, from bootstrap samples of the run seeds.

    python scripts/bench_search.py --scores runs/scores.db --dir runs/search --task classification --workers 2
    python scripts/bench_search.py --quick

With more `--proposals` than before, the runs in --dir are continued. Runs of other code are not recognised as such: after a change
of search or proposer, give another --dir. The scores stay valid.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, at_most, show
from scipy.stats import wilcoxon
from search_figures import (
    RunTrace,
    curve_at,
    offspring_rise,
    offspring_slope,
    paired_differences,
    ratio_to_reach,
    trimmed_mean,
)
from search_runs import Bench, LongerRun, run_arm
from shared_scores import ScoreTable
from task_settings import add_option, options_of

from evo.config.schema import SearchConfig
from fitness.task import task_info

PARTS = ("grid", "elites", "use_penalty", "reversals", "bandit", "thompson", "shrinkage")
"""Parts of selection with a key of their own, which is switched over."""

STUDIES = ("tune", "simplify")
STUDY_EVERY = 10
"""Steps from one study to the next where studies are off by default."""

QUICK = {"seeds": 2, "proposals": 8, "truth_seeds": 2, "offspring": 4}
QUICK_CLASSIFICATION = ("train_items=200", "epochs=2", "short_epochs=1")


def arms() -> dict[str, dict[str, Any]]:
    """The settings of `search` by arm. A part that is on by default is switched off, and the other way round."""
    usual = SearchConfig()
    found: dict[str, dict[str, Any]] = {"sample": {"mode": "sample"}, "population": {}, "chat": {"mode": "chat"}}
    for part in PARTS:
        on = bool(getattr(usual, part))
        found[f"{'without' if on else 'with'} {part}"] = {part: not on}
    found["one island" if usual.islands > 1 else "two islands"] = {"islands": 1 if usual.islands > 1 else 2}
    if usual.islands > 1 and usual.migration_every:
        found["without migration"] = {"migration_every": None}
    for study in STUDIES:
        on = getattr(usual, study).every is not None
        found[f"{'without' if on else 'with'} {study}"] = {study: {"every": None if on else STUDY_EVERY}}
    return found


def main() -> int:
    arguments = _arguments()
    known = arms()
    chosen = [name.strip() for name in arguments.arms.split(",")] if arguments.arms else list(known)
    if unknown := [name for name in chosen if name not in known]:
        print(f"--arms: unknown {unknown[0]!r}, expected some of {', '.join(known)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.dir or Path(scratch) / "runs"
        scores = arguments.scores or Path(scratch) / "scores.db"
        for path in (folder, scores.parent):
            path.mkdir(parents=True, exist_ok=True)
        options = options_of(arguments.task, arguments.set)
        info = task_info(arguments.task, options)
        print(f"task {arguments.task}. {info.opening}".strip(), file=sys.stderr)
        table = ScoreTable(scores, _digest(info.identity))
        try:
            traces = {}
            bench = Bench(
                arguments.task, options, folder, table, arguments.workers, arguments.proposals, arguments.truth_seeds,
                arguments.offspring,
            )  # fmt: skip
            seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
            for name in chosen:
                settings = known[name]
                place = _place(name, settings)
                traces[name] = asyncio.run(run_arm(bench, name, settings, place, seeds))
                print(f"{name}: {table.trained} trained, {table.found} found in the table so far", file=sys.stderr)
        except LongerRun as refused:
            print(refused, file=sys.stderr)
            return 2
        finally:
            table.close()
    figures = _figures(traces, arguments.proposals)
    show(figures, ("torch",), as_json=False) if not arguments.json else print(
        json.dumps({"arguments": vars(arguments), "figures": {k: asdict(f) for k, f in figures.items()}}, default=str)
    )
    return 0


def _figures(traces: Mapping[str, Sequence[RunTrace]], proposals: int) -> dict[str, Figure]:
    figures = {}
    marks = sorted({mark for mark in (25, 50, 100, 200, proposals) if mark <= proposals})
    for arm, runs in traces.items():
        for mark in marks:
            mean, low, high = curve_at(runs, mark)
            figures[f"{arm}: best at {mark}"] = Figure(mean, "", note=f"[{low:.4f}, {high:.4f}]")
        for name, statistic in (("median", median), ("trimmed mean", trimmed_mean), ("mean", fmean)):
            rise, low, high = offspring_rise(runs, statistic)
            note = (
                f"[{low:.4f}, {high:.4f}] {name} true fitness of offspring, last fifth of the proposals less the first"
            )
            figures[f"{arm}: rise, {name}"] = Figure(rise, "", note=note)
        slope, low, high = offspring_slope(runs)
        trainings = sum(run.trainings for run in runs) / len(runs)
        figures[f"{arm}: offspring"] = Figure(
            slope * 100,
            "/100",
            note=f"[{low * 100:.4f}, {high * 100:.4f}] rise of the mean true fitness per 100 proposals",
        )
        figures[f"{arm}: trainings"] = Figure(trainings, "", note=f"of proposals, a run; {len(runs)} run seeds")
    if whole := traces.get("population"):
        for arm, runs in traces.items():
            if arm != "population":
                found = paired_differences(runs, whole, proposals)
                error = stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
                figures[f"{arm}: minus population"] = Figure(
                    fmean(found), "",
                    note=f"± {error:.4f}, true fitness of the leader at the end minus that of population, {len(found)} run seeds",
                )  # fmt: skip
                p = float(wilcoxon(found).pvalue) if any(found) else 1.0
                figures[f"{arm}: median minus"] = Figure(
                    median(found), "", note=f"signed-rank p = {p:.3f}; by run seed {', '.join(f'{d:+.4f}' for d in found)}"
                )  # fmt: skip
    if reference := traces.get("sample"):
        for arm, runs in traces.items():
            if arm == "sample":
                continue
            ratio, low, high = ratio_to_reach(runs, reference)
            note = f"[{low:.2f}, {high:.2f}] trainings until as good as sample at its end, over all of sample's"
            figures[f"{arm}: ratio"] = (
                at_most(ratio, "", 0.5, note) if arm == "population" else Figure(ratio, "", note=note)
            )
            ratio, low, high = ratio_to_reach(runs, reference, stops_early=True)
            note = f"[{low:.2f}, {high:.2f}] the same, over those after which sample was first as good as at its end"
            figures[f"{arm}: ratio, early"] = Figure(ratio, "", note=note)
    return figures


def _place(name: str, settings: Mapping[str, Any]) -> str:
    """Folder of an arm's runs: its name, with a digest of all settings that matter to it."""
    whole = SearchConfig(**settings)
    matter = whole.model_dump() if whole.mode == "population" else settings
    return f"{name.replace(' ', '-')}-{_digest(matter)}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--task", default="classification", help="task (%(default)s)")
    add_option(parser)
    parser.add_argument("--scores", type=Path, help="file of the table of scores (default: a temporary one)")
    parser.add_argument("--dir", type=Path, help="folder of the runs (default: a temporary one)")
    parser.add_argument("--arms", help=f"comma-separated, of: {', '.join(arms())} (default: all)")
    parser.add_argument("--seeds", type=int, default=10, help="run seeds of each arm (%(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of the run seeds (%(default)s)")
    parser.add_argument("--proposals", type=int, default=200, help="proposals of a run (%(default)s)")
    parser.add_argument("--truth-seeds", type=int, default=16, help="fresh seeds of a leader (%(default)s)")
    parser.add_argument(
        "--offspring", type=int, default=50, help="proposals of a run whose true fitness is measured (%(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="training processes, and runs at a time (%(default)s)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two short runs of each arm, to see that it works; other options have precedence",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if parser.parse_args().quick:
        parser.set_defaults(**QUICK)
        if parser.parse_args().task == "classification":
            parser.set_defaults(set=list(QUICK_CLASSIFICATION))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
