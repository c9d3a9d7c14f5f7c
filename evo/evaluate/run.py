"""One evaluation: train and save policies, let them answer, judge the answers, run studies, show results."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.wording import count
from archive.disk.files import there
from archive.query import Reader
from archive.records import EventKind
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.trainings import candidate_of
from evo.campaign.training import recorded
from evo.config.rundir import RunDir, open_run
from evo.evaluate.alpaca_package import package_lines
from evo.evaluate.answers import Answers
from evo.evaluate.judging.judging import Judging, JudgingStopped, Purse, prompt_hashes, settle_open_requests
from evo.evaluate.judging.requests import requests_of
from evo.evaluate.policies import Policies, Recipe
from evo.evaluate.results import results_text, write_others, write_pictures
from evo.evaluate.studies.study import SavedPolicy, StudyRun
from evo.evaluate.work import Work, check_chats
from evo.session.extras import missing_pictures_note
from evo.session.ping import ping
from evo.session.preflight import Fault, PreflightFailed
from evo.session.signals import ended_by_signals
from fitness.chat.asker import Asker
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import LLMError
from sandbox.verdicts.verdict import VerdictStatus
from sandbox.vetting.pool import VetPool

Say = Callable[[str], None]


@ended_by_signals()
def run_evaluation(work: Work, path: Path, say: Say) -> None:
    """Do what is not recorded in `path` yet, and print the results.

    Raises TaskUnusable (JudgingStopped if the judge cannot be asked further), BenchmarkError, RunDirError, ArchiveError, and
    KeyboardInterrupt; everything that was finished is recorded, and the same command continues.
    """
    subjects = work.subjects
    check_chats(work, path)
    paid = asyncio.run(_reached(work.endpoint)) if work.endpoint and not _all_answered(work, path) else Usage()
    config = subjects.config
    rundir, archive, resumed = open_run(path, config, subjects.info, {}, "dpo", kind="evaluate")
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
        for note in (note for benchmark in work.benchmarks.values() for note in getattr(benchmark, "notes", ())):
            say(note)
        losses = _vetted(archive, reader, subjects.losses, say)
        work = replace(work, recipes=tuple(r for r in work.recipes if r.graph is None or r.loss in losses))
        saved = _saved(work, path, archive, reader, say)
        answers = _answered(work, saved, archive, reader, say)
        try:
            _judged(work, saved, answers, archive, reader, say)
        except JudgingStopped:
            if reader.judgements():
                say("\nJudged so far:\n")
                say(results_text(reader))
            raise
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
    for folder, number in Counter(file.parent for file in others).items():
        say(f"Wrote {count(number, 'file')} for other programs to {folder}")
    for benchmark in work.benchmarks.values():
        for line in package_lines(benchmark, others):
            say(line)


def _all_answered(work: Work, path: Path) -> bool:
    """Whether all policies have answered, so that what is left, if anything, is judged at once."""
    if not there(RunDir(path).archive):
        return False
    with Reader.open(RunDir(path).archive) as reader:
        answers, ids = Answers(None, reader), {row.digest: row.id for row in reader.policies()}
        return all(
            recipe.digest in ids and not answers.missing(ids[recipe.digest], name, wanted)
            for recipe in work.recipes
            for name, wanted in work.wanted.items()
        )


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


def _saved(work: Work, path: Path, archive: Archive, reader: Reader, say: Say) -> tuple[SavedPolicy, ...]:
    """All policies, trained where something that needs their weights is not recorded yet; with or without their folder."""
    policies, answers = Policies(path, archive, reader), Answers(archive, reader)
    ids = policies.recorded()
    examined = any(study.policies for study, _ in work.studies.values())

    def needed(recipe: Recipe) -> bool:
        id = ids.get(recipe.digest)
        return id is None or examined or any(answers.missing(id, name, wanted) for name, wanted in work.wanted.items())

    untrained = policies.untrained([recipe for recipe in work.recipes if needed(recipe)])
    if untrained:
        policies.train(work.subjects, untrained, say, lambda: check_chats(work, path))
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
