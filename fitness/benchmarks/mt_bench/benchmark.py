"""MT-Bench as a benchmark: what the policies answer, what the judge is asked, and how its replies are graded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from fitness.benchmarks.mt_bench.files import REFERENCED, TURNS, read_questions, read_references
from fitness.benchmarks.mt_bench.grades import read_preference, read_rating
from fitness.benchmarks.mt_bench.options import Options
from fitness.benchmarks.mt_bench.prompts import OWN
from fitness.benchmarks.mt_bench.templates import Form, Template, read_templates
from fitness.benchmarks.protocol import BenchmarkError, JudgeReply, JudgeRequest, Question, Sampling, Shown
from fitness.task.protocol import TaskOptions

TEMPERATURES: Mapping[str, float] = {
    "writing": 0.7, "roleplay": 0.7, "reasoning": 0.0, "math": 0.0, "coding": 0.0, "extraction": 0.0, "stem": 0.1,
    "humanities": 0.1,
}  # fmt: skip
"""Published sampling temperatures of the answers, by category."""
ANSWER_TOKENS = 1024
"""Published bound on an answer to one turn."""
JUDGE_TOKENS = 2048
"""Published bound on the judge's reply."""


class MtBench:
    """MT-Bench with a judge (Zheng et al. 2023): grades of single answers from 1 to 10, or pairs in both orders."""

    name: ClassVar[str] = "mt-bench"
    title: ClassVar[str] = "MT-Bench"
    options: ClassVar[type[TaskOptions]] = Options

    def __init__(self, options: Options) -> None:
        """Reads the prompts. Raises BenchmarkError for a file of prompts that cannot be used."""
        self.configured = options
        self._templates: Mapping[Form, Template] = read_templates(options.templates) if options.templates else OWN

    @property
    def forms(self) -> Mapping[str, str]:
        """Templates of the prompts that are used, by form."""
        used = {True: self.configured.compares, False: self.configured.grades}
        return {form.name: template.text for form, template in self._templates.items() if used[form.pair]}

    @property
    def opponent(self) -> str | None:
        """What pairs compare with: a loss, or the reference. None: only single answers are graded."""
        return self.configured.opponent if self.configured.compares else None

    @property
    def sampling(self) -> Sampling:
        """Sampling of a category without a published temperature."""
        return Sampling(temperature=0.7, max_new_tokens=ANSWER_TOKENS)

    def sampling_of(self, question: Question) -> Sampling:
        """Sampling with the published temperature of the question's category."""
        return replace(self.sampling, temperature=TEMPERATURES.get(question.category, self.sampling.temperature))

    def questions(self) -> Sequence[Question]:
        """The questions, those of math, reasoning and coding with reference answers. Raises BenchmarkError."""
        found = read_questions(self.configured.questions)
        given = read_references(self.configured.references) if self.configured.references else {}
        questions = []
        for question in found.values():
            references = given.get(question.id, question.references) if question.category in REFERENCED else ()
            if question.category in REFERENCED:
                _check_references(question, references)
            questions.append(replace(question, references=references))
        return questions

    def requests(self, question: Question, answers: Sequence[Shown], baseline: Shown | None) -> Iterable[JudgeRequest]:
        """A grade of each turn of each answer, and each turn against the opponent's in both orders, as the mode says."""
        for answer in answers:
            for turn in range(1, TURNS + 1):
                if self.configured.grades:
                    yield self._request(question, turn, answer)
                if self.configured.compares and baseline is not None and answer.source != baseline.source:
                    yield self._request(question, turn, answer, baseline)
                    yield self._request(question, turn, baseline, answer)

    def _request(self, question: Question, turn: int, first: Shown, second: Shown | None = None) -> JudgeRequest:
        form = Form(second is not None, bool(question.references), turn)
        shown = (first,) if second is None else (first, second)
        return JudgeRequest(
            question=question.id,
            form=form.name,
            turn=turn,
            messages=self._templates[form].filled(dict(_values(question, shown, turn))),
            first=first.source,
            second=None if second is None else second.source,
            max_tokens=JUDGE_TOKENS,
        )

    def grade(self, request: JudgeRequest, reply: JudgeReply) -> float | None:
        """A rating from 1 to 10, or points of the first answer; None if the reply has neither."""
        return read_rating(reply.text) if request.second is None else read_preference(reply.text)


def _values(question: Question, shown: Sequence[Shown], turn: int) -> Iterator[tuple[str, str]]:
    """The texts for a template, by the names of the published file."""
    for answer in shown:
        if len(answer.turns) != TURNS:
            raise BenchmarkError(
                f"question {question.id} has an answer with {len(answer.turns)} turns, expected {TURNS}: answer both turns"
            )
    names = ("answer",) if len(shown) == 1 else ("answer_a", "answer_b")
    for number in range(1, turn + 1):
        suffix = "" if turn == 1 else f"_{number}"
        yield f"question{suffix}", question.turns[number - 1]
        for name, answer in zip(names, shown, strict=True):
            yield f"{name}{suffix}", answer.turns[number - 1]
        if question.references:
            yield f"ref_answer_{number}", question.references[number - 1]


def _check_references(question: Question, references: Sequence[str]) -> None:
    for turn in range(1, TURNS + 1):
        if len(references) < turn or not references[turn - 1].strip():
            raise BenchmarkError(
                f"question {question.id} ({question.category}) has no reference answer to turn {turn}, which the judge needs in "
                "this category: give a file of reference answers with `references`"
            )
