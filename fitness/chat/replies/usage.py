"""Token usage in a response, in any endpoint's form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MOST = 10**12
"""Counts from this number on are treated as mistakes."""

_IN = ("prompt_tokens", "input_tokens", "prompt_eval_count")
_OUT = ("completion_tokens", "output_tokens", "eval_count")
_DIGITS = re.compile(r"\s*\d{1,12}(?:\.0*)?\s*")


def count(value: object) -> int | None:
    """A token count of at least 0, given as an integer, a whole float or a string of digits. None for anything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None


def tokens(body: Mapping[str, object], *, answered: bool) -> tuple[int | None, int | None]:
    """Prompt tokens and reply tokens of a response; None for a count that it does not report.

    A missing count is computed from the total and the other count. Details (cached, reasoning) are parts of the counts. If the
    total exceeds their sum, the rest is reasoning that the reply's count left out, and it is added to the reply. Zero prompt
    tokens, and zero reply tokens of a reply with text (`answered`), count as not reported.
    """
    for place in _places(body):
        tokens_in, tokens_out = _first(place, _IN) or None, _first(place, _OUT)
        tokens_out = None if answered and tokens_out == 0 else tokens_out
        total = count(place.get("total_tokens"))
        if total is not None and tokens_in is not None and total > tokens_in + (tokens_out or 0):
            tokens_out = total - tokens_in
        elif total is not None and tokens_in is None and tokens_out is not None and total > tokens_out:
            tokens_in = total - tokens_out
        if tokens_in is not None or tokens_out is not None:
            return tokens_in, tokens_out
    return None, None


def _places(body: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Objects that may hold the usage: `usage`, Groq's `x_groq.usage`, or the body itself (Ollama)."""
    groq = body.get("x_groq")
    for place in (body.get("usage"), groq.get("usage") if isinstance(groq, Mapping) else None, body):
        if isinstance(place, Mapping):
            yield place


def _first(counts: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := count(counts.get(name))) is not None), None)
