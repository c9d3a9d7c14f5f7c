"""A fake judge: the server of `loopback_llm` with replies about answers, right or with a fault of judgement.

    with LoopbackJudge(Mode.FIRST, strength=0.3) as judge:
        ...                             # judge.base_url, judge.requests, judge.bodies

    python tests/loopback_judge.py --mode right --port 8124

It reads the answers from the markers of the known prompts (`FORMS`). Its opinion of an answer is a number in [0, 1]: the share
of the reference's words that the answer has, or without a reference the share of praising words among the words of praise and
blame. A test may give another opinion, or other forms.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from loopback_llm import Action, Answer, Fault, LoopbackLLM


class Mode(StrEnum):
    """How the judge judges."""

    RIGHT = "right"
    FIRST = "first"
    """Prefers the answer that is shown first, by `strength`."""
    LONGER = "longer"
    """Prefers longer answers, by `strength` for each doubling of the length."""
    NOISY = "noisy"
    """Adds normal noise of standard deviation `strength` to each opinion; the same request gets the same noise."""
    FAILING = "failing"
    """Answers each request with an error of the server."""
    NONSENSE = "nonsense"
    """Replies without a grade."""
    REFUSING = "refusing"
    COSTLY = "costly"
    """Reports 100,000 tokens in and 50,000 out for each reply."""


@dataclass(frozen=True)
class Seen:
    """What a request shows: the question, the reference (empty: none), and the answers in order."""

    question: str
    reference: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """A kind of prompt: how it is recognised and read, and how opinions are written as a reply."""

    name: str
    recognised: re.Pattern[str]
    """Found in the text of the request's messages."""
    answers: re.Pattern[str]
    """Its group `text` is one answer as the request shows it."""
    reply: Callable[[Sequence[float]], Answer]
    reference: re.Pattern[str] = re.compile(
        r"[\[<]\|?The Start of Reference Answer\|?[\]>]\s*(?P<text>.*?)\s*[\[<]\|?The End of Reference Answer",
        re.S | re.I,
    )
    question: re.Pattern[str] = re.compile(r"\[(?:User )?Question\]\s*(?P<text>.*?)\s*\[The Start", re.S | re.I)

    def read(self, text: str) -> Seen:
        question, reference = self.question.search(text), self.reference.search(text)
        return Seen(
            question["text"] if question else "",
            reference["text"] if reference else "",
            tuple(match["text"] for match in self.answers.finditer(text)),
        )


TIE = 0.02
"""Opinions that are closer than this are a tie, where the form has one."""


def rating(opinions: Sequence[float]) -> Answer:
    """A grade from 1 to 10 as MT-Bench writes it."""
    return Answer(f"It answers the question to some extent. Rating: [[{1 + 9 * min(1.0, max(0.0, opinions[0])):.1f}]]")


def letter(opinions: Sequence[float]) -> Answer:
    """A preference as MT-Bench writes it: [[A]], [[B]], or [[C]] for a tie."""
    first, second = opinions[:2]
    return Answer(f"I compared both. [[{'C' if abs(first - second) < TIE else 'A' if first > second else 'B'}]]")


def ranked_token(opinions: Sequence[float]) -> Answer:
    """A preference as AlpacaEval's weighted annotator writes it: the token m or M, with their log-probabilities."""
    margin = 10 * (opinions[0] - opinions[1])
    odds = {"m": -math.log1p(math.exp(-margin)), "M": -math.log1p(math.exp(margin))}
    return Answer(max(odds, key=odds.__getitem__), alternatives=odds)


_BRACKETED = r"[\[<]\|?The Start of Assistant{}(?:'s| the)[^\]>]*[\]>]\s*(?P<text>.*?)\s*[\[<]\|?The End of Assistant"
_STRING = r'"{}": "(?P<text>(?:[^"\\]|\\.)*)"'
FORMS: tuple[Form, ...] = (
    Form(
        "alpaca-eval and tldr",
        re.compile("model_identifier"),
        re.compile(_STRING.format("output")),
        ranked_token,
        question=re.compile(_STRING.format("(?:instruction|post)")),
    ),
    Form("mt-bench pair", re.compile(r"\[\[C\]\]"), re.compile(_BRACKETED.format(" [AB]"), re.S | re.I), letter),
    Form("mt-bench single", re.compile(r"\[\[\w+\]\]"), re.compile(_BRACKETED.format("(?: A)?"), re.S | re.I), rating),
)
"""Forms of the prompts of MT-Bench, AlpacaEval and TL;DR. Other benchmarks' tests give theirs with `forms`."""

