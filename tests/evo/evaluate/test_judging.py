"""Judging against a real endpoint on loopback: recorded at once, paid for once, within the budget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from loopback_judge import LoopbackJudge, Mode
from loopback_llm import Answer, Fault, LoopbackLLM, Status

from archive.judgements import AnswerRow, PolicyRow
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.config.budget_settings import BudgetConfig
from evo.evaluate.answers import Answers, Wanted, wanted_of
from evo.evaluate.judging.judging import ENOUGH, Judging, JudgingStopped, Purse, settle_open_requests
from evo.evaluate.judging.requests import Request, requests_of, worst_cost
from evo.evaluate.settings import JudgeOptions
from fitness.benchmarks.generation.generator import GenerationOptions
from fitness.benchmarks.protocol import JudgeReply, JudgeRequest, Question, Sampling, Shown
from fitness.chat import asker
from fitness.chat.asker import Asker
from fitness.chat.request import Message
from fitness.task.protocol import TaskOptions

MARKED = "[Question]\n{question}\n\n[The Start of Assistant's Answer]\n{answer}\n[The End of Assistant's Answer] Give a [[rating]]."
PAIRED = (
    "[User Question]\n{question}\n\n[The Start of Assistant A's Answer]\n{first}\n[The End of Assistant A's Answer]\n\n"
    "[The Start of Assistant B's Answer]\n{second}\n[The End of Assistant B's Answer] Reply [[A]], [[B]] or [[C]]."
)


class Tiny:
    """A benchmark of few questions: single grades, and pairs against the opponent in both orders."""

    name: ClassVar[str] = "mt-bench"
    title: ClassVar[str] = "Tiny"
    options: ClassVar[type[TaskOptions]] = TaskOptions
    opponent = "dpo"

    def __init__(self, questions: int = 3, *, pairs: bool = False, samples: int = 1) -> None:
        self._questions, self._pairs, self._samples = questions, pairs, samples

    @property
    def forms(self) -> Mapping[str, str]:
        return {"single": MARKED, "pair": PAIRED}

    @property
    def sampling(self) -> Sampling:
        return Sampling(0.0, 16, samples=self._samples)

    def sampling_of(self, question: Question) -> Sampling:
        return self.sampling

    def questions(self) -> Sequence[Question]:
        return [Question(str(number), (f"question {number}?",), "writing") for number in range(self._questions)]

    def requests(self, question: Question, answers: Sequence[Shown], baseline: Shown | None) -> Iterable[JudgeRequest]:
        for answer in answers:
            text = MARKED.format(question=question.turns[0], answer=answer.turns[0])
            yield JudgeRequest(question.id, "single", 1, (Message("user", text),), answer.source, max_tokens=64)
            if self._pairs and baseline is not None and baseline.source != answer.source:
                for first, second in ((answer, baseline), (baseline, answer)):
                    text = PAIRED.format(question=question.turns[0], first=first.turns[0], second=second.turns[0])
                    messages = (Message("user", text),)
                    yield JudgeRequest(question.id, "pair", 1, messages, first.source, second.source, max_tokens=64)

    def grade(self, request: JudgeRequest, reply: JudgeReply) -> float | None:
        if request.second is not None:
            found = re.search(r"\[\[([ABC])\]\]", reply.text)
            return {"A": 1.0, "B": 0.0, "C": 0.5}[found[1]] if found else None
        found = re.search(r"\[\[([\d.]+)\]\]", reply.text)
        return float(found[1]) if found else None


class Bench:
    """An archive with policies and their answers, and a judge's client."""

    def __init__(self, folder: Path, benchmark: Tiny, policies: Mapping[str, Sequence[str]]) -> None:
        self.archive = Archive.create(folder / "archive.db", RunRow("e", 0, "sentiment", "preference"))
        self.reader = Reader.open(self.archive.path)
        self.benchmark = benchmark
        self.wanted: list[Wanted] = wanted_of(benchmark, benchmark.questions(), GenerationOptions())
        for name, texts in policies.items():
            loss, _, seed = name.partition(" ")
            kind = "reference" if name == "reference" else "trained"
            self.add(
                name,
                kind,
                None if kind == "reference" else loss,
                None if kind == "reference" else int(seed or 0),
                texts,
            )

    def add(self, name: str, kind: str, loss: str | None, seed: int | None, texts: Sequence[str]) -> None:
        policy = self.archive.judgements.add_policy(name, kind, name, loss=loss, seed=seed)
        self.archive.judgements.add_answers(
            AnswerRow(0, policy, "mt-bench", one.question.id, "writing", (text,), one.sampling_seed, 3, key=one.key)
            for one, text in zip(self.wanted, texts, strict=True)
        )

    @property
    def policies(self) -> list[PolicyRow]:
        return self.reader.policies()

    def requests(self) -> list[Request]:
        answers = Answers(self.archive, self.reader)
        return list(requests_of(self.benchmark, self.wanted, self.policies, answers, None, "judge-1"))

    def judge(self, server: LoopbackLLM, *, budget: Mapping[str, Any] | None = None, **options: Any) -> None:
        given = JudgeOptions(**({"base_url": server.base_url, "model": "judge-1", "concurrency": 2} | options))
        spent = self.reader.spending()
        tokens = spent.judge_tokens_in + spent.judge_tokens_out
        purse = Purse(BudgetConfig(**(budget or {})), tokens, spent.judge_usd)
        client = Asker(given.endpoint, given.concurrency, "the judge")
        judging = Judging(self.benchmark, given, client, purse, self.archive, self.reader)
        judging.judge(judging.left(self.requests()))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(benchmark: Tiny, policies: Mapping[str, Sequence[str]]) -> Bench:
        made.append(Bench(tmp_path, benchmark, policies))
        return made[-1]

    yield make
    for one in made:
        one.reader.close()
        one.archive.close()


