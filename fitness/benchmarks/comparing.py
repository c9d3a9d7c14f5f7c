"""Comparison of two answers by a judge that replies with the identifier of the better one, m or M.

The form of AlpacaEval's weighted annotators (Dubois et al. 2024, arXiv 2404.04475). Where the endpoint gives the log-probabilities
of the first token, the points of the first answer are P(m) / (P(m) + P(M)), a number in [0, 1]; otherwise they are 1, 0, or one
half for a tie. Judges prefer the answer in first position more often than chance, so each pair is shown in both orders, unless
the published single random order is chosen.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from fitness.benchmarks.protocol import BenchmarkError, JudgeReply, JudgeRequest, Question, Sampling, Shown
from fitness.chat.replies.reasoning import without_reasoning
from fitness.chat.request import Message
from fitness.preference.options import LocalPath
from fitness.task.protocol import TaskOptions

FIRST, SECOND = "m", "M"
"""Identifiers of the answers, as published. They are single tokens of most vocabularies, and no order is read into them."""
FORM = "pair"
"""Name of the judge's prompt in the record."""
LEAST_MASS = 0.5
"""Smallest P(m) + P(M) at which the first token is an identifier. Below it, the reply's text is read instead."""
ALTERNATIVES = 5
"""Log-probabilities asked for, as published."""
OWN = 0
"""Source of an answer that is part of the benchmark's data."""

_SLOTS = ("instruction", "output_1", "output_2")
_SLOT = re.compile(rf"\{{(?P<name>{'|'.join(_SLOTS)})(?P<json>:json)?\}}")
_TURN = re.compile(r"<\|im_start\|>(?P<role>\w+)\n(?P<text>.*?)\s*<\|im_end\|>", re.DOTALL)
_ROLES = ("system", "user", "assistant")
_WRAPPING = " \t\r\n\"'`*.:()[]{}"
_TIES = ("tie", "draw", "both", "equal")


class ComparingOptions(TaskOptions):
    """Options of a benchmark whose judge compares two answers."""

    against: tuple[Literal["data", "reference"], ...] = Field(
        ("data", "reference"),
        min_length=1,
        description="opponents: the data's own answers, and those of the untrained reference model",
    )
    orders: Literal["both", "random"] = Field(
        "both", description="order of the two answers: both, or one random order for each question, as published"
    )
    order_seed: int = Field(0, ge=0, description="seed of the random order")
    logprobs: bool = Field(
        True, description="ask for the log-probabilities of the judge's first token, for a preference between 0 and 1"
    )
    max_tokens: int = Field(8, ge=1, description="longest reply of the judge, tokens; a judge that reasons needs more")
    prompt: LocalPath | None = Field(
        None,
        description="file with another prompt for the judge, for example the published one; null: the built-in one",
    )
    limit: int | None = Field(None, ge=1, description="use the first questions only; null: all")
    temperature: float = Field(0.7, ge=0, description="sampling temperature of the policies; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling of the policies")


def template_of(path: Path | None, built_in: str) -> str:
    """The judge's prompt: the file's text, or the built-in one. Raises BenchmarkError if it cannot be used."""
    if path is None:
        return built_in
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"cannot read the judge's prompt {path} ({error}); give a text file in UTF-8") from None
    found = {slot["name"] for slot in _SLOT.finditer(text)}
    if missing := [f"{{{name}}}" for name in _SLOTS if name not in found]:
        raise BenchmarkError(
            f"the judge's prompt {path} has no {' and no '.join(missing)}; each stands where that text is put in"
        )
    if unknown := [turn["role"] for turn in _TURN.finditer(text) if turn["role"] not in _ROLES]:
        raise BenchmarkError(f"the judge's prompt {path} has a turn of {unknown[0]!r}; expected {', '.join(_ROLES)}")
    return text


def messages(template: str, instruction: str, first: str, second: str) -> tuple[Message, ...]:
    """The prompt about two answers. Turns between `<|im_start|>` and `<|im_end|>` become messages; other text is one of the user.

    `{output_1}` is replaced by the text as it is, `{output_1:json}` by a JSON string, from which no answer can break out. A text
    that is put in is not searched again.
    """
    texts = dict(zip(_SLOTS, (instruction, first, second), strict=True))

    def filled(text: str) -> str:
        return _SLOT.sub(lambda slot: json.dumps(texts[slot["name"]]) if slot["json"] else texts[slot["name"]], text)

    turns = [(cast(Any, turn["role"]), turn["text"]) for turn in _TURN.finditer(template)]
    return tuple(Message(role, filled(text)) for role, text in turns or [("user", template.strip())])


def sampling(options: ComparingOptions, max_new_tokens: int, stop: tuple[str, ...] = ()) -> Sampling:
    """How the policies write."""
    return Sampling(options.temperature, max_new_tokens, options.top_p, stop)


def opponents(
    options: ComparingOptions, answers: Sequence[Shown], own: str | None, baseline: Shown | None
) -> Iterator[tuple[Shown, Shown]]:
    """The pairs (answer, opponent's answer) of one question; `own` is the data's answer."""
    others = {shown.source: shown for shown in (*answers, *((baseline,) if baseline else ()))}
    if "data" in options.against and own is not None:
        yield from ((shown, Shown(OWN, (own,))) for shown in others.values())
    if "reference" in options.against and baseline is not None:
        yield from ((shown, baseline) for shown in others.values() if shown.source != baseline.source)


def requests(
    options: ComparingOptions, template: str, question: Question, instruction: str, pairs: Iterable[tuple[Shown, Shown]]
) -> Iterator[JudgeRequest]:
    """The requests about pairs of answers to one question, in both orders or in the random one."""
    extra: Mapping[str, Any] = {"logprobs": True, "top_logprobs": ALTERNATIVES} if options.logprobs else {}
    for ours, theirs in pairs:
        for first, second in _orders(options, question, ours, theirs):
            shown = messages(template, instruction, first.turns[0], second.turns[0])
            yield JudgeRequest(
                question.id, FORM, 0, shown, first.source, second.source, max_tokens=options.max_tokens, extra=extra
            )


def _orders(options: ComparingOptions, question: Question, ours: Shown, theirs: Shown) -> list[tuple[Shown, Shown]]:
    if options.orders == "both":
        return [(ours, theirs), (theirs, ours)]
    # The same for all policies, so that differences between them have no noise of the order.
    turned = hashlib.sha256(f"{options.order_seed} {question.id}".encode()).digest()[0] % 2
    return [(theirs, ours) if turned else (ours, theirs)]


def grade(reply: JudgeReply) -> float | None:
    """Points of the first answer in [0, 1]; None if the reply names no identifier."""
    mass = {FIRST: 0.0, SECOND: 0.0}
    for token, logprob in reply.alternatives.items():
        if (name := token.strip()) in mass and not math.isnan(logprob):
            mass[name] += math.exp(min(logprob, 0.0))
    total = sum(mass.values())
    return mass[FIRST] / total if total >= LEAST_MASS else _named(reply.text)


def _named(text: str) -> float | None:
    """The identifier that is the whole reply, or its last line; a reply that only mentions one has no grade."""
    answer = without_reasoning(text)
    lines = [line.strip(_WRAPPING) for line in (answer or "").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return {FIRST: 1.0, SECOND: 0.0}.get(last, 0.5 if last.lower() in _TIES else None)
