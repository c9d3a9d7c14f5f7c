"""`evopo evaluate --dry-run`: what would be trained, answered and asked, and what that may cost at most."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from analysis.wording import count, duration
from archive.disk.files import there
from archive.judgements import PolicyRow
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.config.rundir import RunDir
from evo.evaluate.answers import Answers
from evo.evaluate.judging.requests import worst_cost
from evo.evaluate.policies import Policies
from evo.evaluate.studies.study import StudyRun
from evo.evaluate.work import Work, check_chats
from evo.session.session import workers_for

Say = Callable[[str], None]


def rehearse(work: Work, path: Path, say: Say) -> None:
    """Say what is left to do in `path`. Nothing there is changed, and nothing is sent. Raises as `run_evaluation` would at once."""
    check_chats(work, path)
    info = work.subjects.info
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "archive.db"
        recorded = RunDir(path).archive
        with (
            Archive.create(fresh, RunRow("dry-run", 0, info.name, info.contract)) as scratch,
            Reader.open(recorded if there(recorded) else fresh) as reader,
        ):
            _policies(work, Policies(path, scratch, reader), say)
            _questions(work, reader, Answers(None, reader), say)
            own = work.subjects
            for name, (study, options) in work.studies.items():
                run = StudyRun(own.config, info, options, own.losses, own.seeds, (), scratch, reader, path, say)
                say(f"{name}: {study.plan(run)}")


def _policies(work: Work, policies: Policies, say: Say) -> None:
    if not work.recipes:
        return
    subjects = work.subjects
    trained = [recipe for recipe in policies.untrained(work.recipes) if recipe.graph is not None]
    seconds = len(trained) * subjects.info.rung(subjects.rung).estimated_seconds / workers_for(subjects.config)
    names = "; ".join(recipe.name for recipe in work.recipes)
    say(f"{count(len(work.recipes), 'policy', 'policies')}: {names}")
    say(f"{count(len(trained), 'training')} left, at rung {subjects.rung}, about {duration(seconds)}")


def _questions(work: Work, reader: Reader, answers: Answers, say: Say) -> None:
    """The answers that are left to write, and the most that the judge may cost."""
    judge = work.settings.judge
    ids = {row.digest: row.id for row in reader.policies()}
    rows = [
        PolicyRow(number, recipe.name, recipe.kind, recipe.loss, recipe.seed, recipe.digest)
        for number, recipe in enumerate(work.recipes, start=1)
    ]
    for name, wanted in work.wanted.items():
        left = sum(len(answers.missing(ids.get(recipe.digest, 0), name, wanted)) for recipe in work.recipes)
        say(f"{name}: {count(len(wanted), 'answer')} of each policy, {left:,} left in all")
        if judge is None:
            continue
        limit = work.settings.generation.max_new_tokens
        number, most = worst_cost(
            work.benchmarks[name], wanted, rows, judge.model, judge.prices, judge.max_tokens, limit
        )
        usd = "no price known" if most.usd is None else f"{most.usd:.2f} USD"
        done = sum(row.judge == judge.model for row in reader.judgements(name))
        say(
            f"{name}: {count(number, 'request')} to {judge.model}, at most {most.tokens:,} tokens ({usd}) if none were recorded; "
            f"{count(done, 'judgement')} {'is' if done == 1 else 'are'} recorded"
        )
