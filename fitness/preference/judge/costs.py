"""What a judge may cost: known from the options alone, before anything is asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fitness.costs import Service, Usage

if TYPE_CHECKING:
    from fitness.preference.options import JudgeEvaluation

LONGEST_TEXT = 12_000
"""Characters of a prompt or an answer that a judge is given."""
CHARACTERS_PER_TOKEN = 3
"""English and code have more."""
FRAME = 250
"""Tokens of a question beside the prompt and the two answers: instructions and JSON."""


def judge_service(key: str, judge: JudgeEvaluation, max_length: int, rungs: Collection[str]) -> Service:
    """The judge's endpoint. `max_length` is the task's, in tokens.

    The worst case of a training is every question in both orders, and two questions that only see whether it is there. A
    token of the trained model counts as two of the judge's. A question that is asked again after an outage comes on top, and
    counts when that happens.
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
