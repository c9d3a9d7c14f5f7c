"""One evaluation: check everything, train and save policies, let them answer, judge the answers, run studies, show results."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.wording import count, duration
from archive.disk.files import there
from archive.judgements import PolicyRow
from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.trainings import candidate_of
from evo.campaign.training import recorded
from evo.config.rundir import RunDir, open_run
from evo.evaluate.alpaca_package import package_faults, package_lines
from evo.evaluate.answers import Answers, Wanted, wanted_of
from evo.evaluate.judging import Judging, Purse, prompt_hashes, settle_open_requests
from evo.evaluate.policies import Policies, Recipe, recipes
from evo.evaluate.requests import requests_of, worst_cost
from evo.evaluate.results import results_text, write_others, write_pictures
from evo.evaluate.settings import Settings
from evo.evaluate.studies import SavedPolicy, Study, StudyRun
from evo.evaluate.subjects import Subjects
from evo.session.extras import missing_pictures_note, require_training
from evo.session.ping import ping
from evo.session.preflight import Fault, PreflightFailed, contract_faults, payment_faults, task_faults
from evo.session.session import workers_for
from evo.session.signals import ended_by_signals
from fitness.benchmarks.generation import generator
from fitness.benchmarks.protocol import Benchmark
from fitness.chat.asker import Asker
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import LLMError
from fitness.task.protocol import TaskOptions
from sandbox.verdicts.verdict import VerdictStatus
from sandbox.vetting.pool import VetPool

KIND = "evaluate"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What an evaluation has to do, known before anything is trained."""

    subjects: Subjects
    settings: Settings
    benchmarks: Mapping[str, Benchmark]
    wanted: Mapping[str, Sequence[Wanted]]
    """The answers that each policy has to write, by benchmark."""
    studies: Mapping[str, tuple[Study, TaskOptions]]
    recipes: tuple[Recipe, ...]
    """The policies; empty if only studies that train by themselves were asked for."""
    endpoint: Endpoint | None
    """The judge's; None without a benchmark that needs one."""


def work_of(subjects: Subjects, settings: Settings, names: Sequence[str]) -> Work:
    """Read the questions and check everything that can be known before long work.

    Raises PreflightFailed with all faults; BenchmarkError for data that cannot be used.
    """
    require_training()
    config, info = subjects.config, subjects.info
    benchmarks, studies = settings.judged(names), settings.studies(names)
    wanted = {name: wanted_of(b, b.questions(), settings.generation) for name, b in benchmarks.items()}
    faults = [Fault("", line) for line in generator.faults(settings.generation)]
    faults += [Fault("alpaca-eval.python", line) for b in benchmarks.values() for line in package_faults(b)]
    endpoint = None
    if benchmarks and settings.judge is None:
        faults.append(
            Fault(
                "judge",
                f"{', '.join(benchmarks)} needs a judge: set judge.base_url and judge.model, by --set or in --judging",
            )
        )
    elif benchmarks and settings.judge is not None:
        try:
            endpoint = settings.judge.endpoint()
            faults += payment_faults(config, {"judge": endpoint}, no_endpoint=False)
        except LLMError as error:
            faults.append(Fault("judge", str(error)))
    if subjects.losses:
        faults += [*contract_faults(config, info, proposes=False), *task_faults(config)]
    for name, (study, options) in studies.items():
        faults += [Fault(name, line) for line in study.check(options, config, info)]
    if faults:
        raise PreflightFailed(faults)
    needed = benchmarks or any(study.policies for study, _ in studies.values())
    return Work(subjects, settings, benchmarks, wanted, studies, recipes(subjects) if needed else (), endpoint)


