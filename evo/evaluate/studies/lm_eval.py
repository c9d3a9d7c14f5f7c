"""The study `lm-eval`: tasks of lm-eval on the saved policies, to see what training made them forget.

lm-eval's results files stay in `lm-eval/` under the evaluation's directory. A policy that was measured is not measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import ClassVar

from analysis.benchmarks.lm_eval import ITEMS, recorded
from analysis.wording import count
from archive.judgements import AnswerRow
from evo.campaign.training import TaskUnusable
from evo.config.schema import Config
from evo.evaluate.studies.study import SavedPolicy, StudyRun
from fitness.benchmarks.lm_eval.options import LmEvalOptions
from fitness.benchmarks.lm_eval.process import check, measure
from fitness.benchmarks.lm_eval.results import Results, TaskScore
from fitness.benchmarks.protocol import BenchmarkError
from fitness.task.protocol import TaskInfo, TaskOptions

NAME = "lm-eval"


class LmEval:
    """Measures every policy in a process of lm-eval."""

    options: ClassVar[type[TaskOptions]] = LmEvalOptions
    policies: ClassVar[bool] = True

    def check(self, options: TaskOptions, config: Config, info: TaskInfo) -> list[str]:
        """The fault that prevents lm-eval from running these tasks, if there is one."""
        try:
            check(_own(options))
        except BenchmarkError as error:
            return [str(error)]
        return []

    def plan(self, run: StudyRun) -> str:
        """How many tasks and policies there are."""
        tasks = _own(run.options).tasks
        return f"{count(len(tasks), 'task')} on each policy and on the reference; the time depends on the tasks."

    def run(self, run: StudyRun) -> None:
        """Measure the policies one after another. Raises TaskUnusable after the last one if lm-eval failed on any."""
        options = _own(run.options)
        version = check(options)
        failed = []
        for number, policy in enumerate(run.policies, 1):
            try:
                if _measured(run, policy, options, version):
                    run.say(f"lm-eval: {policy.row.name}, {number} of {len(run.policies)} policies")
            except BenchmarkError as error:
                failed.append(f"{policy.row.name}: {error}")
        if failed:
            head = f"lm-eval failed on {count(len(failed), 'policy', 'policies')}; the others are recorded:"
            raise TaskUnusable("\n".join([head, *failed]))


def _own(options: TaskOptions) -> LmEvalOptions:
    assert isinstance(options, LmEvalOptions)
    return options


def _measured(run: StudyRun, policy: SavedPolicy, options: LmEvalOptions, version: str) -> bool:
    """Measure and record the tasks that are not recorded. Whether there was any."""
    done = {answer.key for answer in run.reader.answers(NAME) if answer.policy_id == policy.row.id}
    words = _words(options, version)
    due = tuple(task for task in options.tasks if _key(task, words) not in done)
    if not due:
        return False
    wanted = options.model_copy(update={"tasks": due})
    name = _key(policy.row.digest, *due, words)[:24]
    found = measure(policy.folder, wanted, run.directory / NAME / f"{name}.json")
    rows = [row for row in _rows(policy, found, words) if row.key not in done]
    if rows:
        run.archive.judgements.add_answers(rows)
    return True


def _rows(policy: SavedPolicy, found: Results, words: str) -> Iterator[AnswerRow]:
    tasks: dict[str, list[TaskScore]] = {}
    for score in found.scores:
        tasks.setdefault(score.task, []).append(score)
    for task, scores in tasks.items():
        metrics: dict[str, float] = {ITEMS: scores[0].items}
        for score in scores:
            metrics |= recorded(score.metric, score.value, score.error, higher_is_better=score.higher_is_better)
        yield AnswerRow(0, policy.row.id, NAME, task, words, (), 0, 0, metrics, _key(task, words))


def _words(options: LmEvalOptions, version: str) -> str:
    """How was measured, in words: everything besides the tasks that decides a score."""
    parts = [
        f"lm-eval {version}",
        f"first {count(options.limit, 'item')}" if options.limit is not None else "",
        f"{options.num_fewshot}-shot" if options.num_fewshot is not None else "",
        "chat template" if options.chat_template else "",
    ]
    return ", ".join(filter(None, parts))


def _key(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
