"""Upper bound on a judge's cost, from the options alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fitness.chat.costs import Service, Usage

if TYPE_CHECKING:
    from fitness.preference.options import JudgeEvaluation

LONGEST_TEXT = 12_000
"""Most characters of a prompt or an answer in a request to the judge; the rest is cut."""
CHARACTERS_PER_TOKEN = 3
"""A low estimate: English and code have more."""
FRAME = 250
"""Tokens of a question without the prompt and the two answers: instructions and JSON."""


def judge_service(key: str, judge: JudgeEvaluation, max_length: int, rungs: Collection[str]) -> Service:
    """The judge's endpoint with its worst-case usage per training. `max_length` is the task's, in tokens.

    The worst case is every question in both orders, and two availability checks. A token of the trained model counts as two
    tokens of the judge. Questions repeated after an outage are not included; they are counted when they occur.
    """
    theirs = max_length if judge.opponent == "chosen" else judge.max_new_tokens
    longest = LONGEST_TEXT // CHARACTERS_PER_TOKEN
    texts = sum(min(2 * tokens, longest) for tokens in (max_length, judge.max_new_tokens, theirs))
    questions = 2 * judge.prompts + 2
    tokens_in, tokens_out = questions * (FRAME + texts), questions * judge.max_tokens
    return Service(
        key=key,
        base_url=judge.base_url,
        model=judge.model,
        key_variable=judge.api_key_env,
        prices=judge.prices,
        rungs=tuple(rungs),
        worst_case=Usage(tokens_in, tokens_out, judge.prices.usd(tokens_in, tokens_out)),
    )