_GOOD = re.compile(r"\b(?:good|great|best|love\w*|excellent|wonderful|enjoy\w*|right|correct|clear)\b", re.I)
_BAD = re.compile(r"\b(?:bad|worst|hate\w*|awful|terrible|boring|wrong|poor|dull)\b", re.I)


def opinion(seen: Seen, answer: str) -> float:
    """The right opinion of an answer, in [0, 1]."""
    wanted = set(re.findall(r"\w+", seen.reference.lower()))
    if wanted:
        return len(wanted & set(re.findall(r"\w+", answer.lower()))) / len(wanted)
    good, bad = len(_GOOD.findall(answer)), len(_BAD.findall(answer))
    return (good + 1) / (good + bad + 2)


class LoopbackJudge(LoopbackLLM):
    """The server with a judge behind it. `usage`: reported tokens of each reply, else one per four characters."""

    def __init__(
        self,
        mode: Mode = Mode.RIGHT,
        *,
        strength: float = 0.3,
        seed: int = 0,
        forms: Sequence[Form] = FORMS,
        opinion: Callable[[Seen, str], float] = opinion,
        usage: Mapping[str, int] | None = None,
        **server: Any,
    ) -> None:
        super().__init__(fallback=self._judge, **server)
        self.mode, self.strength, self.seed = mode, strength, seed
        self._forms, self._opinion, self._usage = tuple(forms), opinion, usage

    def _judge(self, body: dict[str, Any], number: int) -> Action:
        if self.mode is Mode.FAILING:
            return Fault.SERVER_ERROR
        text = "\n".join(str(message["content"]) for message in body["messages"])
        reply = self._reply(text)
        usage = {"prompt_tokens": len(text) // 4 + 1, "completion_tokens": len(reply.text or "") // 4 + 1}
        if self.mode is Mode.COSTLY:
            usage = {"prompt_tokens": 100_000, "completion_tokens": 50_000}
        return Answer(reply.text, usage=self._usage or usage, alternatives=reply.alternatives)

    def _reply(self, text: str) -> Answer:
        if self.mode is Mode.NONSENSE:
            return Answer("Bananas are a fruit, and rivers run to the sea.")
        if self.mode is Mode.REFUSING:
            return Answer("I'm sorry, but I can't help with that.")
        form = next((form for form in self._forms if form.recognised.search(text)), None)
        seen = form.read(text) if form else Seen("", "", ())
        if form is None or not seen.answers:
            return Answer("I see no answer to judge.")
        opinions = [self._opinion(seen, answer) for answer in seen.answers]
        if self.mode is Mode.FIRST and len(opinions) > 1:
            opinions[0] += self.strength
        if self.mode is Mode.LONGER:
            longer = [self.strength * math.log2(1 + len(answer)) for answer in seen.answers]
            middle = max(longer) if len(longer) > 1 else self.strength * 7
            opinions = [value + own - middle for value, own in zip(opinions, longer, strict=True)]
        if self.mode is Mode.NOISY:
            noise = random.Random(f"{self.seed} {text}")
            opinions = [value + noise.gauss(0.0, self.strength) for value in opinions]
        return form.reply(opinions)


def main() -> None:
    """Serves until interrupted. The first printed line is the base URL."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--mode", type=Mode, default=Mode.RIGHT, help=", ".join(Mode))
    parser.add_argument("--strength", type=float, default=0.3, help="of a bias or of the noise")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    options = parser.parse_args()
    server = LoopbackJudge(
        options.mode, strength=options.strength, seed=options.seed, port=options.port, latency=options.latency
    )
    with server, contextlib.suppress(KeyboardInterrupt):
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
