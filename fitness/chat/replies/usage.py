"""How many tokens an answer is charged with, in whatever form its endpoint tells that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MOST = 10**12
"""Tokens beyond which a count is taken for a mistake."""

_IN = ("prompt_tokens", "input_tokens", "prompt_eval_count")
_OUT = ("completion_tokens", "output_tokens", "eval_count")
_DIGITS = re.compile(r"\s*\d{1,12}(?:\.0*)?\s*")


def count(value: object) -> int | None:
    """A number of tokens: a whole number of at least 0, as an integer, a float or in digits. None for anything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None


def tokens(body: Mapping[str, object], *, answered: bool) -> tuple[int | None, int | None]:
    """Prompt and reply tokens of an answer; None for what it does not tell.

    A count of one of them follows from the total and the other. Details (cached, reasoning) are parts of the counts; where the
    total is larger than both, the rest is reasoning that was left out of the reply's tokens and is charged with them. No prompt
    has 0 tokens, and no reply that is there (`answered`): such zeros tell nothing.
    """
    for told in _places(body):
        tokens_in, tokens_out = _first(told, _IN) or None, _first(told, _OUT)
        tokens_out = None if answered and tokens_out == 0 else tokens_out
        total = count(told.get("total_tokens"))
        if total is not None and tokens_in is not None and total > tokens_in + (tokens_out or 0):
            tokens_out = total - tokens_in
        elif total is not None and tokens_in is None and tokens_out is not None and total > tokens_out:
            tokens_in = total - tokens_out
        if tokens_in is not None or tokens_out is not None:
            return tokens_in, tokens_out
    return None, None


def _places(body: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Where usage may stand: in its own object, in Groq's, or beside the message as Ollama has it."""
    groq = body.get("x_groq")
    for place in (body.get("usage"), groq.get("usage") if isinstance(groq, Mapping) else None, body):
        if isinstance(place, Mapping):
            yield place


def _first(told: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := count(told.get(name))) is not None), None)
