"""Text and JSON of a transfer: fitness and ranks by setting, and what became of the winner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis import stats
from analysis.claims.transfer import Comparison, Result, Setting, Standing, Transfer, Verdict
from analysis.wording import columns, count, mean_error, plus_minus


def transfer_text(transfer: Transfer) -> str:
    """The tables of fitness and of ranks, then a line for each setting."""
    first = transfer.settings[0]
    names = sorted(
        (r.name for r in first.results), key=lambda name: (first.ranks.get(name, len(first.results) + 1), name)
    )
    changed = [f"{s.name}: {', '.join(s.changes) or 'as configured'}" for s in transfer.settings]
    seeds = ", ".join(str(len(s.seeds)) for s in transfer.settings)
    fitness = [["loss", *(s.name for s in transfer.settings)]]
    fitness += [[name, *(_fitness(s.by_name[name]) for s in transfer.settings)] for name in names]
    ranks = [[*fitness[0], "all settings"]]
    ranks += [[name, *(_rank(s, name) for s in transfer.settings), _overall(transfer, name)] for name in names]
    return "\n".join(
        [
            f"Task {transfer.plan.task}, rung {first.rung}; fitness is {first.metric}.",
            *("  " + line for line in changed),
            f"Means ± standard errors over fresh seeds, others in each setting (their number: {seeds}).",
            "",
            *columns(fitness),
            "",
            "Ranks by mean fitness; in brackets the mean over seeds of the rank on each seed ± standard error. Last: mean of the "
            "ranks by mean fitness.",
            "",
            *columns(ranks),
            "",
            *_conclusions(transfer),
        ]
    )


def transfer_json(transfer: Transfer) -> dict[str, Any]:
    """The same as plain data. Errors and p-values that are not known are null."""
    return {
        "task": transfer.plan.task,
        "winner": transfer.winner,
        "searched": transfer.settings[0].name,
        "settings": [
            {
                "name": s.name,
                "changes": list(s.changes),
                "metric": s.metric,
                "rung": s.rung,
                "seeds": list(s.seeds),
                "losses": [_result_json(s, r) for r in s.results],
            }
            for s in transfer.settings
        ],
        "standings": [
            {
                "setting": s.setting,
                "verdict": s.verdict.value,
                "comparisons": [_comparison_json(c) for c in s.comparisons],
                "left_out": list(s.left_out),
            }
            for s in transfer.standings
        ],
    }


def _fitness(result: Result) -> str:
    if result.refused:
        return "refused"
    failed = f"failed on {count(len(result.failed), 'seed')}" if result.failed else ""
    return "; ".join(filter(None, (mean_error(result.fitness.values(), 4), failed)))


def _rank(setting: Setting, name: str) -> str:
    if name not in setting.ranks:
        return "–"
    return f"{setting.ranks[name]} ({mean_error(setting.seed_ranks[name], 1)})"


def _overall(transfer: Transfer, name: str) -> str:
    ranks = [s.ranks[name] for s in transfer.settings if name in s.ranks]
    return f"{stats.mean(ranks):.1f}" if len(ranks) == len(transfer.settings) else "–"


def _conclusions(transfer: Transfer) -> list[str]:
    winner, first = transfer.winner, transfer.settings[0].name
    if winner is None:
        return [f"No loss was scored on all seeds of {first}, so there is no winner to follow."]
    if not transfer.standings:
        return [f"Best in {first}: {winner}. Give more than one --setting to see whether it stays ahead."]
    family = sum(len(s.comparisons) for s in transfer.standings)
    return [
        f"Best in {first}: {winner}. In the other settings (paired by seed, p corrected for {count(family, 'comparison')}):",
        *(f"  {standing.setting}: {_standing(standing)}" for standing in transfer.standings),
    ]


def _standing(standing: Standing) -> str:
    if standing.verdict is Verdict.FAILS:
        return "fails: its training failed on at least one seed."
    above = [c.other for c in standing.comparisons if c.significant and c.paired.difference < 0]
    below = [c for c in standing.comparisons if c.significant and c.paired.difference > 0]
    undecided = [c.other for c in standing.comparisons if not c.significant]
    words = [
        f"falls back, significantly worse than {', '.join(above)}" if above else "",
        "stays" if standing.verdict is Verdict.STAYS else "",
        f"cannot be told apart from {', '.join(undecided)}" if undecided else "",
        f"significantly better than {len(below)} of {count(len(standing.comparisons), 'other loss', 'other losses')}",
        _against_best(standing.comparisons),
        f"not compared, failed or refused: {', '.join(standing.left_out)}" if standing.left_out else "",
    ]
    return "; ".join(filter(None, words)) + "."


def _against_best(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    rival = comparisons[0]
    difference = plus_minus(rival.paired.difference, rival.paired.standard_error, signed=True)
    return f"minus the best other, {rival.other}: {difference} (p {rival.adjusted:.2g})"


def _result_json(setting: Setting, result: Result) -> dict[str, Any]:
    ranks = setting.seed_ranks.get(result.name, ())
    return {
        "name": result.name,
        "mean": result.mean,
        "standard_error": stats.standard_error(list(result.fitness.values())),
        "fitness": {str(seed): value for seed, value in result.fitness.items()},
        "failed": sorted(result.failed),
        "refused": result.refused,
        "caution": result.caution,
        "rank": setting.ranks.get(result.name),
        "mean_rank": stats.mean(ranks) if ranks else None,
        "mean_rank_error": stats.standard_error(ranks),
    }


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    pair, interval = comparison.paired, stats.interval(comparison.paired)
    return {
        "other": comparison.other,
        "difference": pair.difference,
        "standard_error": pair.standard_error,
        "interval": [interval.low, interval.high] if interval else None,
        "p": pair.p_value,
        "adjusted": comparison.adjusted,
        "significant": comparison.significant,
    }
