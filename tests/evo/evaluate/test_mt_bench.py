"""MT-Bench through the evaluation's own client, archive and results, with judges on loopback that have a fault."""

from __future__ import annotations

import json
from pathlib import Path

from loopback_judge import LoopbackJudge, Mode

from analysis.benchmarks.results import ResultTable
from archive.judgements import AnswerRow
from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.config.budget_settings import BudgetConfig
from evo.evaluate.answers import Answers, wanted_of
from evo.evaluate.judging.judging import Judging, JudgingStopped, Purse, prompt_hashes
from evo.evaluate.judging.requests import requests_of
from evo.evaluate.results import outcomes
from evo.evaluate.settings import JudgeOptions
from fitness.benchmarks.generation.generator import GenerationOptions
from fitness.benchmarks.mt_bench.benchmark import MtBench
from fitness.benchmarks.mt_bench.options import Options
from fitness.chat.asker import Asker

TEXTS = {"reference": ("a poor film", "a dull film"), "dpo": ("a good film", "the best film")}
QUESTIONS = 6


def evaluated(folder: Path, judge: LoopbackJudge) -> list[ResultTable]:
    """The tables of a reference and DPO that are graded and compared; also where judging stopped."""
    path = folder / "question.jsonl"
    categories = ("writing", "math", "stem")
    path.write_text(
        "".join(
            json.dumps(
                {
                    "question_id": n,
                    "category": categories[n % 3],
                    "turns": ["A film?", "And?"],
                    "reference": ["good", "best"],
                }
            )
            + "\n"
            for n in range(QUESTIONS)
        )
    )
    benchmark = MtBench(Options(questions=str(path), mode="both", opponent="reference"))
    wanted = wanted_of(benchmark, benchmark.questions(), GenerationOptions())
    options = JudgeOptions(base_url=judge.base_url, model="judge-1", concurrency=2)
    with (
        Archive.create(folder / "archive.db", RunRow("e", 0, "sentiment", "preference")) as archive,
        Reader.open(archive.path) as reader,
    ):
        for name, texts in TEXTS.items():
            loss, seed = (None, None) if name == "reference" else (name, 1)
            policy = archive.judgements.add_policy(name, "trained" if loss else "reference", name, loss=loss, seed=seed)
            archive.judgements.add_answers(
                AnswerRow(
                    0, policy, "mt-bench", one.question.id, one.question.category,
                    tuple(f"{text} {one.question.id}" for text in texts), one.sampling_seed, 6, key=one.key,
                )
                for one in wanted
            )  # fmt: skip
        settings = {"judge": "judge-1", "forms": prompt_hashes(benchmark), "keys": [one.key for one in wanted]}
        archive.event(EventKind.EVALUATE, {"benchmark": "mt-bench", **settings})
        judging = Judging(
            benchmark, options, Asker(options.endpoint, 2, "the judge"), Purse(BudgetConfig(), 0, 0.0), archive, reader
        )
        requests = requests_of(benchmark, wanted, reader.policies(), Answers(archive, reader), None, "judge-1")
        try:
            judging.judge(judging.left(requests))
        except JudgingStopped as stopped:
            assert "has a grade" in str(stopped)
        (outcome,) = outcomes(reader)
        return list(outcome.tables)


def value(tables: list[ResultTable], title: str, row: str, column: str) -> float | None:
    table = next(table for table in tables if table.title.startswith(title))
    return dict(table.rows)[row][table.columns.index(column) - 1].value


def test_a_right_judge_prefers_the_better_answers_in_grades_and_pairs(tmp_path: Path) -> None:
    with LoopbackJudge(Mode.RIGHT) as judge:
        tables = evaluated(tmp_path, judge)
        assert judge.requests == QUESTIONS * 2 * (2 + 2), "two turns; two grades and a pair in two orders"
    difference = value(tables, "MT-Bench: grades of single", "reference", "minus dpo")
    assert difference is not None and difference < -1
    assert value(tables, "MT-Bench: pairs against reference", "dpo", "win rate, %") == 100.0
    assert value(tables, "MT-Bench: position bias", "all pairs", "position bias, % points") == 0.0


def test_a_judge_of_positions_decides_nothing_and_its_bias_is_shown(tmp_path: Path) -> None:
    with LoopbackJudge(Mode.FIRST, strength=10.0) as judge:
        tables = evaluated(tmp_path, judge)
    assert value(tables, "MT-Bench: pairs against reference", "dpo", "win rate, %") == 50.0
    assert value(tables, "MT-Bench: position bias", "all pairs", "position bias, % points") == 50.0


def test_a_judge_that_writes_nonsense_is_stopped_and_what_it_wrote_is_counted(tmp_path: Path) -> None:
    with LoopbackJudge(Mode.NONSENSE) as judge:
        tables = evaluated(tmp_path, judge)
    grades = next(table for table in tables if table.title.startswith("MT-Bench: grades of single"))
    assert all(row[1][0].value is None for row in grades.rows)
    assert any("replies of the judge have no grade" in note for note in grades.notes)
