"""`--on imdb`: a sweep over beta. Each loss is trained with each beta, and its reward is set against its KL to the reference.

The experiment of Lu et al. 2024, section 6.3, on whatever the task trains: the reward is the task's own, a classifier, a word list
or the embedded task's judge. The trainings are evaluations of the archive, so an interrupted sweep continues. Each finished one is
also recorded as a judged policy with one answer, whose metrics are means over the test prompts and the sampling seeds.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from analysis.benchmarks.imdb import BENCHMARK, FAILED
from analysis.output.encode import one_line
from analysis.wording import count, duration
from archive.judgements import AnswerRow
from archive.records import CandidateRow, EvaluationRow, EventKind, Origin
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.trainings import trainings
from evo.config.schema import Config
from evo.evaluate.studies.study import StudyRun
from evo.session.session import worker_pool, workers_for
from evo.session.signals import interruptible
from fitness.benchmarks.imdb.options import ImdbOptions
from fitness.task import TaskError, TaskInfo, TaskOptions, task_info

SAMPLING_SEEDS = "sampling_seeds"
"""Option of a task that can answer its test prompts several times."""


class Imdb:
    """The sweep as a study."""

    options: ClassVar[type[TaskOptions]] = ImdbOptions
    policies: ClassVar[bool] = False

    def check(self, options: TaskOptions, config: Config, info: TaskInfo) -> list[str]:
        """Faults that can be known before long work, one line each with its remedy."""
        assert isinstance(options, ImdbOptions)
        try:
            sampled = task_info(config.task, _fitness(config, options))
            _rung(options, sampled)
        except TaskError as error:
            return [str(error)]
        faults = []
        if sampled.beta is None:
            faults.append(f"task {info.name} has no beta to sweep over: choose a task that trains preference losses")
        if "reward" not in sampled.shown:
            faults.append(
                "the task measures no reward of sampled answers: expected an evaluation by reward_model or vader, or the "
                "task sentiment"
            )
        return faults

    def plan(self, run: StudyRun) -> str:
        """One line: the trainings and about how long they take."""
        sweep = Sweep.of(run)
        missing = len(sweep.jobs()) - len(sweep.finished())
        seconds = missing * sweep.info.rung(sweep.rung).estimated_seconds / workers_for(sweep.config)
        return (
            f"{count(len(run.losses), 'loss', 'losses')}, {count(len(sweep.options.betas), 'beta')}, "
            f"{count(len(run.seeds), 'training seed')}, {count(sweep.options.sampling_seeds, 'sampling seed')}: "
            f"{count(missing, 'training')} to do of {len(sweep.jobs())} at rung {sweep.rung}, about {duration(seconds)}"
        )

    def run(self, run: StudyRun) -> None:
        """Train what the archive has no result of. Raises TaskUnusable, TaskError, KeyboardInterrupt."""
        sweep = Sweep.of(run)
        run.say(f"{BENCHMARK}: {self.plan(run)}")
        sweep.begin()
        if len(sweep.finished()) < len(sweep.jobs()):
            asyncio.run(interruptible(sweep.train()))
        sweep.record()


@dataclass(frozen=True)
class Sweep:
    """The trainings of a sweep: losses, betas and seeds at one rung."""

    study: StudyRun
    options: ImdbOptions
    config: Config
    """With the sampling seeds as the task's option."""
    info: TaskInfo
    """Of that configuration."""
    rung: str

    @classmethod
    def of(cls, run: StudyRun) -> Sweep:
        """The sweep of a study. Raises TaskError for options that do not fit the task."""
        assert isinstance(run.options, ImdbOptions)
        config = run.config.model_copy(update={"fitness": _fitness(run.config, run.options)})
        info = task_info(config.task, config.fitness)
        return cls(run, run.options, config, info, _rung(run.options, info))

    def betas(self, loss: ComparedLoss) -> tuple[float | None, ...]:
        """The grid of a loss; (None,) for a loss that does not use beta, which is trained once a seed."""
        return self.options.betas if "beta" in loss.graph.inputs else (None,)

    def jobs(self) -> list[tuple[ComparedLoss, int, float | None]]:
        """Loss, seed and beta of all trainings."""
        return [(loss, s, b) for loss in self.study.losses for s, b in product(self.study.seeds, self.betas(loss))]

    def finished(self) -> dict[tuple[str, int, float | None], tuple[CandidateRow, EvaluationRow]]:
        """The trainings that ended, scored or failed, by loss, seed and beta."""
        wanted = {(loss.name, seed, beta) for loss, seed, beta in self.jobs()}
        seeded = {row.id: row for row in self.study.reader.candidates() if row.origin is Origin.SEED}
        found = {}
        for row in self.study.reader.evaluations():
            candidate = seeded.get(row.candidate_id)
            if candidate is not None and row.finished_event is not None and row.rung == self.rung:
                found[candidate.name, row.seed, row.beta] = candidate, row
        return {key: value for key, value in found.items() if key in wanted}

    def begin(self) -> None:
        """Record what is measured. Raises TaskError if the archive holds results of other sampling seeds or of another rung."""
        own = {"rung": self.rung, SAMPLING_SEEDS: self.options.sampling_seeds}
        for event in self.study.reader.events(kind=EventKind.SWEEP):
            recorded = event.payload if isinstance(event.payload, Mapping) else {}
            for key, value in own.items():
                if recorded.get(key) != value:
                    raise TaskError(
                        f"imdb: the directory holds a sweep with {key} {one_line(str(recorded.get(key)))}, this one has {value}: "
                        "choose another --dir"
                    )
        self.study.archive.event(EventKind.SWEEP, {**own, "betas": self.options.betas, "seeds": self.study.seeds})

    async def train(self) -> None:
        """Train the missing ones; each is recorded when it ends."""
        study = self.study
        pool = worker_pool(self.config)
        async with trainings(
            self.config, self.info, study.losses, self.rung, study.archive, study.reader, pool, study.say
        ) as trained:

            async def measure(loss: ComparedLoss) -> None:
                await trained.train(loss, product(study.seeds, self.betas(loss)))
                self.record()
                done = [row for (name, _, _), (_, row) in self.finished().items() if name == loss.name]
                failed = sum(row.fitness is None for row in done)
                study.say(
                    f"{loss.name}: {count(len(done), 'training')} done" + (f", {failed} failed" if failed else "")
                )

            await trained.each(measure)

    def record(self) -> None:
        """Record the finished trainings as judged policies, each with one answer; those that are recorded stay as they are."""
        writer, reader = self.study.archive.judgements, self.study.reader
        answered = {answer.policy_id for answer in reader.answers(BENCHMARK)}
        identity = dict(self.info.identity)
        graphs = {loss.name: loss.graph for loss in self.study.losses}
        for (name, seed, beta), (_, row) in self.finished().items():
            recipe: dict[str, Any] = {"benchmark": BENCHMARK, "task": self.info.name, "rung": self.rung, "beta": beta}
            recipe |= {SAMPLING_SEEDS: self.options.sampling_seeds}
            if row.fitness is None:
                recipe |= {FAILED: row.reason}
            digest = _digest([graphs[name].to_json(), identity, self.rung, seed, beta])
            at = "" if beta is None else f", beta {beta:g}"
            policy = writer.add_policy(
                f"{name}{at}, seed {seed}", "trained", digest, loss=name, seed=seed, recipe=recipe
            )
            if policy not in answered:
                metrics: Mapping[str, float] = row.metrics if row.fitness is not None else {}
                answer = AnswerRow(0, policy, BENCHMARK, "", "", (), seed, 0, metrics, digest)
                writer.add_answers([answer])


def _fitness(config: Config, options: ImdbOptions) -> dict[str, Any]:
    """The task's options with the sampling seeds, which a task without that option has once."""
    if options.sampling_seeds == 1:
        return dict(config.fitness)
    return {**config.fitness, SAMPLING_SEEDS: options.sampling_seeds}


def _rung(options: ImdbOptions, info: TaskInfo) -> str:
    held_out = [rung.name for rung in info.rungs.values() if rung.held_out]
    return info.rung(options.rung or (held_out or [info.search_rungs[-1].name])[-1]).name


def _digest(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
