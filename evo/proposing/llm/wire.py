"""A request for a proposal as the keyword arguments of OpenAI's chat completions.

Endpoints agree on the outline of this protocol and on little else. What one of them does not take is a `Concession`,
read off its refusal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from evo.proposing.reply.reply import MAX_NAME, MAX_THOUGHT, ReplyFormat
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import ErrorKind, LLMError
from fitness.chat.refusals import refuses_system

REPLY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "thought": {
            "type": "string",
            "description": f"the hypothesis this loss tests, in two to five sentences, below {MAX_THOUGHT} characters",
        },
        "name": {"type": "string", "description": f"a short snake_case name, below {MAX_NAME} characters"},
        "code": {"type": "string", "description": "the Python source of the one loss function, without a code fence"},
    },
    "required": ["thought", "name", "code"],
    "additionalProperties": False,
}
"""What a structured reply must look like; `thought` comes first so that the model thinks before it writes code."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Concession(StrEnum):
    """What an endpoint turned out not to take, by the name of the request's parameter or part."""

    RESPONSE_FORMAT = "response_format"
    MAX_TOKENS = "max_tokens"
    TEMPERATURE = "temperature"
    SEED = "seed"
    SYSTEM = "system message"


Concessions = frozenset[Concession]

CONCEDED = {
    Concession.RESPONSE_FORMAT: "asking for fenced code instead of enforced JSON",
    Concession.MAX_TOKENS: "sending max_completion_tokens instead of max_tokens",
    Concession.TEMPERATURE: "leaving the temperature to the model",
    Concession.SEED: "sending no seed",
    Concession.SYSTEM: "beginning the user's first message with its words",
}
"""What is done instead, for the log."""

_FORMAT_WORDS = re.compile(r"response_format|json_schema|structured output|grammar|guided")


def format_after(conceded: Concessions) -> ReplyFormat:
    """How replies are asked for, given what the endpoint does not take."""
    return ReplyFormat.FENCED if Concession.RESPONSE_FORMAT in conceded else ReplyFormat.JSON


def without_system(messages: Sequence[Message]) -> Sequence[Message]:
    """`messages` with the words of the system's at the beginning of the user's first one."""
    if len(messages) < 2 or (messages[0].role, messages[1].role) != ("system", "user"):
        return messages
    return [Message("user", f"{messages[0].content}\n\n{messages[1].content}"), *messages[2:]]


def request_arguments(
    endpoint: Endpoint,
    messages: Sequence[Message],
    conceded: Concessions,
    temperature: float,
    seed: int | None,
) -> dict[str, Any]:
    """The keyword arguments of `chat.completions.create`."""
    request: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
    }
    limit = "max_completion_tokens" if Concession.MAX_TOKENS in conceded else "max_tokens"
    request[limit] = endpoint.max_tokens
    if Concession.TEMPERATURE not in conceded:
        request["temperature"] = temperature
    if Concession.SEED not in conceded and seed is not None:
        request["seed"] = seed
    if Concession.RESPONSE_FORMAT not in conceded:
        schema = {"name": "loss_proposal", "strict": True, "schema": REPLY_SCHEMA}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def concession_for(error: LLMError, conceded: Concessions, seed: int | None) -> Concession | None:
    """What to do without so that a refused request may pass, or None where the refusal is about something else.

    A refusal that names nothing is taken to mean `response_format`, the parameter that endpoints most often lack.
    """
    if Concession.SYSTEM not in conceded and refuses_system(error):
        return Concession.SYSTEM
    if error.kind is ErrorKind.SERVER_ERROR:  # some servers fail where their JSON grammar compiler does
        names_format = _FORMAT_WORDS.search(error.said.lower()) and Concession.RESPONSE_FORMAT not in conceded
        return Concession.RESPONSE_FORMAT if names_format else None
    if error.kind is not ErrorKind.BAD_REQUEST:
        return None
    open_to = [c for c in Concession if c not in conceded and (c is not Concession.SEED or seed is not None)]
    words = error.said.lower()
    if Concession.RESPONSE_FORMAT in open_to and _FORMAT_WORDS.search(words):
        return Concession.RESPONSE_FORMAT
    for concession in (Concession.MAX_TOKENS, Concession.TEMPERATURE, Concession.SEED):
        if concession in open_to and re.search(rf"\b{concession}\b", words):
            return concession
    return Concession.RESPONSE_FORMAT if Concession.RESPONSE_FORMAT in open_to else None