GOOD, BAD = "a good and wonderful film {}", "a bad and boring film {}"
TWO = {
    "dpo": [GOOD.format(i) for i in range(3)], "slic": [BAD.format(i) for i in range(3)],
    "reference": [f"a film {i}" for i in range(3)],
}  # fmt: skip


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asker, "FIRST_PAUSE", 0.01)


def test_each_answer_is_graded_once_and_the_same_command_sends_nothing(bench: Any) -> None:
    made = bench(Tiny(), TWO)
    with LoopbackJudge() as judge:
        made.judge(judge)
        made.judge(judge)
        assert judge.requests == 9
    rows = made.reader.judgements("mt-bench")
    names = {answer.id: answer.policy_id for answer in made.reader.answers()}
    grades = {name: {row.grade for row in rows if names[row.first] == id} for id, name in enumerate(TWO, start=1)}
    assert grades == {"dpo": {7.8}, "slic": {3.2}, "reference": {5.5}}, "1 + 9 * opinion, one decimal"
    assert {(row.judge, row.form, row.turn, row.second) for row in rows} == {("judge-1", "single", 1, None)}
    spent = made.reader.spending()
    assert spent.judge_tokens_in == sum(row.usage.tokens_in for row in rows if row.usage) > 0
    assert spent.judge_possibly_paid == 0


def test_equal_answers_are_judged_once(bench: Any) -> None:
    made = bench(Tiny(), {"dpo": ["same"] * 3, "slic": ["same"] * 3})
    with LoopbackJudge() as judge:
        made.judge(judge)
        assert judge.requests == 3, "one for each question"
        made.add("reference", "reference", None, None, ["same"] * 3)
        made.judge(judge)
        assert judge.requests == 3
    rows = made.reader.judgements()
    assert len(rows) == 9 and len({row.first for row in rows}) == 9
    assert sum(row.usage is not None for row in rows) == 3 and len({row.grade for row in rows}) == 1


