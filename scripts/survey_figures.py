"""Figures of the ladder from a survey (`fitness_survey.py`): rank correlation between rungs, and training time saved."""

from __future__ import annotations

from random import Random
from statistics import median

from bench_table import Figure, at_least
from fitness_survey import Survey

from analysis.lineage.rungs import Rank, agreement, pairing
from fitness.schedule.ladder import Job, Seeds
from fitness.schedule.race import run_race, run_unraced
from fitness.schedule.settings import LadderSettings


def rungs(found: Survey) -> dict[str, Figure]:
    """Spearman's correlation of the lowest rung on one seed with the highest one on many, and the gain from shared seeds."""
    lowest, highest = found.info.search_rungs[0].name, found.info.search_rungs[-1].name
    everything = (*found.search_seeds, *found.truth_seeds)
    truth = found.means(highest, everything)
    figures = {}
    by_seed = []
    for seed in found.search_seeds:
        first = found.means(lowest, (seed,))
        by_seed.append([(first[c], truth[c]) for c in truth if c in first])
    averaged = found.means(lowest, found.search_seeds)
    pairs = [(averaged[c], truth[c]) for c in truth if c in averaged]
    ranks = [agreement(lowest, highest, one) for one in by_seed]
    middle = sorted(ranks, key=lambda r: r.all.spearman or 0.0)[len(ranks) // 2]
    figures["spearman_cheap_full"] = _rank_figure(
        middle.all, f"{lowest} on one seed with {highest} on {len(everything)}"
    )
    figures["spearman_cheap_full_better_half"] = _rank_figure(middle.better_half, "within the better half")
    several = agreement(lowest, highest, pairs)
    figures["spearman_cheap_mean_full"] = _rank_figure(
        several.all, f"{lowest} averaged over {len(found.search_seeds)} seeds"
    )
    figures["spearman_cheap_mean_full_better_half"] = _rank_figure(several.better_half, "within the better half")
    for rung in (lowest, highest):
        losses = [
            {s: value for s in everything if (value := found.results.get((c, rung, s), (None, 0.0))[0]) is not None}
            for c in truth
        ]
        gain = pairing(rung, losses)
        if gain:
            figures[f"shared_seeds_{rung}"] = Figure(
                gain.factor, "ratio", note="median over pairs of Var(a) + Var(b) over Var(a - b)"
            )
    return figures


def race(found: Survey, replicas: int, margin: float) -> dict[str, Figure]:
    """Training time until a loss as good as the best leads permanently: without the ladder, divided by with it.

    A median over orders of arrival. The ratio is 0 if only the ladder misses such a loss. If only training without it does, all of
    its training time counts.
    """
    truth = found.truth()
    best = max(truth.values())
    good = {c for c, value in truth.items() if value >= best - margin}
    settings = LadderSettings()

    def measure(job: Job) -> tuple[float | None, float]:
        return found.results[job.candidate_id, job.rung, job.seed]

    once = settings.model_copy(update={"contender_seeds": 1})
    ratios, costs, lost = [], [], {"race": 0, "no race": 0, "once": 0}
    for number in range(replicas):
        arrivals = list(found.names)
        Random(f"arrivals {number}").shuffle(arrivals)
        turn = number % len(found.search_seeds)
        seeds = Seeds((*found.search_seeds[turn:], *found.search_seeds[:turn]), ())
        raced = run_race(arrivals, measure, found.info, settings, seeds)
        unraced = run_unraced(arrivals, measure, found.info, settings, seeds)
        mine, theirs = raced.found(good), unraced.found(good)
        lost["once"] += run_unraced(arrivals, measure, found.info, once, seeds).found(good) is None
        lost["race"] += mine is None
        lost["no race"] += theirs is None
        costs.append(unraced.seconds / raced.seconds)
        if mine is not None or theirs is not None:
            ratios.append(0.0 if mine is None else (theirs or unraced.seconds) / mine)
    note = (
        f"{replicas} orders of {len(found.names)} losses; {len(good)} within {margin:g} of the best; not found: "
        f"{lost['race']} raced, {lost['no race']} unraced ({settings.contender_seeds} seeds each), "
        f"{lost['once']} unraced on one seed"
    )
    return {
        "race_time_saved": at_least(median(ratios) if ratios else None, "ratio", 3.0, note),
        "race_total_saved": Figure(
            median(costs), "ratio", note="total training time without the ladder over that with it"
        ),
    }


def _rank_figure(rank: Rank, note: str) -> Figure:
    within = f" [{rank.interval.low:.2f}, {rank.interval.high:.2f}]" if rank.interval else ""
    return Figure(rank.spearman, "rho", note=f"{note}; n = {rank.n}{within}")
