"""Who earns how much training: a pure function from the results so far to the trainings that are due.

The sandbox's numeric tests are the ground floor: what cannot train never gets here. Then a loss climbs *stages*, each of
which costs more than the one before: every search rung with one seed, cheapest first, and the dearest with more and more
seeds. To climb on, a loss must pass two tests at a stage. It must be in the upper part of those that have completed it
(asynchronous successive halving, Li et al. 2020, with seeds as the last resource). And it must have a hope of being the
best: what the next stage said of losses that have completed both is extrapolated to it by a straight line, with some
residual deviations to its favour. So a stage that foretells the next one well lets few climb, and one that does not lets
the upper part. All that complete a stage were measured on the same seeds, so what is compared is paired. A loss whose
training failed at any stage is out. Nothing waits for others: the rule is asked after every result, and an early loss may
climb that a later one would have kept down.

Baselines are measured at every stage, whatever their fitness. The race decides who is looked at again; it infers nothing.
Claims rest on the *final* alone: the leaders and the baselines on fresh seeds, which chose nobody, at the held-out rung
where the task has one. There the yardstick is trained with other betas, and on request other learning rates, so that no
loss wins by its scale alone. Only where a leader is clearly ahead of all of them does a claim depend on more: then the best of the
other baselines is trained over the same grid, and a grid whose best arm lies at its edge is widened a few times.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean, linear_regression, stdev

from fitness.task import TaskInfo

Results = Mapping[tuple[str, int], float | None]
"""Fitness by (rung, seed); None for a training that failed."""

Tuned = tuple[str, int, float | None, float | None]
"""A training at other settings than the task's own: (rung, seed, beta, learning rate), None for the task's own."""

Tuning = tuple[float | None, float | None]
"""Beta and learning rate that a loss is trained with, None for the task's own."""

OWN: Tuning = (None, None)

FORESEEN_FROM = 6
"""Losses that must have completed a stage and the one before it, before the one is used to foresee the other."""

LEAST_ERRORS = 1.9
"""Standard errors by which a leader must be ahead for anything more to be trained: no t-test at level 0.05 asks for fewer."""