def test_a_bias_to_the_first_position_shows_in_both_orders_and_cancels(bench: Any) -> None:
    made = bench(
        Tiny(pairs=True), {"dpo": ["a film x", "a film y", "a film z"], "slic": ["a film 1", "a film 2", "a film 3"]}
    )
    with LoopbackJudge(Mode.FIRST) as judge:
        made.judge(judge)
    rows = [row for row in made.reader.judgements() if row.second is not None]
    assert len(rows) == 6 and all(row.grade == 1.0 for row in rows), "whatever is shown first wins"
    policy = {answer.id: answer.policy_id for answer in made.reader.answers()}
    points = [row.grade if policy[row.first] == 2 else 1 - (row.grade or 0.0) for row in rows]
    assert sum(points) / len(points) == 0.5


def test_a_policy_is_compared_with_the_opponent_of_its_seed(bench: Any) -> None:
    texts = {name: [f"{name} {i}" for i in range(3)] for name in ("dpo 1", "dpo 2", "slic 1", "slic 2", "reference")}
    made = bench(Tiny(pairs=True), texts)
    names = {answer.id: made.policies[answer.policy_id - 1].name for answer in made.reader.answers()}
    pairs = {(names[r.request.first], names[r.request.second]) for r in made.requests() if r.request.second is not None}
    assert pairs == {
        ("slic 1", "dpo 1"), ("dpo 1", "slic 1"), ("slic 2", "dpo 2"), ("dpo 2", "slic 2"),
        ("reference", "dpo 1"), ("dpo 1", "reference"),
    }  # fmt: skip
    graded = [r.request.first for r in made.requests() if r.request.second is None]
    assert len(graded) == len(set(graded)) == 15, "each answer is graded once"


def test_a_budget_of_tokens_is_not_exceeded_and_a_larger_one_continues(bench: Any) -> None:
    made = bench(Tiny(), TWO)
    most = max(
        request.most(JudgeOptions(base_url="http://x/v1", model="m").prices, None).tokens for request in made.requests()
    )
    with LoopbackJudge(usage={"prompt_tokens": most - 64, "completion_tokens": 64}) as judge:
        with pytest.raises(JudgingStopped, match=r"the budget of \d+ tokens is reached.*the same command continues"):
            made.judge(judge, budget={"tokens": 4 * most})
        assert judge.requests <= 4
        spent = made.reader.spending()
        assert spent.judge_tokens_in + spent.judge_tokens_out <= 4 * most
        assert len(made.reader.judgements()) == judge.requests
        made.judge(judge, budget={"tokens": 20 * most})
        assert judge.requests == 9


def test_a_judge_that_costs_more_than_was_reserved_ends_the_session(bench: Any) -> None:
    """The reported usage counts, whatever the upper bound was."""
    made = bench(Tiny(), TWO)
    with LoopbackJudge(Mode.COSTLY) as judge, pytest.raises(JudgingStopped, match="usd"):
        made.judge(judge, budget={"usd": 1.0}, usd_per_million_in=10, usd_per_million_out=30, concurrency=1)
    assert judge.requests == 1 and len(made.reader.judgements()) == 1
    assert made.reader.spending().judge_usd == pytest.approx(2.5)


def test_replies_without_a_grade_are_counted_and_a_judge_that_gives_none_is_stopped(bench: Any) -> None:
    texts = {name: [f"{name} {i}" for i in range(12)] for name in ("dpo", "slic")}
    made = bench(Tiny(12), texts)
    with LoopbackJudge(Mode.NONSENSE) as judge:
        with pytest.raises(JudgingStopped, match=rf"none of {ENOUGH} replies .*has a grade.*Bananas"):
            made.judge(judge, concurrency=1)
        assert judge.requests == ENOUGH
    rows = made.reader.judgements()
    assert len(rows) == ENOUGH and {row.grade for row in rows} == {None}


def test_one_reply_without_a_grade_is_kept_as_none(bench: Any) -> None:
    made = bench(Tiny(), TWO)
    with LoopbackJudge(script=["I cannot decide."]) as judge:
        made.judge(judge, concurrency=1)
    grades = [row.grade for row in made.reader.judgements()]
    assert grades.count(None) == 1 and len(grades) == 9


