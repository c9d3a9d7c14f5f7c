"""OpenAI's chat completions on the wire: the request as keyword arguments, the response as bytes.

Endpoints agree on the outline of this protocol and on little else. What one of them does not take is a `Concession`,
read off its refusal; what it answers is read leniently, and never trusted to have the documented types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Literal

from evo.endpoint import Endpoint
from evo.llm_errors import ErrorKind, LLMError, Where, kind_of_status
from evo.reply import MAX_NAME, MAX_THOUGHT, ReplyFormat, printable
from fitness.costs import Prices

MAX_RESPONSE = 8 * 1024 * 1024
"""Bytes of an HTTP response beyond which it is not read as a completion."""

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
    """What an endpoint turned out not to take, by the name of the request's parameter."""

    RESPONSE_FORMAT = "response_format"
    MAX_TOKENS = "max_tokens"
    TEMPERATURE = "temperature"
    SEED = "seed"


Concessions = frozenset[Concession]

CONCEDED = {
    Concession.RESPONSE_FORMAT: "asking for fenced code instead of enforced JSON",
    Concession.MAX_TOKENS: "sending max_completion_tokens instead of max_tokens",
    Concession.TEMPERATURE: "leaving the temperature to the model",
    Concession.SEED: "sending no seed",
}
"""What is done instead, for the log."""

_FORMAT_WORDS = re.compile(r"response_format|json_schema|structured output|grammar|guided")


def format_after(conceded: Concessions) -> ReplyFormat:
    """How replies are asked for, given what the endpoint does not take."""
    return ReplyFormat.FENCED if Concession.RESPONSE_FORMAT in conceded else ReplyFormat.JSON


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
    if error.kind is ErrorKind.SERVER_ERROR:  # some servers fail where their JSON grammar compiler does
        names_format = _FORMAT_WORDS.search(error.message.lower()) and Concession.RESPONSE_FORMAT not in conceded
        return Concession.RESPONSE_FORMAT if names_format else None
    if error.kind is not ErrorKind.BAD_REQUEST:
        return None
    open_to = [c for c in Concession if c not in conceded and (c is not Concession.SEED or seed is not None)]
    words = error.message.lower()
    if Concession.RESPONSE_FORMAT in open_to and _FORMAT_WORDS.search(words):
        return Concession.RESPONSE_FORMAT
    for concession in (Concession.MAX_TOKENS, Concession.TEMPERATURE, Concession.SEED):
        if concession in open_to and re.search(rf"\b{concession}\b", words):
            return concession
    return Concession.RESPONSE_FORMAT if Concession.RESPONSE_FORMAT in open_to else None


def status_error(where: Where, status: int, body: object, headers: Mapping[str, str]) -> LLMError:
    """The error behind an HTTP status of 400 and above."""
    words = _words(body)
    kind = kind_of_status(status, words)
    said = f": {where.quote(words)}" if words.strip() else ""
    message = f"{where.place} answered {status}{said}"
    if kind is ErrorKind.NOT_FOUND:
        message = f"{where.place} knows no model {where.model!r} (404{said})"
    return LLMError.at(where, kind, message, status=status, retry_after=_retry_after(headers))


def _words(body: object) -> str:
    """What an error's body says, whichever of the usual shapes it has."""
    if isinstance(body, Mapping):
        for key in ("message", "detail", "error"):
            if body.get(key):
                return _words(body[key])
    if isinstance(body, str):
        return "(a web page)" if body.lstrip().startswith("<") else body
    return "" if body is None else json.dumps(body, default=str)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait in seconds that the endpoint asks for, given in milliseconds, seconds or as a date; None where it is not."""
    milliseconds, seconds = headers.get("retry-after-ms"), headers.get("retry-after")
    for text, unit in ((milliseconds, 1e-3), (seconds, 1.0)):
        if text and re.fullmatch(r"\s*\d{1,12}(\.\d{0,9})?\s*", text):
            return float(text) * unit
    try:
        date = parsedate_to_datetime(seconds) if seconds else None
    except ValueError:
        return None
    if date is None:
        return None
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response of status 200 says."""

    text: str
    model: str | None
    finish_reason: str | None
    tokens_in: int | None
    tokens_out: int | None


def read_answer(where: Where, content: bytes, content_type: str, prices: Prices) -> Answer:
    """The first choice of a completion. Raises LLMError (MALFORMED, or what an error object within it says)."""
    if len(content) > MAX_RESPONSE:
        raise LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with {len(content)} bytes")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        kind = printable(content_type)[:60] or "no content type"
        raise LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with broken JSON ({kind})") from None
    if not isinstance(body, dict):
        raise LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with JSON that is no completion")
    if isinstance(body.get("error"), dict) and not body.get("choices"):  # some gateways report errors with status 200
        code = _count(body["error"].get("code"))
        raise status_error(where, code if code and 400 <= code < 600 else 500, body["error"], {})
    usage = body["usage"] if isinstance(body.get("usage"), dict) else {}
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        error = LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with a completion without any choice")
        error.tokens_in, error.tokens_out, error.usd = tokens_in, tokens_out, prices.usd(tokens_in, tokens_out)
        raise error
    return Answer(
        text=_text(message.get("content")) or _text(message.get("refusal")),
        model=_word(body.get("model")),
        finish_reason=_word(choice.get("finish_reason")),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )


def _text(content: object) -> str:
    """A message's content: text, or a list of parts of which some are text. Never with lone surrogates."""
    if isinstance(content, list):
        content = "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content.encode("utf-8", "replace").decode() if isinstance(content, str) else ""


def _word(value: object) -> str | None:
    return printable(value[:200], keep="") or None if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None
