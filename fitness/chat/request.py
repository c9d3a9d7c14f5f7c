"""Requests for chat completions: keyword arguments of OpenAI's SDK, without the parameters that an endpoint does not accept.

Endpoints agree on the outline of this protocol and on little else. A parameter that an endpoint does not accept is recognised
from its error message and recorded as a `Concession`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.replies.refusals import refuses_system


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


def tokens_bound(messages: Sequence[Message]) -> int:
    """An upper bound on the tokens of messages in English and code: one per three characters."""
    return sum(len(message.content) // 3 + 8 for message in messages)


class Concession(StrEnum):
    """A parameter or part of a request that an endpoint does not accept."""

    RESPONSE_FORMAT = "response_format"
    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    TEMPERATURE = "temperature"
    SEED = "seed"
    SYSTEM = "system message"
    EXTRA_BODY = "extra_body"
    REASONING_EFFORT = "reasoning_effort"


Concessions = frozenset[Concession]

CONCEDED = {
    Concession.RESPONSE_FORMAT: "asking for fenced code instead of enforced JSON",
    Concession.MAX_TOKENS: "sending max_completion_tokens instead of max_tokens",
    Concession.MAX_COMPLETION_TOKENS: "sending no bound on the length of replies",
    Concession.TEMPERATURE: "leaving the temperature to the model",
    Concession.SEED: "sending no seed",
    Concession.SYSTEM: "beginning the user's first message with its words",
    Concession.EXTRA_BODY: "sending no further fields",
    Concession.REASONING_EFFORT: "leaving the effort to the model",
}
"""The replacement for each concession, for the log."""

_NAMED = {
    Concession.MAX_TOKENS: re.compile(r"\bmax_(?:completion_)?tokens\b"),
    Concession.MAX_COMPLETION_TOKENS: re.compile(r"\bmax_completion_tokens\b"),
    Concession.TEMPERATURE: re.compile(r"\btemperature\b"),
    Concession.SEED: re.compile(r"\bseed\b"),
    Concession.REASONING_EFFORT: re.compile(r"\breasoning(?:_effort)?\b"),
}
_FORMAT_WORDS = re.compile(r"response_format|json_schema|structured output|grammar|guided")


def request_arguments(
    endpoint: Endpoint,
    messages: Sequence[Message],
    conceded: Concessions,
    *,
    temperature: float,
    seed: int | None,
    response_format: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The keyword arguments of `chat.completions.create`, without those in `conceded`."""
    request: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
    }
    if Concession.MAX_TOKENS not in conceded:
        request["max_tokens"] = endpoint.max_tokens
    elif Concession.MAX_COMPLETION_TOKENS not in conceded:
        request["max_completion_tokens"] = endpoint.max_tokens
    if Concession.TEMPERATURE not in conceded:
        request["temperature"] = temperature
    if Concession.SEED not in conceded and seed is not None:
        request["seed"] = seed
    if Concession.RESPONSE_FORMAT not in conceded and response_format is not None:
        request["response_format"] = response_format
    if Concession.REASONING_EFFORT not in conceded and endpoint.reasoning_effort is not None:
        request["reasoning_effort"] = endpoint.reasoning_effort
    if Concession.EXTRA_BODY not in conceded and endpoint.extra_body:
        request["extra_body"] = dict(endpoint.extra_body)
    return request


def as_taken(messages: Sequence[Message], conceded: Concessions) -> Sequence[Message]:
    """`messages`; if system messages are not accepted, the system text is put before the first user message."""
    if (
        Concession.SYSTEM not in conceded
        or len(messages) < 2
        or (messages[0].role, messages[1].role) != ("system", "user")
    ):
        return messages
    return [Message("user", f"{messages[0].content}\n\n{messages[1].content}"), *messages[2:]]


def optional(endpoint: Endpoint) -> Concessions:
    """The parts of a request to this endpoint that are sent only because the configuration asks for them."""
    asked = {
        Concession.EXTRA_BODY: bool(endpoint.extra_body),
        Concession.REASONING_EFFORT: endpoint.reasoning_effort is not None,
    }
    return frozenset(concession for concession, sent in asked.items() if sent)


def concession_for(
    error: LLMError, conceded: Concessions, possible: Concessions, fields: Collection[str] = ()
) -> Concession | None:
    """The part of a refused request to leave out in the next try, out of `possible`; None if the refusal has another cause.

    `fields`: names of the fields of `extra_body`. A refusal that names no parameter is taken to mean one that endpoints often lack:
    the further fields, else `response_format`.
    """
    left = possible - conceded
    if Concession.SYSTEM in left and refuses_system(error):
        return Concession.SYSTEM
    words = error.said.lower()
    about_format = Concession.RESPONSE_FORMAT in left and _FORMAT_WORDS.search(words)
    if error.kind is ErrorKind.SERVER_ERROR:  # some servers fail where their JSON grammar compiler does
        return Concession.RESPONSE_FORMAT if about_format else None
    if error.kind is not ErrorKind.BAD_REQUEST:
        return None
    if about_format:
        return Concession.RESPONSE_FORMAT
    if Concession.EXTRA_BODY in left and any(field.lower() in words for field in fields):
        return Concession.EXTRA_BODY
    named = (concession for concession, name in _NAMED.items() if concession in left and name.search(words))
    unnamed = (c for c in (Concession.EXTRA_BODY, Concession.RESPONSE_FORMAT) if c in left)
    return next(named, next(unnamed, None))
