"""Check of an endpoint with one cheap request: can it be reached, does it accept the key, does it have the model?

The list of models is requested first, at no cost. Only if the list does not answer the question, a reply of one token is requested.
A server that is reached but slow, or still starting, is not a fault: the run itself waits and tries again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from fitness.chat.client import async_client, sdk_error
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.replies.answer import read_answer
from fitness.chat.text import printable

PATIENCE = 10.0
"""Timeout in seconds for the connection, and again for the answer."""
QUESTION = "Reply with the word yes."
LONGEST = Usage(64, 16)
"""Tokens counted for the request if the endpoint does not report its usage."""
SHOWN_MODELS = 8

_UNSETTLED = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.TOO_LONG})
"""Errors on the one-token request that only show that the endpoint works and parsed the request."""
_PASSING = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.SERVER_ERROR})


@dataclass(frozen=True, slots=True)
class Pinged:
    """Result of a check: an error or None, a note or an empty text, and the cost."""

    error: LLMError | None = None
    note: str = ""
    paid: Usage = field(default_factory=Usage)


async def ping(endpoint: Endpoint, *, may_cost: bool) -> Pinged:
    """Check an endpoint. A paid one is asked for a reply only if `may_cost`.

    Raises LLMError if no client can be created (MISSING_PACKAGE, CONFIGURATION).
    """
    client = async_client(endpoint, PATIENCE)
    try:
        return await _ping(client, endpoint, may_cost)
    except _Slow:
        place = endpoint.where.place
        return Pinged(note=f"{place} was reached but did not answer within {PATIENCE:g} s; the run waits for it.")
    finally:
        await client.close()


async def _ping(client: Any, endpoint: Endpoint, may_cost: bool) -> Pinged:
    where = endpoint.where
    offered: list[str] = []
    try:
        offered = _names((await _sent(endpoint, client.models.with_raw_response.list())).content)
    except LLMError as error:
        if error.kind in (ErrorKind.CONNECTION, ErrorKind.UNAUTHORIZED, ErrorKind.QUOTA):
            return Pinged(error)
    if endpoint.model in offered:
        return Pinged()
    if endpoint.paid and not may_cost:
        said = f"lists no model {where.model!r}, only {_shown(offered)}" if offered else "lists no models"
        return Pinged(
            note=f"{where.place} was reached and {said}; to check the model, a reply would have to be paid for."
        )
    request = {"model": endpoint.model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 1}
    prices = endpoint.prices
    try:
        raw = await _sent(endpoint, client.chat.completions.with_raw_response.create(**request))
        answer = read_answer(where, raw.content, raw.headers.get("content-type", ""), prices)
    except LLMError as error:
        if error.kind is ErrorKind.NOT_FOUND and offered:
            remedy = f"set {where.section}.model to one that it offers: {_shown(offered)}"
            return Pinged(LLMError(error.kind, error.message, remedy, status=error.status))
        if error.kind in _PASSING:
            return Pinged(note=f"{error.message}; the run waits for it and tries again.")
        return Pinged() if error.kind in _UNSETTLED else Pinged(error)
    tokens_in = LONGEST.tokens_in if answer.tokens_in is None else answer.tokens_in
    tokens_out = LONGEST.tokens_out if answer.tokens_out is None else answer.tokens_out
    return Pinged(paid=Usage(tokens_in, tokens_out, prices.usd(tokens_in, tokens_out)))


class _Slow(Exception):
    """The endpoint was reached and did not answer in time."""


async def _sent(endpoint: Endpoint, request: Any) -> Any:
    """The response. Raises LLMError, and _Slow if the connection works but no response arrives in time."""
    import openai

    try:
        async with asyncio.timeout(2 * PATIENCE):  # the client's own timeout applies to each read
            return await request
    except TimeoutError:
        raise _Slow from None
    except openai.OpenAIError as error:
        found = sdk_error(endpoint.where, error, PATIENCE)
        if found.kind is ErrorKind.TIMEOUT:
            raise _Slow from None
        raise found from None


def _names(content: bytes) -> list[str]:
    """The names in a list of models; empty if the content is no such list."""
    try:
        listed = json.loads(content)["data"]
        return sorted({str(model["id"]) for model in listed})
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _shown(names: list[str]) -> str:
    return ", ".join(printable(name[:80], keep="") for name in names[:SHOWN_MODELS]) + (
        " ..." if names[SHOWN_MODELS:] else ""
    )
