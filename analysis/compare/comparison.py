"""The comparison of strategies: values of every run, tests between strategies, and what each found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis import stats
from analysis.compare.curves import Against, Curve, Shrinkage, curve_of, spent_by
from analysis.compare.differences import Difference, Measure, differences
from analysis.compare.found import Discoveries, Grid, discoveries
from analysis.compare.runs import Run, deciding_rung, flat, require_comparable, shown
from analysis.compare.strategies import Strategy, strategies_of
from analysis.output.encode import one_line
from analysis.output.errors import NotComparable
from analysis.recorded import sessions_of
from analysis.snapshot import Arm
from analysis.wording import display_name, figure
from archive.records import CandidateRow
from sandbox.identity.closeness import readable, version


@dataclass(frozen=True)
class Outcome:
    """The values of one run. `end` is the value that is compared: see `Comparison.fresh`."""

    run: Run
    curve: Curve
    spent: Mapping[Against, float]
    """Cost of the whole search."""
    end: float
    error: float | None
    """Standard error of `end` over training seeds; None for the baseline, whose advantage over itself is 0."""
    area: float
    leader: CandidateRow
    """The loss whose advantage `end` is."""


@dataclass(frozen=True)
class Compared:
    """One strategy with the values of its runs, in the order of `Strategy.runs`."""

    strategy: Strategy
    outcomes: tuple[Outcome, ...]

    @property
    def label(self) -> str:
        """Its label."""
        return self.strategy.label

    def values(self, measure: Measure) -> list[float]:
        """The values of its runs."""
        return [o.end if measure is Measure.END else o.area for o in self.outcomes]


@dataclass(frozen=True)
class Comparison:
    """Strategies on one task. Values are advantages over the baseline, in units of the fitness."""

    task: str
    baseline: str
    metric: str
    """What fitness is, in words; empty where the runs did not record it."""
    rung: str
    """The rung of the curves."""
    against: Against
    upto: float
    """Cost up to which curves are compared: the least of all runs."""
    fresh: str
    """The rung of the finals, if end values are the leaders' advantages on the fresh seeds of the finals; empty if they are the
    curves' values at `upto`."""
    strategies: tuple[Compared, ...]
    differences: tuple[Difference, ...]
    discoveries: Discoveries
    notes: tuple[str, ...]
    """What a reader must know about these runs, in sentences."""


