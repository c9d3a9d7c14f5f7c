"""Pairs against one opponent: win rates, and the judge's position bias."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from analysis.benchmarks.estimates import Values, estimate
from analysis.benchmarks.mt_bench.cells import PERCENT, cell
from analysis.benchmarks.mt_bench.judged import BASELINE, ERRORS, REFERENCE, Judged
from analysis.benchmarks.mt_bench.pairs import Pair
from analysis.benchmarks.results import Cell, ResultTable
from archive.judgements import PolicyRow

OUTCOMES = {"wins, %": 1.0, "ties, %": 0.5, "losses, %": 0.0}
"""Points of a pair by outcome."""


def win_rates(judged: Judged) -> ResultTable:
    """The win rate of each loss or model against the opponent, in both turns and in each."""
    opponent = _opponent(judged)
    body = []
    for name, policies in judged.rows.systems.items():
        if name == opponent:
            continue
        pairs, ungraded = _all_pairs(judged, policies), judged.ungraded_pairs(policies)
        why_none = "no grade" if ungraded else "not judged"
        rate = estimate(_points(judged, policies))
        rates = [cell(rate, ungraded, why_none, unit=PERCENT, seeds_shown=True)]
        rates += [
            cell(estimate(_points(judged, policies, in_turn)), 0, why_none, unit=PERCENT)
            for in_turn in (lambda pair: pair.turn == 1, lambda pair: pair.turn == 2)
        ]
        shares = [
            Cell(PERCENT * sum(pair.points == points for pair in pairs) / len(pairs)) if pairs else Cell(note=why_none)
            for points in OUTCOMES.values()
        ]
        body.append((name, (*rates, *shares)))
    body.sort(key=lambda row: -1.0 if row[1][0].value is None else row[1][0].value, reverse=True)
    notes = (
        f"Win rate against {opponent}, ties half, by the judge {judged.judge}. A win or loss counts if both orders agree on it, "
        f"else the pair is a tie. {ERRORS}",
        *judged.remarks(),
    )
    columns = ("policy", "win rate, %", "turn 1, %", "turn 2, %", *OUTCOMES)
    return ResultTable(f"MT-Bench: pairs against {opponent}", columns, tuple(body), notes)


def positions(judged: Judged) -> ResultTable:
    """How much the judge prefers the answer in first position, over all pairs and by loss or model."""
    opponent = _opponent(judged)
    systems = {name: rows for name, rows in judged.rows.systems.items() if name != opponent}
    everyone = [policy for rows in systems.values() for policy in rows]
    body = []
    for name, policies in (("all pairs", everyone), *systems.items()):
        pairs, ungraded = _all_pairs(judged, policies), judged.ungraded_pairs(policies)
        why_none = "no grade" if ungraded else "not judged"
        bias = estimate([_by_question(pairs, lambda pair: pair.bias)])
        agreement = estimate([_by_question(pairs, lambda pair: float(pair.agreed))])
        body.append(
            (
                name,
                (
                    cell(bias, ungraded, why_none, unit=PERCENT, interval_shown=True),
                    cell(agreement, 0, why_none, unit=PERCENT),
                ),
            )
        )
    note = (
        "Position bias: share of the points that the first position gets, over both orders, minus one half. 0: the judge does not "
        "look at the position; 50: at nothing else. Standard errors cover the questions; in brackets the 95 % interval."
    )
    columns = ("policy", "position bias, % points", "both orders agree, %")
    return ResultTable("MT-Bench: position bias of the judge", columns, tuple(body), (note,))


def _opponent(judged: Judged) -> str:
    """The loss or model that all pairs have in common. If both have been in all of them: the reference, else the baseline."""
    in_common: set[str | None] | None = None
    for row in judged.comparisons:
        both = {judged.system(answer) for answer in (row.first, row.second) if answer is not None}
        in_common = both if in_common is None else in_common & both
    found = sorted(name for name in in_common or () if name is not None)
    return next((name for name in (REFERENCE, BASELINE) if name in found), found[0] if found else "each other")


def _all_pairs(judged: Judged, policies: Sequence[PolicyRow]) -> list[Pair]:
    return [pair for policy in policies for pair in judged.pairs_of(policy)]


def _points(
    judged: Judged, policies: Sequence[PolicyRow], keep: Callable[[Pair], bool] = lambda pair: True
) -> list[Values]:
    """Points by policy and question."""
    return [_by_question(filter(keep, judged.pairs_of(policy)), lambda pair: pair.points) for policy in policies]


def _by_question(pairs: Iterable[Pair], value: Callable[[Pair], float]) -> Values:
    found: dict[str, list[float]] = {}
    for pair in pairs:
        found.setdefault(pair.question, []).append(value(pair))
    return found
