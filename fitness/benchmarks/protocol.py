"""What a benchmark with a judge is: questions to a policy, requests to a judge, and the reading of the judge's replies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from fitness.chat.request import Message
from fitness.task.protocol import TaskError, TaskOptions


class BenchmarkError(TaskError):
    """Data of a benchmark that cannot be used. The message says the file and line, what was expected, what came, and what to do."""


@dataclass(frozen=True)
class Question:
    """One question of a benchmark. All texts come from a data file and are untrusted."""

    id: str
    turns: tuple[str, ...]
    """The user's turns. The policy answers each one, with its earlier answers before it."""
    category: str = ""
    references: tuple[str, ...] = ()
    """Reference answers by turn, or none."""
    system: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the data about the question that its statistics need, for example its difficulty."""


@dataclass(frozen=True)
class Sampling:
    """How a policy writes its answers."""

    temperature: float
    """0 is greedy."""
    max_new_tokens: int
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """Texts at which an answer ends; they are not part of it."""
    samples: int = 1
    """Answers to each question, each with a sampling seed of its own."""


@dataclass(frozen=True)
class Shown:
    """One answer as a judge may see it: `source` is opaque to the benchmark and comes back in its requests."""

    source: int
    turns: tuple[str, ...]


@dataclass(frozen=True)
class JudgeRequest:
    """One request to the judge. Its identity for the cache is everything that is sent, and the judge."""

    question: str
    form: str
    """Name of the prompt's template, as in `Benchmark.forms`."""
    turn: int
    """0: the whole answer."""
    messages: tuple[Message, ...]
    first: int
    second: int | None = None
    max_tokens: int = 2048
    temperature: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of the request, for example `logprobs`."""


@dataclass(frozen=True)
class JudgeReply:
    """The judge's reply: its text, and log-probabilities of the alternatives of its first token if asked for, in nats."""

    text: str
    alternatives: Mapping[str, float] = field(default_factory=dict)


class Benchmark(Protocol):
    """A benchmark with a judge. Made from its options; `questions` reads its data and needs no torch.

    One that compares with answers of its own data may have an attribute `own`, the name of what wrote them, for example `human`.
    The first of a question's `references` is then such an answer: it is recorded, with the question's `facts` as its metrics, as
    an answer of a policy of this name and of kind `outputs`, and has source 0 in requests.

    One that compares policies may have an attribute `opponent`: the loss whose policies all others are compared with, or
    `reference` for the untrained model, which is the default, or None if it compares none. A policy is compared with the opponent
    of its own seed.

    It may have an attribute `notes`, which is read after `questions`: sentences for the user, for example on rows left out.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    options: ClassVar[type[TaskOptions]]

    @property
    def forms(self) -> Mapping[str, str]:
        """Templates of the judge's prompts by name; their hashes are recorded."""

    @property
    def sampling(self) -> Sampling:
        """How the policies write. A benchmark whose questions differ in it overrides `sampling_of`."""

    def sampling_of(self, question: Question) -> Sampling:
        """How the policies answer this question."""

    def questions(self) -> Sequence[Question]:
        """The questions. Raises BenchmarkError with file and line."""

    def requests(self, question: Question, answers: Sequence[Shown], baseline: Shown | None) -> Iterable[JudgeRequest]:
        """All requests about these policies' answers to one question, each pair in both orders.

        `baseline` is the opponent's answer, one of `answers`; None if there is none. An answer of the data itself (a human's
        reference) has source 0.
        """

    def grade(self, request: JudgeRequest, reply: JudgeReply) -> float | None:
        """The grade in the reply, as in `archive.judgements.JudgementRow`; None if there is none."""
