"""Parsing of responses with status 200, in any server's dialect of chat completions.

Endpoints agree on the outline of this protocol and on little else. So responses are read leniently, and no value is assumed to
have its documented type. A model's reasoning is not part of its text if the server separates the two (else see `reasoning`).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fitness.chat.costs import Prices
from fitness.chat.errors import ErrorKind, LLMError, Where
from fitness.chat.replies import stream, usage
from fitness.chat.replies.alternatives import first_token_alternatives
from fitness.chat.replies.refusals import error_within, title_of
from fitness.chat.text import printable

MAX_RESPONSE = 8 * 1024 * 1024
"""Most bytes of an HTTP response that are read as a completion."""

_DEEPEST = 10
"""Deepest nesting of parts that is read."""

CUT_OFF = "length"
"""The finish reason of every answer that reached a length limit, whatever the server calls it."""
_LENGTH = re.compile(r"(?:^|[._])(?:max_?(?:output_?|new_?)?tokens?|length|token_limit|context_window_exceeded)$")
_FILTER = re.compile(r"content_?filter(?:ed)?|^safety$|prohibited_content|blocklist|^sensitive$|recitation|guardrail")
_BROKEN = frozenset({"error", "abort", "aborted", "network_error", "insufficient_system_resource"})
"""Finish reasons of a reply that the server could not complete."""
_COMMENTS = re.compile(r"\A(?:\s*:[^\n]*\n)+")
"""Comment lines that some servers send before the answer to keep the connection open."""
_NO_TEXT = re.compile(r"think|reason|refusal|tool|summary")
"""Words in the type of a part that is not the answer's text."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply. A token count is None if the endpoint does not report it."""

    text: str
    model: str | None
    finish_reason: str | None
    """`CUT_OFF` at a length limit; else the server's own word, which only means that the model stopped."""
    tokens_in: int | None
    tokens_out: int | None
    alternatives: Mapping[str, float] = field(default_factory=dict)
    """Log-probabilities of the alternatives of the first token, in nats; empty unless they were asked for and given."""


def read_answer(where: Where, content: bytes, content_type: str, prices: Prices) -> Completion:
    """The answer in a response. Raises LLMError: the error in the response, FILTERED, or MALFORMED if there is no answer.

    The error carries the tokens and their price if the response reports them.
    """
    body = _body(where, content, content_type)
    choices = _choices(body)
    texts = [_text_of(choice) for choice in choices]
    tokens_in, tokens_out = usage.tokens(body, answered=any(texts)) if isinstance(body, Mapping) else (None, None)
    first = next((n for n, text in enumerate(texts) if text.strip()), 0)
    error = _error(where, body, choices[first] if choices else None, texts[first] if choices else "")
    if error:
        error.tokens_in, error.tokens_out, error.usd = tokens_in, tokens_out, prices.usd(tokens_in, tokens_out)
        raise error
    alternatives = first_token_alternatives(choices[first])
    return Completion(
        texts[first], _word(body.get("model")), _finish(choices[first]), tokens_in, tokens_out, alternatives
    )


def _error(where: Where, body: Any, choice: Mapping[str, Any] | None, text: str) -> LLMError | None:
    """The error in a body or in its chosen choice; None if there is none."""
    if choice is None:
        said = error_within(where, body)
        return said or LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with {_description(body)}")
    reason = _finish(choice)
    broken = reason in _BROKEN or not text.strip()
    fault = choice.get("error") if broken or reason != "stop" else None
    fault = fault or (body.get("error") if broken else None)
    if fault:
        return error_within(where, {"error": fault})
    if reason in _BROKEN:
        message = f"{where.place} broke off its reply with finish reason {reason!r} and gave no cause"
        return LLMError.at(where, ErrorKind.SERVER_ERROR, message)
    if reason and not text.strip() and _FILTER.search(reason.lower()):
        message = f"the content filter of {where.place} withheld the reply (finish reason {reason!r})"
        return LLMError.at(where, ErrorKind.FILTERED, message)
    return None


def _description(body: Any) -> str:
    """Description of a body without any choice."""
    if isinstance(body, Mapping) and "choices" in body:
        return "a chat completion without any choice"
    return "null, which is no chat completion" if body is None else "JSON that is no chat completion"


# --- From bytes to JSON ----------------------------------------------------------------------------------------------


