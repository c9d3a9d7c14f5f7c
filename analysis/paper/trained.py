"""What an archive of `evopo baselines` holds for the page: the fitness of each known loss, and its rewards over betas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis import stats
from analysis.final import seeds_of
from analysis.output.encode import one_line
from analysis.paper.sweeps import Sweep
from analysis.paper.tables import Measure, Number
from analysis.wording import count
from archive.query import Reader
from archive.records import EvaluationRow, EventKind, Origin
from sandbox import known

REWARD = "reward"
"""Metric of the tasks that sample from the policy."""


def fitness_of(reader: Reader, source: str) -> tuple[Measure, list[Sweep]]:
    """The fitness of the known losses of a comparison, and the sweeps over beta of those whose task measures a reward.

    A loss is shown at the beta that the comparison chose, on its fresh seeds. Raises ArchiveError.
    """
    run = reader.run()
    rung = _rung(reader)
    fresh = {seed for event in reader.events(kind=EventKind.FINAL) for seed in seeds_of(event.payload)}
    values, sweeps = {}, []
    for candidate in reader.candidates():
        name = known.FORMER_NAMES.get(candidate.name, candidate.name)
        if candidate.origin is not Origin.SEED or not known.is_known(name, run.contract):
            continue
        ended = [e for e in reader.evaluations(candidate.id) if e.rung == rung and e.finished_event is not None]
        if measured := [e for e in ended if e.seed in fresh]:
            last = max(measured, key=lambda e: e.id).beta  # more tuning seeds may have changed the choice
            values[name] = _fitness([e for e in measured if e.beta == last])
        elif ended:
            values[name] = Number(None, words=f"failed at every beta: {_reasons(ended)}")
        tuned = [e for e in ended if e.beta is not None and e.seed not in fresh]
        rewards = {beta: _reward([e for e in tuned if e.beta == beta]) for beta in _betas(tuned)}
        if len(rewards) > 1 and any(number.value is not None for number in rewards.values()):
            sweeps.append(Sweep(source, name, rewards))
    title = f"fitness of the task {one_line(run.task, 40)}, rung {one_line(rung, 40)}"
    return Measure("fitness", title, values, source, contract=run.contract), sweeps


def _rung(reader: Reader) -> str:
    payloads = [event.payload for event in reader.events(kind=EventKind.BASELINES)]
    return str(payloads[-1].get("rung", "")) if payloads and isinstance(payloads[-1], Mapping) else ""


def _betas(evaluations: Iterable[EvaluationRow]) -> list[float]:
    return sorted({e.beta for e in evaluations if e.beta is not None})


def _fitness(measured: Sequence[EvaluationRow]) -> Number:
    scored = [e.fitness for e in measured if e.fitness is not None]
    at = "" if measured[0].beta is None else f" at beta {measured[0].beta:g}"
    return _number(scored, [e for e in measured if e.fitness is None], at)


def _reward(trained: Sequence[EvaluationRow]) -> Number:
    scored = [e.metrics[REWARD] for e in trained if e.fitness is not None and REWARD in e.metrics]
    return _number(scored, [e for e in trained if e.fitness is None], "")


def _number(values: Sequence[float], failed: Sequence[EvaluationRow], at: str) -> Number:
    words = f"{len(failed)} of {len(values) + len(failed)} failed: {_reasons(failed)}" if failed else ""
    if not values:
        return Number(None, words=words)
    return Number(stats.mean(values), stats.standard_error(values), count(len(values), "seed") + at, words)


def _reasons(failed: Iterable[EvaluationRow]) -> str:
    return ", ".join(sorted({one_line(e.reason or "unknown", 40) for e in failed if e.fitness is None}))
