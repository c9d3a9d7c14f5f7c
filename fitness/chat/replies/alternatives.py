"""Log-probabilities of the alternatives of a reply's first token, as OpenAI's protocol has them (`logprobs`, `top_logprobs`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MOST = 20
"""Most alternatives that are read: the largest `top_logprobs` of the protocol."""
_LONGEST = 200
"""Most characters of a token."""


def first_token_alternatives(choice: Mapping[str, Any]) -> dict[str, float]:
    """Alternatives of the first token and their log-probabilities in nats; empty if the choice has none, or not in this form."""
    found: Any = choice
    for key in ("logprobs", "content"):
        found = found.get(key) if isinstance(found, Mapping) else None
    first = found[0] if isinstance(found, list) and found else None
    listed = first.get("top_logprobs") if isinstance(first, Mapping) else None
    alternatives: dict[str, float] = {}
    for entry in listed[:MOST] if isinstance(listed, list) else ():
        token, value = (entry.get("token"), entry.get("logprob")) if isinstance(entry, Mapping) else (None, None)
        if not isinstance(token, str) or len(token) > _LONGEST:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value <= 0:
            alternatives.setdefault(token.encode("utf-8", "replace").decode(), float(value))
    return alternatives
