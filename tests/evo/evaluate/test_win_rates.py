"""Win rates through a real endpoint on loopback and a real archive: the judge's biases are shown, cancelled and removed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from loopback_judge import LoopbackJudge, Mode, Seen

from analysis.benchmarks.registry import tables_of
from analysis.benchmarks.results import Cell, Rows
from archive.judgements import AnswerRow
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.config.budget_settings import BudgetConfig
from evo.evaluate.answers import Answers, wanted_of
from evo.evaluate.judging.judging import Judging, Purse
from evo.evaluate.judging.requests import requests_of
from evo.evaluate.settings import JudgeOptions
from fitness.benchmarks.generation.generator import GenerationOptions
from fitness.benchmarks.registry import make_benchmark
from fitness.chat.asker import Asker

COUNT = 24


def text(seed: object, characters: float) -> str:
    """An answer that names its quality, between 0 and 1; the rest is filler."""
    rng = random.Random(str(seed))
    return f"{rng.random():.3f} ".ljust(round(characters * math.exp(0.3 * rng.gauss(0, 1))), "x")


def quality(_: Seen, answer: str) -> float:
    return float(answer.split()[0])


class Evaluation:
    """An archive with the answers of the reference and of DPO, to be judged."""

    def __init__(self, folder: Path, name: str, options: Mapping[str, Any], characters: float) -> None:
        self.archive = Archive.create(folder / "archive.db", RunRow("e", 0, "sentiment", "preference"))
        self.reader = Reader.open(self.archive.path)
        self.benchmark = make_benchmark(name, options)
        self.wanted = wanted_of(self.benchmark, self.benchmark.questions(), GenerationOptions())
        self.answers = Answers(self.archive, self.reader)
        for policy, kind, loss, seed in (("reference", "reference", None, None), ("dpo, seed 1", "trained", "dpo", 1)):
            id = self.archive.judgements.add_policy(policy, kind, policy, loss=loss, seed=seed)
            length = 100.0 if kind == "reference" else characters
            self.archive.judgements.add_answers(
                AnswerRow(
                    0, id, name, w.question.id, w.question.category, (text((policy, w.key), length),), 0, 3, key=w.key
                )
                for w in self.wanted
            )
        self.answers = Answers(self.archive, self.reader)

    def judged(self, server: LoopbackJudge) -> Rows:
        """The rows after judging all pairs."""
        given = JudgeOptions(base_url=server.base_url, model="stand-in", concurrency=4)
        policies = self.reader.policies()
        own = self.answers.record_own(self.benchmark, self.wanted)
        asker = Asker(given.endpoint, given.concurrency, "the judge")
        judging = Judging(self.benchmark, given, asker, Purse(BudgetConfig(), 0, 0.0), self.archive, self.reader)
        judging.judge(judging.left(requests_of(self.benchmark, self.wanted, policies, self.answers, own, given.model)))
        name = self.benchmark.name
        return Rows(
            tuple(self.reader.policies()), tuple(self.reader.answers(name)), tuple(self.reader.judgements(name))
        )


Made = Callable[..., Evaluation]


@pytest.fixture
def evaluation(tmp_path: Path) -> Iterator[Made]:
    open_ones: list[Evaluation] = []

    def make(name: str, characters: float = 100.0, **options: Any) -> Evaluation:
        folder = tmp_path / str(len(open_ones))
        folder.mkdir()
        path = folder / "data.jsonl"
        own = [text(("own", n), 100) for n in range(COUNT)]
        alpaca = [
            {"instruction": f"Task {n}", "output": t, "generator": "gpt4", "dataset": "s"} for n, t in enumerate(own)
        ]
        tldr = [{"prompt": f"POST: {n}\n\nTL;DR:", "completion": t} for n, t in enumerate(own)]
        path.write_text("\n".join(map(json.dumps, alpaca if name == "alpaca-eval" else tldr)))
        key = "instructions" if name == "alpaca-eval" else "posts"
        open_ones.append(Evaluation(folder, name, {key: str(path), **options}, characters))
        return open_ones[-1]

    yield make
    for one in open_ones:
        one.reader.close()
        one.archive.close()


def cells(name: str, rows: Rows, table: int = 0, row: str = "dpo") -> dict[str, Cell]:
    found = tables_of(name, rows)[table]
    return dict(zip(found.columns[1:], dict(found.rows)[row], strict=True))


def test_the_position_bias_is_cancelled_and_shown(evaluation: Made) -> None:
    with LoopbackJudge(opinion=quality) as fair, LoopbackJudge(Mode.FIRST, strength=0.3, opinion=quality) as biased:
        right = cells("alpaca-eval", evaluation("alpaca-eval").judged(fair))
        wrong = cells("alpaca-eval", evaluation("alpaca-eval").judged(biased))
        assert fair.requests == COUNT * 2 * 3  # both orders; both policies meet the data, and DPO the reference
    assert right["position bias %"].value == pytest.approx(0, abs=1e-6)
    assert wrong["position bias %"].value is not None and wrong["position bias %"].value > 10
    assert wrong["win rate %"].value == pytest.approx(right["win rate %"].value, abs=5)
    assert right["win rate %"].n == COUNT


def test_the_length_bias_is_removed_and_shown(evaluation: Made) -> None:
    with LoopbackJudge(opinion=quality) as fair, LoopbackJudge(Mode.LONGER, strength=0.2, opinion=quality) as biased:
        right = cells("tldr", evaluation("tldr", 200.0).judged(fair))
        wrong = cells("tldr", evaluation("tldr", 200.0).judged(biased))
    plain, controlled, length = (wrong[c].value for c in ("win rate %", "length-controlled %", "from length %"))
    fairly = right["win rate %"].value
    assert plain is not None and controlled is not None and length is not None and fairly is not None
    assert plain > fairly + 10
    assert abs(controlled - fairly) < abs(plain - fairly)
    assert length == pytest.approx(plain - controlled) and length > 5


def test_a_judge_that_gives_no_log_probabilities_gives_whole_points(evaluation: Made) -> None:
    from loopback_judge import FORMS, Form, ranked_token
    from loopback_llm import Answer

    def bare(opinions: Any) -> Answer:
        return Answer(ranked_token(opinions).text)

    form = next(form for form in FORMS if form.name.startswith("alpaca"))
    with LoopbackJudge(opinion=quality, forms=[Form(form.name, form.recognised, form.answers, bare)]) as server:
        rows = evaluation("alpaca-eval").judged(server)
    assert {row.grade for row in rows.judgements} == {0.0, 1.0}
    assert cells("alpaca-eval", rows, table=1)["win rate %"].n == COUNT