def test_an_outage_is_waited_out_and_a_long_one_keeps_what_was_judged(bench: Any) -> None:
    made = bench(Tiny(), TWO)
    with LoopbackJudge(faults={2: Fault.SERVER_ERROR, 3: Fault.DISCONNECT, 6: Fault.HTML_ERROR}) as judge:
        made.judge(judge, concurrency=1)
    rows = made.reader.judgements()
    assert len(rows) == 9 and all(row.grade is not None for row in rows)
    assert made.reader.spending().judge_tokens_in > sum(row.usage.tokens_in for row in rows if row.usage), (
        "the reply that was cut off may have been paid for"
    )


def test_a_failing_judge_ends_the_session_and_nothing_is_lost(bench: Any) -> None:
    made = bench(Tiny(), TWO)
    with LoopbackJudge(script=["Rating: [[7]]"]) as judge:
        judge.mode = Mode.FAILING
        with pytest.raises(JudgingStopped, match=r"judge 'judge-1' stopped answering.*the same command then continues"):
            made.judge(judge, concurrency=1, patience_seconds=0.05)
        assert [row.grade for row in made.reader.judgements()] == [7.0]
        judge.mode = Mode.RIGHT
        before = judge.requests
        made.judge(judge)
        assert judge.requests == before + 8
    assert made.reader.spending().judge_possibly_paid == 0


def test_a_request_that_the_judge_refuses_is_counted_without_a_grade(bench: Any) -> None:
    made = bench(Tiny(), TWO)

    def reply(body: dict[str, Any], number: int) -> Any:
        return Fault.TOO_LONG if "boring" in body["messages"][-1]["content"] else Answer("[[6]]")

    with LoopbackLLM(fallback=reply) as judge:
        made.judge(judge)
    rows = made.reader.judgements()
    assert sorted(row.grade or 0.0 for row in rows) == [0.0] * 3 + [6.0] * 6
    assert all("too_long" in row.reply for row in rows if row.grade is None)


def test_a_judge_that_refuses_every_request_ends_the_session_before_anything_is_recorded(bench: Any) -> None:
    made = bench(Tiny(), TWO)
    refusal = Status(400, {"error": {"message": "this model is not for chat"}})
    with LoopbackLLM(fallback=lambda body, number: refusal) as judge:
        with pytest.raises(JudgingStopped, match="stopped answering"):
            made.judge(judge, concurrency=1)
        assert judge.requests == 1
    assert made.reader.judgements() == []


def test_a_request_that_was_open_at_a_kill_is_counted_at_its_most(bench: Any) -> None:
    from archive.records import Usage

    made = bench(Tiny(), TWO)
    made.archive.judgements.ask("cut off", Usage(300, 64, 0.5))
    assert settle_open_requests(made.archive, made.reader) == 1
    assert settle_open_requests(made.archive, made.reader) == 0
    spent = made.reader.spending()
    assert (spent.judge_tokens_in, spent.judge_tokens_out, spent.judge_usd, spent.judge_possibly_paid) == (
        300,
        64,
        0.5,
        1,
    )


def test_each_sample_of_an_answer_is_judged(bench: Any) -> None:
    made = bench(Tiny(2, samples=2), {"dpo": ["a", "b", "c", "d"]})
    with LoopbackJudge() as judge:
        made.judge(judge)
        assert judge.requests == 4
    assert {answer.sampling_seed for answer in made.reader.answers()} == {0, 1}


def test_the_worst_cost_is_an_upper_bound(bench: Any) -> None:
    made = bench(Tiny(pairs=True), TWO)
    options = JudgeOptions(base_url="http://x/v1", model="m", usd_per_million_in=1, usd_per_million_out=2)
    number, most = worst_cost(made.benchmark, made.wanted, made.policies, "m", options.prices, None, None)
    exact = [request.most(options.prices, None) for request in made.requests()]
    assert number == len(exact) == 9 + 12
    assert most.tokens >= sum(usage.tokens for usage in exact) and (most.usd or 0.0) > 0