@ended_by_signals()
def run_evaluation(work: Work, path: Path, say: Say) -> None:
    """Do what is not recorded in `path` yet, and print the results.

    Raises TaskUnusable (JudgingStopped if the judge cannot be asked further), BenchmarkError, RunDirError, ArchiveError, and
    KeyboardInterrupt; everything that was finished is recorded, and the same command continues.
    """
    subjects = work.subjects
    _check_models(work)
    paid = asyncio.run(_reached(work.endpoint)) if work.endpoint else Usage()
    config = subjects.config
    rundir, archive, resumed = open_run(path, config, subjects.info, {}, "dpo", kind=KIND)
    with archive, Reader.open(rundir.archive) as reader:
        if resumed:
            archive.recover()
            if lost := settle_open_requests(archive, reader):
                say(f"{count(lost, 'request')} to the judge had no recorded reply; counted as paid at the maximum.")
        archive.event(
            EventKind.SESSION_STARTED, {"config": config.model_dump(mode="json"), "fitness": subjects.info.described()}
        )
        if paid:
            archive.charge(TO_JUDGE, recorded(paid))
        say(f"Everything is recorded in {path}; the same command continues.")
        losses = _vetted(archive, reader, subjects.losses, say)
        work = replace(work, recipes=tuple(r for r in work.recipes if r.graph is None or r.loss in losses))
        saved = _saved(work, Policies(path, archive, reader), archive, reader, say)
        answers = _answered(work, saved, archive, reader, say)
        _judged(work, saved, answers, archive, reader, say)
        for name, (study, options) in work.studies.items():
            archive.event(EventKind.EVALUATE, {"benchmark": name, "options": options.model_dump(mode="json")})
            study.run(
                StudyRun(
                    config, subjects.info, options, tuple(loss for loss in subjects.losses if loss.name in losses),
                    subjects.seeds, saved if study.policies else (), archive, reader, path, say,
                )
            )  # fmt: skip
        archive.event(EventKind.FINISHED, {"reason": "everything is evaluated"})
        say("")
        say(results_text(reader))
        _write_files(work, reader, path, say)


def _write_files(work: Work, reader: Reader, path: Path, say: Say) -> None:
    """Pictures, and files for other programs. Raises ExportRefused."""
    note = missing_pictures_note()
    for line in [note] if note else write_pictures(reader, path):
        say(line)
    questions = {name: {one.question.id: one.question.turns for one in wanted} for name, wanted in work.wanted.items()}
    others = write_others(reader, path, questions)
    for file in others:
        say(f"Wrote {file}")
    for benchmark in work.benchmarks.values():
        for line in package_lines(benchmark, others):
            say(line)


