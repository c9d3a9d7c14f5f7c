"""TL;DR as a benchmark: posts, and the judge's comparisons with a person's summary and with the reference model's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import ClassVar

from fitness.benchmarks import comparing
from fitness.benchmarks.protocol import JudgeReply, JudgeRequest, Question, Sampling, Shown
from fitness.benchmarks.tldr.files import MARK, Posts, read_posts, without_mark
from fitness.benchmarks.tldr.options import TldrOptions
from fitness.benchmarks.tldr.prompts import PAIR
from fitness.task.protocol import TaskOptions


class Tldr:
    """The benchmark `tldr`."""

    name: ClassVar[str] = "tldr"
    title: ClassVar[str] = "TL;DR summarisation"
    options: ClassVar[type[TaskOptions]] = TldrOptions
    own: ClassVar[str] = "human"

    def __init__(self, settings: TldrOptions) -> None:
        self.settings = settings

    @cached_property
    def _template(self) -> str:
        return comparing.template_of(self.settings.prompt, PAIR)

    @cached_property
    def posts(self) -> Posts:
        """The posts of the data, and how many rows were left out. Raises BenchmarkError."""
        return read_posts(self.settings.posts, self.settings.split)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on rows that were left out."""
        return tuple(f"TL;DR leaves out {count} {reason}." for reason, count in self.posts.left_out.items())

    @property
    def forms(self) -> Mapping[str, str]:
        """The judge's prompt."""
        return {comparing.FORM: self._template}

    @property
    def sampling(self) -> Sampling:
        """A summary ends with its paragraph, or before the model begins another post."""
        return comparing.sampling(self.settings, self.settings.max_new_tokens, self.settings.stop)

    def sampling_of(self, question: Question) -> Sampling:
        """The same for all posts."""
        return self.sampling

    def questions(self) -> Sequence[Question]:
        """One question for each post. Raises BenchmarkError."""
        _ = self._template
        posts = islice(self.posts.summaries.items(), self.settings.limit)
        return [Question(str(index), (prompt,), references=(summary,)) for index, (prompt, summary) in enumerate(posts)]

    def requests(self, question: Question, answers: Sequence[Shown], baseline: Shown | None) -> Iterable[JudgeRequest]:
        """Each summary against the person's (source 0), and against the reference model's."""
        pairs = comparing.opponents(self.settings, answers, question.references[0], baseline)
        bare = (tuple(Shown(shown.source, (without_mark(shown.turns[0]),)) for shown in pair) for pair in pairs)
        post = question.turns[0].removesuffix(MARK).rstrip()
        return comparing.requests(
            self.settings, self._template, question, post, ((ours, theirs) for ours, theirs in bare)
        )

    def grade(self, request: JudgeRequest, reply: JudgeReply) -> float | None:
        """Points of the first summary."""
        return comparing.grade(reply)
