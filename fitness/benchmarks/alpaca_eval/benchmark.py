"""AlpacaEval 2.0 as a benchmark: its questions, and the judge's comparisons with the baseline and the reference model.

Li et al. 2023 and Dubois et al. 2024 (arXiv 2404.04475): 805 instructions, the baseline's outputs are GPT-4 turbo's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from fitness.benchmarks import comparing
from fitness.benchmarks.alpaca_eval.files import Output, generators, joined, read_gamed, read_outputs
from fitness.benchmarks.alpaca_eval.options import AlpacaEvalOptions
from fitness.benchmarks.alpaca_eval.prompts import PAIR
from fitness.benchmarks.protocol import BenchmarkError, JudgeReply, JudgeRequest, Question, Sampling, Shown
from fitness.task.protocol import TaskOptions

SECTION = "alpaca-eval"


class AlpacaEval:
    """The benchmark `alpaca-eval`."""

    name: ClassVar[str] = "alpaca-eval"
    title: ClassVar[str] = "AlpacaEval 2.0"
    options: ClassVar[type[TaskOptions]] = AlpacaEvalOptions

    def __init__(self, settings: AlpacaEvalOptions) -> None:
        self.settings = settings

    @cached_property
    def _template(self) -> str:
        return comparing.template_of(self.settings.prompt, PAIR)

    @cached_property
    def outputs(self) -> Sequence[Output]:
        """The instructions with the baseline's outputs, in the order of the file. Raises BenchmarkError."""
        settings, key = self.settings, f"{SECTION}.instructions"
        name, rows = settings.instructions, read_outputs(settings.instructions, key)
        if settings.baseline is not None:
            key, name = f"{SECTION}.baseline", settings.baseline
            rows = joined(rows, read_outputs(name, key), key, name)
        rows = rows[: settings.limit]
        for number, row in enumerate(rows, start=1):
            if "data" in settings.against and row.output is None:
                raise BenchmarkError(
                    f"{key}: row {number} of {name} has no output of the baseline; give the baseline's outputs in "
                    f"{SECTION}.baseline, or set {SECTION}.against=[reference]"
                )
        return rows

    @property
    def own(self) -> str:
        """Name of the model that wrote the baseline's outputs."""
        return generators(self.outputs)

    @property
    def forms(self) -> Mapping[str, str]:
        """The judge's prompt."""
        return {comparing.FORM: self._template}

    @property
    def sampling(self) -> Sampling:
        """As in the experiments of Lu et al. 2024: temperature 0.7, up to 1,024 tokens."""
        return comparing.sampling(self.settings, self.settings.max_new_tokens)

    def sampling_of(self, question: Question) -> Sampling:
        """The same for all questions."""
        return self.sampling

    def questions(self) -> Sequence[Question]:
        """One question for each instruction; its id is the row's number from 0, as in alpaca_eval. Raises BenchmarkError."""
        _ = self._template
        rows, gamed = self.outputs, self.settings.gamed
        # The file of gamed baselines is about the whole set, also where only its beginning is used.
        facts: list[dict[str, float]] = [{}] * len(rows)
        if gamed is not None:
            whole = read_outputs(self.settings.instructions, f"{SECTION}.instructions")
            facts = read_gamed(gamed, f"{SECTION}.gamed", len(whole))
        return [
            Question(
                str(index),
                (row.instruction,),
                category=row.dataset,
                references=(row.output,) if row.output is not None else (),
                facts=facts[index],
            )
            for index, row in enumerate(rows)
        ]

    def requests(self, question: Question, answers: Sequence[Shown], baseline: Shown | None) -> Iterable[JudgeRequest]:
        """Each answer against the baseline's output (source 0), and against the reference model's answer."""
        own = question.references[0] if question.references else None
        pairs = comparing.opponents(self.settings, answers, own, baseline)
        return comparing.requests(self.settings, self._template, question, question.turns[0], pairs)

    def grade(self, request: JudgeRequest, reply: JudgeReply) -> float | None:
        """Points of the first answer."""
        return comparing.grade(reply)