def rehearse(work: Work, path: Path, say: Say) -> None:
    """Say what would be trained, answered and asked, and what that may cost at most. Nothing is recorded, sent or paid."""
    subjects, settings = work.subjects, work.settings
    _check_models(work)
    rows = [
        PolicyRow(number, recipe.name, recipe.kind, recipe.loss, recipe.seed, recipe.digest)
        for number, recipe in enumerate(work.recipes, start=1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "archive.db"
        Archive.create(fresh, RunRow("dry-run", 0, subjects.info.name, subjects.info.contract)).close()
        place = RunDir(path).archive if there(RunDir(path).archive) else fresh
        with Reader.open(place) as reader, Archive.open(fresh) as scratch:
            policies, answers = Policies(path, scratch, reader), Answers(scratch, reader)
            trained = [recipe for recipe in policies.untrained(work.recipes) if recipe.graph is not None]
            seconds = len(trained) * subjects.info.rung(subjects.rung).estimated_seconds / workers_for(subjects.config)
            say(
                f"{count(len(work.recipes), 'policy', 'policies')}: {'; '.join(recipe.name for recipe in work.recipes)}"
            )
            say(f"{count(len(trained), 'training')} left, at rung {subjects.rung}, about {duration(seconds)}")
            ids = policies.recorded()
            for name, wanted in work.wanted.items():
                left = sum(len(answers.missing(ids.get(r.digest, 0), name, wanted)) for r in work.recipes)
                say(f"{name}: {count(len(wanted), 'answer')} of each policy, {left:,} left in all")
                judge, benchmark = settings.judge, work.benchmarks[name]
                assert judge is not None
                number, most = worst_cost(
                    benchmark,
                    wanted,
                    rows,
                    judge.model,
                    judge.prices,
                    judge.max_tokens,
                    settings.generation.max_new_tokens,
                )
                usd = "no price known" if most.usd is None else f"{most.usd:.2f} USD"
                done = sum(row.judge == judge.model for row in reader.judgements(name))
                say(
                    f"{name}: {count(number, 'request')} to {judge.model}, at most {most.tokens:,} tokens ({usd}) if none were "
                    f"recorded; {count(done, 'judgement')} {'is' if done == 1 else 'are'} recorded"
                )
            for name, (study, options) in work.studies.items():
                run = StudyRun(
                    subjects.config,
                    subjects.info,
                    options,
                    subjects.losses,
                    subjects.seeds,
                    (),
                    scratch,
                    reader,
                    path,
                    say,
                )
                say(f"{name}: {study.plan(run)}")


def _check_models(work: Work) -> None:
    """Raises BenchmarkError if a named model lacks a tokenizer or a chat template."""
    from fitness.benchmarks.generation.chats import Chats

    if work.benchmarks:
        for recipe in work.recipes:
            if recipe.folder is not None:
                Chats(recipe.folder, work.settings.generation)


async def _reached(endpoint: Endpoint) -> Usage:
    """What it cost to check that the judge can be reached. Raises PreflightFailed."""
    try:
        outcome = await ping(endpoint, may_cost=True)
    except LLMError as error:
        raise PreflightFailed([Fault("judge", str(error))]) from None
    if outcome.error:
        raise PreflightFailed([Fault("judge", str(outcome.error), wrong_use=False)])
    return outcome.paid


def _vetted(archive: Archive, reader: Reader, losses: Sequence[ComparedLoss], say: Say) -> set[str]:
    """Record the losses, test them, and return the names of those that the sandbox accepts."""
    accepted = set()
    rows = {loss.name: candidate_of(archive, reader, loss) for loss in losses}
    new = [loss for loss in losses if reader.verdict(rows[loss.name].id) is None]
    if new:
        with VetPool(workers=1, contract=losses[0].graph.contract) as vetter:
            for loss in new:
                archive.record_verdict(rows[loss.name].id, vetter.vet_graph(loss.graph).to_json())
    for loss in losses:
        verdict = reader.verdict(rows[loss.name].id)
        if verdict is not None and verdict.status == VerdictStatus.ACCEPTED:
            accepted.add(loss.name)
        else:
            say(f"{loss.name}: refused by the sandbox, so it is not trained")
    return accepted


def _saved(work: Work, policies: Policies, archive: Archive, reader: Reader, say: Say) -> tuple[SavedPolicy, ...]:
    """All policies, trained where something that needs their weights is not recorded yet; with or without their folder."""
    from fitness.benchmarks.generation.chats import Chats

    answers, ids = Answers(archive, reader), policies.recorded()
    examined = any(study.policies for study, _ in work.studies.values())

    def needed(recipe: Recipe) -> bool:
        id = ids.get(recipe.digest)
        return id is None or examined or any(answers.missing(id, name, wanted) for name, wanted in work.wanted.items())

    def check(folder: Path) -> None:
        if work.benchmarks:
            Chats(folder, work.settings.generation)

    untrained = policies.untrained([recipe for recipe in work.recipes if needed(recipe)])
    if untrained:
        policies.train(work.subjects, untrained, say, check)
    policies.record(work.recipes)
    rows = {row.digest: row for row in reader.policies()}
    return tuple(SavedPolicy(rows[r.digest], policies.folder(r)) for r in work.recipes if r.digest in rows)


def _answered(work: Work, saved: Sequence[SavedPolicy], archive: Archive, reader: Reader, say: Say) -> Answers:
    """The answers of all policies, written where they are missing."""
    answers = Answers(archive, reader)
    for name, benchmark in work.benchmarks.items():
        archive.event(
            EventKind.EVALUATE,
            {
                "benchmark": name,
                "options": dict(work.settings.options.get(name, {})),
                "generation": work.settings.generation.model_dump(mode="json"),
                "judge": work.endpoint.model if work.endpoint else None,
                "endpoint": work.endpoint.where.place if work.endpoint else None,
                "templates": dict(benchmark.forms),
                "forms": prompt_hashes(benchmark),
                "questions": len({one.question.id for one in work.wanted[name]}),
                "keys": sorted({one.key for one in work.wanted[name]}),
            },
        )
    for policy in saved:
        answers.write(policy, work.wanted, work.settings.generation, say)
    return answers


def _judged(
    work: Work, saved: Sequence[SavedPolicy], answers: Answers, archive: Archive, reader: Reader, say: Say
) -> None:
    """Judge the answers to all benchmarks."""
    judge = work.settings.judge
    if not work.benchmarks or judge is None:
        return
    spent = reader.spending()
    purse = Purse(work.subjects.config.budget, spent.judge_tokens_in + spent.judge_tokens_out, spent.judge_usd)
    asker = Asker(judge.endpoint, judge.concurrency, "the judge")
    rows = [policy.row for policy in saved]
    for name, benchmark in work.benchmarks.items():
        own = answers.record_own(benchmark, work.wanted[name])
        judging = Judging(benchmark, judge, asker, purse, archive, reader)
        left = judging.left(requests_of(benchmark, work.wanted[name], rows, answers, own, judge.model))
        say(f"{name}: {count(len(left), 'request')} to {judge.model} left")
        judging.judge(left)