def _body(where: Where, content: bytes, content_type: str) -> Any:
    kind = printable(content_type.partition(";")[0].strip().lower(), keep="")[:60]

    def malformed(what: str, remedy: str | None = None) -> LLMError:
        return LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with {what}", remedy=remedy)

    content = _unpacked(content)
    if len(content) > MAX_RESPONSE:
        raise malformed(f"more than {MAX_RESPONSE} bytes, the most that are read")
    text = content.decode(json.detect_encoding(content), "replace").lstrip("\ufeff")
    if not text.strip():
        raise malformed("nothing (an empty body)")
    try:
        return json.loads(_COMMENTS.sub("", text), strict=False)
    except (ValueError, RecursionError):
        pass
    if stream.is_stream(text, kind):
        body = stream.assembled(text)
        if body is None:
            raise malformed("a stream that was not requested, and that ends before the reply is complete")
        return body
    if text.lstrip().startswith("<"):
        page = f"a web page {where.quote(title_of(text))}".strip()
        through = f", through {where.proxy}" if where.proxy else ""
        remedy = "log in to the network if it asks for that; else check {section}.base_url, which usually ends in /v1"
        raise malformed(page + through, remedy)
    raise malformed(f"broken JSON ({kind or 'no content type'}): {where.quote(text[:100])!r}")


def _unpacked(content: bytes) -> bytes:
    """`content`, decompressed if it is gzip without a header that says so. At most one byte more than `MAX_RESPONSE`."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return zlib.decompressobj(31).decompress(content, MAX_RESPONSE + 1)
    except zlib.error:
        return content


# --- From JSON to text -----------------------------------------------------------------------------------------------


def _choices(body: Any) -> list[Mapping[str, Any]]:
    """The choices with a message, a finish reason or an error; Ollama's and Anthropic's own forms count as one choice."""
    if not isinstance(body, Mapping):
        return []
    choices = body.get("choices")
    if isinstance(choices, list):
        return [
            c
            for c in choices
            if isinstance(c, Mapping) and (_message(c) or _word(c.get("finish_reason")) or c.get("error"))
        ]
    if isinstance(body.get("message"), Mapping):
        return [{"message": body["message"], "finish_reason": body.get("done_reason")}]
    if body.get("role") == "assistant" and "content" in body:
        return [{"message": body, "finish_reason": body.get("stop_reason")}]
    return []


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """A choice's message; also a single chunk of a stream, or the text of the older completions protocol."""
    for key in ("message", "delta"):
        if isinstance(choice.get(key), Mapping):
            return choice[key] or {"content": ""}
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}


def _text_of(choice: Mapping[str, Any]) -> str:
    """The text of a choice, including the arguments of tool calls: some models put their reply there."""
    message = _message(choice)
    parts = [_text(message.get("content")), *_arguments(message)]
    return "\n".join(part for part in parts if part.strip()) or _text(message.get("refusal"))


def _arguments(message: Mapping[str, Any]) -> Iterable[str]:
    calls, content = message.get("tool_calls"), message.get("content")
    called = [*(calls if isinstance(calls, list) else []), message.get("function_call")]
    parts = content if isinstance(content, list) else []
    called += [part for part in parts if isinstance(part, Mapping) and "input" in part]
    for call in called:
        if isinstance(call, Mapping):
            function = call["function"] if isinstance(call.get("function"), Mapping) else call
            arguments = function.get("arguments", function.get("input"))
            yield _text(arguments) if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""


def _text(content: object, depth: int = 0) -> str:
    """The text of a message's content: a string, or a list of parts. Without lone surrogates."""
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    if isinstance(content, list):
        return "".join(_text(part, depth + 1) for part in content) if depth < _DEEPEST else ""
    if (
        not isinstance(content, Mapping)
        or content.get("thought") is True
        or _NO_TEXT.search(str(content.get("type", "")))
    ):
        return ""
    text = content.get("text")
    return _text(text.get("value") if isinstance(text, Mapping) else text, depth + 1) if depth < _DEEPEST else ""


def _finish(choice: Mapping[str, Any]) -> str | None:
    """The finish reason of a choice."""
    reason = _word(choice.get("finish_reason"))
    return CUT_OFF if reason and _LENGTH.search(reason.lower()) else reason


def _word(value: object) -> str | None:
    return printable(value[:200], keep="") or None if isinstance(value, str) else None