def compare(
    runs: Sequence[Run], grid: Grid, against: Against = Against.TRAININGS, by: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Comparison:  # fmt: skip
    """Compares the strategies of at least two runs. Raises NotComparable."""
    require_comparable(runs)
    rung = deciding_rung(runs)
    strategies = strategies_of(runs, by, labels)
    shrinkage = Shrinkage.of(list(s.values()) for run in runs for s in run.advantages[rung].values())
    curves = {run.name: curve_of(run, rung, shrinkage, against) for run in runs}
    upto = min(curve.end for curve in curves.values())
    if upto <= 0:
        least = min(runs, key=lambda run: curves[run.name].end)
        raise NotComparable(
            f"{least.name} has used no {against.value}, so the curves against it have no length; choose another --against"
        )
    fresh = _finals(runs, rung, shrinkage)
    compared = tuple(
        Compared(
            strategy,
            tuple(
                _outcome(run, rung, shrinkage, curves[run.name], upto, fresh.get(run.name))
                for run in strategy.runs.values()
            ),
        )
        for strategy in strategies
    )
    values = {c.label: {m: dict(zip(c.strategy.runs, c.values(m), strict=True)) for m in Measure} for c in compared}
    snapshot = runs[0].snapshot
    assert snapshot.baseline is not None
    return Comparison(
        task=snapshot.run.task,
        baseline=display_name(snapshot.baseline),
        metric=snapshot.metric(rung),
        rung=rung,
        against=against,
        upto=upto,
        fresh=runs[0].snapshot.final.rung if fresh and runs[0].snapshot.final else "",
        strategies=compared,
        differences=differences(values),
        discoveries=discoveries(strategies, rung, shrinkage, grid),
        notes=tuple(_notes(runs, strategies, curves, against, upto)),
    )


@dataclass(frozen=True)
class _Measured:
    """The advantage of a run's leader on the final's fresh seeds."""

    leader: int
    advantage: float
    error: float | None


def _outcome(
    run: Run, rung: str, shrinkage: Shrinkage, curve: Curve, upto: float, measured: _Measured | None
) -> Outcome:
    if measured is None:
        leader = curve.leader(upto)
        seeds = run.advantages[rung].get(leader, {})
        measured = _Measured(leader, curve.at(upto), shrinkage.error(len(seeds)) if seeds else None)
    row = run.snapshot.candidates[measured.leader]
    return Outcome(run, curve, spent_by(run), measured.advantage, measured.error, curve.area(upto), row)


def _finals(runs: Sequence[Run], rung: str, shrinkage: Shrinkage) -> Mapping[str, _Measured]:
    """The leader of each run on fresh seeds, by run. Empty unless every run has it, with equal budgets and at one rung."""
    rungs = {run.snapshot.final.rung if run.snapshot.final else None for run in runs}
    if len(rungs) > 1 or None in rungs or _budget_keys(runs) or not all(run.finished for run in runs):
        return {}
    found = {run.name: measured for run in runs if (measured := _measured(run, rung, shrinkage)) is not None}
    return found if len(found) == len(runs) else {}


def _measured(run: Run, rung: str, shrinkage: Shrinkage) -> _Measured | None:
    """The finalist or known loss that the search ranks first; None if nothing was measured.

    Search seeds alone choose it, so its fresh seeds are fair.
    """
    snapshot = run.snapshot
    assert snapshot.final is not None and snapshot.baseline is not None
    baseline, fresh = snapshot.baseline.id, snapshot.final.seeds
    own = snapshot.scores.get(Arm(baseline, snapshot.final.rung), {})
    leader, best = _Measured(baseline, 0.0, None), 0.0
    measured = False
    for id, searched in run.advantages[rung].items():
        arm = Arm(id, snapshot.final.rung)
        scores = {seed: value for seed, value in snapshot.scores.get(arm, {}).items() if seed in fresh}
        pair = stats.paired(scores, own)
        if pair is None or snapshot.failures.get(arm, frozenset()) & fresh:
            continue
        measured = True
        if (estimate := shrinkage.estimate(list(searched.values()))) > best:
            leader, best = _Measured(id, pair.difference, pair.standard_error), estimate
    return leader if measured else None


# ---- what a reader must know ---------------------------------------------------------------------------------------


def _budget_keys(runs: Sequence[Run]) -> list[str]:
    """The limits of the budget that are not the same for all runs."""
    budgets = [{key: value for key, value in run.settings.items() if key.startswith("budget.")} for run in runs]
    keys = dict.fromkeys(key for budget in budgets for key in budget)
    return [key for key in keys if any(budget.get(key) != budgets[0].get(key) for budget in budgets)]


def _notes(
    runs: Sequence[Run], strategies: Sequence[Strategy], curves: Mapping[str, Curve], against: Against, upto: float
) -> Iterator[str]:
    if len(strategies) == 1:
        yield "All runs are one strategy: they differ in nothing but seed and name, so there is nothing to test."
    single = [strategy.label for strategy in strategies if len(strategy.runs) == 1]
    if single and len(strategies) > 1:
        yield f"One run only of {_listed(single)}: no test is possible with it; add runs with other seeds."
    for key in _budget_keys(runs):
        values = sorted({shown(run.settings.get(key)) for run in runs})
        yield f"The budgets differ ({key}: {' and '.join(values)}), so the end values are those at the common cost."
    most = max(curve.end for curve in curves.values())
    if most > upto:
        least = [run.name for run in runs if curves[run.name].end == upto]
        yield (
            f"The curves are compared up to {figure(upto)} {against.value}, all that {_listed(least)} used; the most is "
            f"{figure(most)}."
        )
    if running := [run.name for run in runs if not run.finished]:
        yield f"Not finished: {_listed(running)}."
    barren = [
        run.name for run in runs if not any(run.snapshot.is_proposal(arm.candidate) for arm in run.snapshot.scores)
    ]
    if barren:
        yield f"No proposal of {_listed(barren)} was scored: its value is that of the best known loss."
    if len({run.snapshot.run.version for run in runs}) > 1:
        yield "The runs were made by different versions of evopo."
    if len(_formats(runs)) > 1:
        yield "The fingerprints of these runs have different formats, so one function may be listed as two."
    for strategy in strategies:
        for run in strategy.runs.values():
            sessions = [flat(settings) for _, settings in sessions_of(run.snapshot.events)]
            if changed := [key for key in strategy.keys if len({shown(session.get(key)) for session in sessions}) > 1]:
                yield f"{run.name} changed {_listed(changed)} between sessions; it counts with its last settings."


def _formats(runs: Sequence[Run]) -> set[str]:
    prints = (readable(verdict.fingerprint) for run in runs for verdict in run.snapshot.verdicts.values())
    return {version(fingerprint.key) for fingerprint in prints if fingerprint is not None}


def _listed(names: Sequence[str]) -> str:
    head = ", ".join(one_line(name, 60) for name in names[:5])
    return head + (f" and {len(names) - 5} more" if len(names) > 5 else "")