DEFAULT_RATES = (0.5, 2.0)
"""Multiples of the learning rate at which a yardstick without beta is trained in the final."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One loss in the race. Baselines run every stage and the final, whatever their fitness."""

    candidate_id: int
    baseline: bool
    results: Results = field(default_factory=dict)
    """With the task's own beta."""
    yardstick: bool = False
    """The baseline that claims are made against."""
    tuned: Mapping[Tuned, float | None] = field(default_factory=dict)
    """Fitness with another beta or learning rate; None for a training that failed. The race does not look at it."""
    reads_beta: bool = True
    """Whether another beta makes it another loss."""

    @property
    def failed(self) -> bool:
        """Whether any training of it failed."""
        return None in self.results.values()

    def mean(self, stage: Stage) -> float | None:
        """Mean fitness over the stage's seeds; None before all of them are scored."""
        values = [self.results.get((stage.rung, seed)) for seed in stage.seeds]
        scored = [value for value in values if value is not None]
        return fmean(scored) if len(scored) == len(values) else None

    def arms(self, rung: str, seeds: Sequence[int]) -> dict[Tuning, tuple[float, ...]]:
        """Fitness by seed, at a rung, of every tuning that was scored on all these seeds."""
        by_arm: dict[Tuning, dict[int, float]] = {}
        for (at, seed), fitness in self.results.items():
            if at == rung and fitness is not None:
                by_arm.setdefault(OWN, {})[seed] = fitness
        for (at, seed, *tuning), fitness in self.tuned.items():
            if at == rung and fitness is not None:
                by_arm.setdefault((tuning[0], tuning[1]), {})[seed] = fitness
        return {
            tuning: tuple(scores[seed] for seed in seeds)
            for tuning, scores in by_arm.items()
            if seeds and all(seed in scores for seed in seeds)
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """How generous the race is."""

    keep: float = 0.33
    """Fraction of those measured at a rung that climbs to the next."""
    optimism: float = 2.0
    """Residual deviations by which a loss may be foreseen to stay behind the best of the next stage and still climb."""
    contenders: int = 6
    """Leaders of the dearest search rung that earn a second seed; half of them earn further ones, and so on."""
    contender_seeds: int = 4
    """Seeds that a contender may earn."""
    finalists: int = 3
    """Leaders measured in the final, beside the baselines."""
    finalist_seeds: int = 4
    """Fresh seeds of the final."""
    yardstick_betas: tuple[float, ...] = (0.5, 2.0)
    """Multiples of the task's beta at which the final trains the yardstick too; the best of its arms stands."""
    yardstick_learning_rates: tuple[float, ...] | None = None
    """Likewise of the task's learning rate; the yardstick is trained at every pair of the two. None: DEFAULT_RATES where the
    task has no beta, else none, since beta too sets how far a training goes."""
    yardstick_widenings: int = 2
    """How often a grid may be widened whose best arm lies at its edge."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training that is due: a candidate, at a rung, with a seed. None is the task's own beta or learning rate."""

    candidate_id: int
    rung: str
    seed: int
    beta: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of a run: `search` in the order in which they are earned, `final` fresh ones that select nobody."""

    search: tuple[int, ...]
    final: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A rung and the seeds on which everybody who climbs that far is measured."""

    rung: str
    seeds: tuple[int, ...]
    places: int | None
    """How many of those that completed it may climb on at most, and at most half; None: the settings' fraction."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a part of a run costs, before it is started."""

    part: str
    rung: str
    trainings: int
    seconds_each: float

    @property
    def seconds(self) -> float:
        """Of training, on one worker."""
        return self.trainings * self.seconds_each


def stages(info: TaskInfo, settings: Settings, seeds: Seeds) -> tuple[Stage, ...]:
    """The way up, cheapest first. Seeds double from stage to stage, as far as a contender may earn them."""
    rungs = [Stage(rung.name, seeds.search[:1], None) for rung in info.search_rungs]
    places, earned = settings.contenders, 1
    while earned < min(settings.contender_seeds, len(seeds.search)) and places > 0:
        earned = min(2 * earned, settings.contender_seeds, len(seeds.search))
        rungs[-1] = Stage(rungs[-1].rung, rungs[-1].seeds, places)
        rungs.append(Stage(rungs[-1].rung, seeds.search[:earned], None))
        places = max(min(places, settings.finalists), math.ceil(places / 2))
    return tuple(rungs)


def screening(entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds) -> tuple[Job, ...]:
    """Trainings due while the search goes on, those of the highest stage first; what has a result is left out."""
    alive = [e for e in entries if not e.failed]
    baselines = [e for e in entries if e.baseline]
    way = stages(info, settings, seeds)
    due, climbing = [], alive
    for stage, following in zip(way, [*way[1:], None], strict=True):
        due.append([Job(e.candidate_id, stage.rung, s) for e in (*baselines, *climbing) for s in stage.seeds])
        climbing = _upper_part(alive, stage, settings)
        if following is not None:
            climbing = _hopeful(climbing, alive, stage, following, settings.optimism)
    return _open([job for jobs in reversed(due) for job in jobs], entries)


def final(
    entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds, also: Sequence[tuple[int, Tuning]] = ()
) -> tuple[Job, ...]:
    """Trainings due once the search is over, on fresh seeds. Asked again after they are done, it names those that follow.

    First the leaders, the baselines, the yardstick's grid, and `also` (baselines as (candidate, tuning) that a leader is a
    variation of). Then, where a leader is clearly ahead of every baseline: the best other baseline over the grid, and the next
    arm of a grid whose best one lies at its edge.
    """
    chosen = leaders(entries, info, settings, seeds)[: settings.finalists]
    baselines = [e for e in entries if e.baseline]
    arms = [(e.candidate_id, OWN) for e in (*baselines, *chosen)]
    arms += [(e.candidate_id, tuning) for e in baselines if e.yardstick for tuning in tunings(e, info, settings)]
    fresh, rung = seeds.final[: settings.finalist_seeds], final_rung(info)

    def due(wanted: Sequence[tuple[int, Tuning]]) -> tuple[Job, ...]:
        return _open([Job(candidate, rung, s, *tuning) for s in fresh for candidate, tuning in wanted], entries)

    return due([*arms, *also]) or due(_what_a_claim_needs(baselines, chosen, info, settings, rung, fresh))


def _what_a_claim_needs(
    baselines: Sequence[Entry], chosen: Sequence[Entry], info: TaskInfo, settings: Settings, rung: str, fresh: Sequence[int]
) -> list[tuple[int, Tuning]]:  # fmt: skip
    measured = {e.candidate_id: arms for e in baselines if (arms := e.arms(rung, fresh))}
    best_arms = [max(arms.values(), key=fmean) for arms in measured.values()]
    leading = [ours for e in chosen if (ours := e.arms(rung, fresh).get(OWN))]
    if not any(all(_may_be_above(ours, theirs) for theirs in best_arms) for ours in leading):
        return []
    rivals = [e for e in baselines if e.candidate_id in measured]
    others = [e for e in rivals if not e.yardstick and OWN in measured[e.candidate_id]]
    best = max(others, key=lambda e: fmean(measured[e.candidate_id][OWN]), default=None)
    wanted: list[tuple[int, Tuning]] = []
    for entry in rivals:
        if entry.yardstick or entry is best:
            grid, tried = tunings(entry, info, settings), _tried(entry, rung, fresh)
            further = [tuning for tuning in grid if tuning not in tried]
            means = {tuning: fmean(scores) for tuning, scores in measured[entry.candidate_id].items()}
            further = further or widened(means, [OWN, *grid], tried, info, settings.yardstick_widenings)
            wanted += [(entry.candidate_id, tuning) for tuning in further]
    return wanted


def _may_be_above(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether a claim is still possible: a mean difference below this many errors is past no noise, however many seeds."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    middle = fmean(differences)
    if middle <= 0 or len(differences) < 2:
        return middle > 0
    return middle >= LEAST_ERRORS * stdev(differences) / math.sqrt(len(differences))


def tunings(entry: Entry, info: TaskInfo, settings: Settings) -> tuple[Tuning, ...]:
    """The grid that a baseline is tuned over, without the task's own settings: of learning rates where it reads no beta."""
    if entry.reads_beta:
        return yardstick_grid(info, settings)
    rates = settings.yardstick_learning_rates
    return tuple((None, rate) for rate in _multiples(info.learning_rate, DEFAULT_RATES if rates is None else rates)[1:])


def baseline_grid(entries: Sequence[Entry], info: TaskInfo, settings: Settings) -> tuple[Tuning, ...]:
    """All arms that the final gives the yardstick before any widening; none without a yardstick."""
    return next(((OWN, *tunings(e, info, settings)) for e in entries if e.yardstick), ())


def _tried(entry: Entry, rung: str, fresh: Sequence[int]) -> set[Tuning]:
    """Tunings that were trained on all these seeds, whatever came of it."""
    found = {(tuning[0], tuning[1]) for at, _, *tuning in entry.tuned if at == rung}
    return {OWN} | {tuning for tuning in found if all((rung, seed, *tuning) in entry.tuned for seed in fresh)}


def widened(
    means: Mapping[Tuning, float], grid: Sequence[Tuning], tried: Collection[Tuning], info: TaskInfo, most: int
) -> list[Tuning]:
    """The arm beyond the edge of the grid at which the best arm lies, if it lies there and fewer than `most` were added.

    `means` are the fitness of every arm so far, `grid` the arms that were there from the start, `tried` also those that failed:
    these bound the grid too. The grid goes on by the ratio of its last two values. Arms within it that were trained for
    another reason neither bound it nor count as added.
    """
    own = (info.beta, info.learning_rate)
    best = max(means, key=lambda tuning: means[tuning])
    for axis in (0, 1):
        values = sorted({v for t in grid if (v := _value(t, axis, own)) is not None})
        line = {v for t in tried if t[1 - axis] == best[1 - axis] and (v := _value(t, axis, own)) is not None}
        at = _value(best, axis, own)
        if at is None or len(values) < 2:
            continue
        steps = [(values[0], values[0] / values[1]), (values[-1], values[-1] / values[-2])]
        added = [
            v for edge, ratio in steps for v in _beyond(edge, ratio, most) if any(math.isclose(v, w) for w in line)
        ]
        for edge, ratio in steps:
            bounded = any(
                (v / at - 1) * (ratio - 1) > 0 and abs(math.log(v / at)) >= abs(math.log(ratio)) / 2 for v in line
            )
            if bounded or len(added) >= most:
                continue
            further = next(
                (v for v in _beyond(edge, ratio, most) if abs(math.log(v / at)) >= abs(math.log(ratio)) / 2), None
            )
            if further is None:
                continue
            tuning = list(best)
            tuning[axis] = float(f"{further:.12g}")
            return [(tuning[0], tuning[1])]
    return []


def _beyond(edge: float, ratio: float, most: int) -> list[float]:
    return [edge * ratio**step for step in range(1, most + 1)]


def _value(tuning: Tuning, axis: int, own: tuple[float | None, float | None]) -> float | None:
    return tuning[axis] if tuning[axis] is not None else own[axis]


def final_rung(info: TaskInfo) -> str:
    """Where the final is measured: the held-out rung, or without one the dearest."""
    held_out = [rung.name for rung in info.rungs.values() if rung.held_out]
    return held_out[-1] if held_out else info.search_rungs[-1].name


def yardstick_grid(info: TaskInfo, settings: Settings) -> tuple[Tuning, ...]:
    """Betas and learning rates beside the task's own with which the final trains the yardstick; None is the task's own."""
    rates = settings.yardstick_learning_rates
    if rates is None:
        rates = () if info.beta is not None else DEFAULT_RATES
    grid = product(
        _multiples(info.beta, settings.yardstick_betas),
        _multiples(info.learning_rate, rates),
    )
    return tuple(pair for pair in grid if pair != OWN)


def _multiples(own: float | None, factors: Sequence[float]) -> tuple[float | None, ...]:
    """The task's own value (None), then its multiples."""
    if own is None:
        return (None,)
    return (None, *(round(own * factor, 12) for factor in factors if factor != 1.0))


def leaders(entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds) -> list[Entry]:
    """All proposals that completed a stage, best first: by the stage that they reached, then by their mean there.

    Not by the mean alone: with one lucky seed a loss is above those whose luck has evened out.
    """
    ranked, way = [], stages(info, settings, seeds)
    for entry in entries:
        means = [entry.mean(stage) for stage in way]
        reached = next((number for number, mean in reversed(list(enumerate(means))) if mean is not None), None)
        # A failure in the final makes no room for another finalist: who is in it was decided before.
        failed = any(entry.results.get((stage.rung, seed), 0.0) is None for stage in way for seed in stage.seeds)
        if not entry.baseline and not failed and reached is not None:
            ranked.append((-reached, -(means[reached] or 0.0), entry.candidate_id, entry))
    return [entry for *_, entry in sorted(ranked, key=lambda row: row[:3])]


def plan(info: TaskInfo, settings: Settings, baselines: int, proposals: int) -> tuple[Planned, ...]:
    """What a run with so many losses costs if every proposal is new and trains: each stage, then the final.

    About, since an early loss may climb that a later one would have kept down.
    """
    seeds = Seeds(tuple(range(settings.contender_seeds)), tuple(range(settings.finalist_seeds)))
    planned, climbing, before = [], proposals, Stage("", (), None)
    for stage in stages(info, settings, seeds):
        further = len(stage.seeds) - (len(before.seeds) if before.rung == stage.rung else 0)
        part = "search" if further == len(stage.seeds) else f"search, {len(stage.seeds)} seeds"
        seconds = info.rung(stage.rung).estimated_seconds
        planned.append(Planned(part, stage.rung, further * (baselines + climbing), seconds))
        bar = baselines if stage.places is None else 0
        climbing = min(climbing, _places(stage, bar + climbing, settings))
        before = stage
    arms = baselines + min(settings.finalists, proposals) + len(yardstick_grid(info, settings))
    rung = info.rung(final_rung(info))
    planned.append(Planned("final", rung.name, settings.finalist_seeds * arms, rung.estimated_seconds))
    return tuple(planned)


def plan_of_claims(info: TaskInfo, settings: Settings, baselines: int) -> Planned:
    """What the final costs further, at most, where a leader is ahead of all baselines and a claim depends on it.

    The best other baseline over the grid, both grids widened to the limit, and an arm for each finalist that is nearly a
    baseline at another beta.
    """
    grid = len(yardstick_grid(info, settings))
    rivals = min(2, baselines) if grid else 0
    arms = grid * (rivals == 2) + settings.yardstick_widenings * rivals + settings.finalists * (info.beta is not None)
    rung = info.rung(final_rung(info))
    return Planned("final, if a claim depends on it", rung.name, settings.finalist_seeds * arms, rung.estimated_seconds)


def _upper_part(entries: Sequence[Entry], stage: Stage, settings: Settings) -> list[Entry]:
    """Those of a stage who are good enough to climb on, best first.

    From rung to rung baselines count as the bar to pass; the places of contenders are the proposals' alone.
    """
    rated = [(mean, e) for e in entries if (mean := e.mean(stage)) is not None]
    if stage.places is not None:
        rated = [(mean, e) for mean, e in rated if not e.baseline]
    rated.sort(key=lambda pair: (-pair[0], pair[1].candidate_id))
    return [e for _, e in rated[: _places(stage, len(rated), settings)]]


def _hopeful(
    climbing: Sequence[Entry], measured: Sequence[Entry], stage: Stage, following: Stage, optimism: float
) -> list[Entry]:
    """Those whose foreseen mean at the following stage, with `optimism` deviations more, reaches the best proposal there."""
    both = [
        (e, here, there)
        for e in measured
        if (here := e.mean(stage)) is not None and (there := e.mean(following)) is not None
    ]
    proposals = [there for e, _, there in both if not e.baseline]
    if len(both) < FORESEEN_FROM or not proposals or len({here for _, here, _ in both}) < 2:
        return list(climbing)
    slope, _ = linear_regression([here for _, here, _ in both], [there for *_, there in both])
    slope = max(0.0, slope)
    level = fmean(there - slope * here for _, here, there in both)
    residual = math.sqrt(math.fsum((there - slope * here - level) ** 2 for _, here, there in both) / (len(both) - 2))
    bar = max(proposals) - level - optimism * residual
    return [e for e in climbing if slope * (e.mean(stage) or 0.0) >= bar]


def _places(stage: Stage, measured: int, settings: Settings) -> int:
    # A half from seeds to more seeds: the noise is large, the stage short, and whoever climbs alone has no rival there.
    return math.floor(settings.keep * measured) if stage.places is None else min(measured // 2, stage.places)


def _open(jobs: Sequence[Job], entries: Sequence[Entry]) -> tuple[Job, ...]:
    done = {Job(e.candidate_id, rung, seed) for e in entries for rung, seed in e.results}
    done |= {Job(e.candidate_id, *tuned) for e in entries for tuned in e.tuned}
    return tuple(dict.fromkeys(job for job in jobs if job not in done))
