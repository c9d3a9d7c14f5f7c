"""One cheap request to an endpoint: is it there, does it take the key, does it know the model?

The list of models is asked for first, which costs nothing. Only where it does not settle the matter, one token of a reply
is. A server that was reached and is slow, or says that it is starting, is no fault: the run itself waits and tries again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from fitness.chat.client import async_client, sdk_error
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.replies.answer import read_answer
from fitness.chat.text import printable
from fitness.costs import Usage

PATIENCE = 10.0
"""Seconds to connect, and then to answer."""
QUESTION = "Reply with the word yes."
LONGEST = Usage(64, 16)
"""Tokens that the request for a reply counts with where the endpoint does not tell."""
SHOWN_MODELS = 8

_UNSETTLED = frozenset({ErrorKind.BAD_REQUEST, ErrorKind.TOO_LONG})
"""Answers to the request for one token that say no more than that somebody is there who reads it."""
_PASSING = frozenset({ErrorKind.RATE_LIMIT, ErrorKind.SERVER_ERROR})


@dataclass(frozen=True, slots=True)
class Pinged:
    """What came of it: an error, or perhaps a note; and what it cost."""

    error: LLMError | None = None
    note: str = ""
    paid: Usage = field(default_factory=Usage)


async def ping(endpoint: Endpoint, *, may_cost: bool) -> Pinged:
    """Try an endpoint. A paid one is asked for a reply only where it `may_cost`. Raises LLMError where no client can be
    made (MISSING_PACKAGE, CONFIGURATION).
    """
    client = async_client(endpoint, PATIENCE)
    try:
        return await _ping(client, endpoint, may_cost)
    except _Slow:
        place = endpoint.where.place
        return Pinged(note=f"{place} is there and has not answered within {PATIENCE:g} s; the run waits for it.")
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
            note=f"{where.place} is there and {said}; whether it knows the model would cost a reply to find out."
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
    """Connected, and no answer in time."""


async def _sent(endpoint: Endpoint, request: Any) -> Any:
    """The response. Raises LLMError, and _Slow where the connection stands and nothing comes."""
    import openai

    try:
        async with asyncio.timeout(2 * PATIENCE):  # the client's own bounds each read alone
            return await request
    except TimeoutError:
        raise _Slow from None
    except openai.OpenAIError as error:
        found = sdk_error(endpoint.where, error, PATIENCE)
        if found.kind is ErrorKind.TIMEOUT:
            raise _Slow from None
        raise found from None


def _names(content: bytes) -> list[str]:
    """The models in a list of them; empty for whatever is no such list."""
    try:
        listed = json.loads(content)["data"]
        return sorted({str(model["id"]) for model in listed})
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _shown(names: list[str]) -> str:
    return ", ".join(printable(name[:80], keep="") for name in names[:SHOWN_MODELS]) + (
        " ..." if names[SHOWN_MODELS:] else ""
    )
