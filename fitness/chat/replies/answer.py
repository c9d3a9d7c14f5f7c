"""An answer of status 200 read in whatever dialect of chat completions its server speaks.

Endpoints agree on the outline of this protocol and on little else: what one answers is read leniently, and never trusted to have
the documented types. What a model thought is no part of its text where the server tells the two apart (see also `reasoning`).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fitness.chat.errors import ErrorKind, LLMError, Where
from fitness.chat.replies import stream, usage
from fitness.chat.replies.refusals import error_within, title_of
from fitness.chat.text import printable
from fitness.costs import Prices

MAX_RESPONSE = 8 * 1024 * 1024
"""Bytes of an HTTP response beyond which it is not read as a completion."""

_DEEPEST = 10
"""Parts within one another."""

CUT_OFF = "length"
"""The finish reason of every answer that reached a limit, by whatever name its server has for that."""
_LENGTH = re.compile(r"(?:^|[._])(?:max_?(?:output_?|new_?)?tokens?|length|token_limit|context_window_exceeded)$")
_FILTER = re.compile(r"content_?filter(?:ed)?|^safety$|prohibited_content|blocklist|^sensitive$|recitation|guardrail")
_BROKEN = frozenset({"error", "abort", "aborted", "network_error", "insufficient_system_resource"})
"""Finish reasons of a reply that its server could not bring to an end."""
_COMMENTS = re.compile(r"\A(?:\s*:[^\n]*\n)+")
"""Sent before the answer, so that nobody on the way takes the connection for dead."""
_NO_TEXT = re.compile(r"think|reason|refusal|tool|summary")
"""In the type of a part that is not the answer's text."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model replied. A count is None where its endpoint does not tell it."""

    text: str
    model: str | None
    finish_reason: str | None
    """`CUT_OFF` at a limit; else the server's own word, which means no more than that the model stopped."""
    tokens_in: int | None
    tokens_out: int | None


def read_answer(where: Where, content: bytes, content_type: str, prices: Prices) -> Completion:
    """The answer in a response. Raises LLMError: what an error object says, FILTERED, or MALFORMED where there is none.

    The error has the tokens and their price where the response tells them.
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
    return Completion(texts[first], _word(body.get("model")), _finish(choices[first]), tokens_in, tokens_out)


def _error(where: Where, body: Any, choice: Mapping[str, Any] | None, text: str) -> LLMError | None:
    """What is wrong with a body, or with the choice that would be taken."""
    if choice is None:
        said = error_within(where, body)
        return said or LLMError.at(where, ErrorKind.MALFORMED, f"{where.place} answered with {_what(body)}")
    reason = _finish(choice)
    broken = reason in _BROKEN or not text.strip()
    told = choice.get("error") if broken or reason != "stop" else None
    told = told or (body.get("error") if broken else None)
    if told:
        return error_within(where, {"error": told})
    if reason in _BROKEN:
        message = f"{where.place} broke off its reply with finish reason {reason!r} and no word about why"
        return LLMError.at(where, ErrorKind.SERVER_ERROR, message)
    if reason and not text.strip() and _FILTER.search(reason.lower()):
        message = f"the content filter of {where.place} withheld the reply (finish reason {reason!r})"
        return LLMError.at(where, ErrorKind.FILTERED, message)
    return None


def _what(body: Any) -> str:
    """A body without any choice, in words."""
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
        raise malformed(f"more than {MAX_RESPONSE} bytes, which are the most that are read")
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
            raise malformed("a stream that nobody asked for, and that ends before its reply does")
        return body
    if text.lstrip().startswith("<"):
        page = f"a web page {where.quote(title_of(text))}".strip()
        through = f", through {where.proxy}" if where.proxy else ""
        remedy = "log in to the network if it asks for that; else check {section}.base_url, which usually ends in /v1"
        raise malformed(page + through, remedy)
    raise malformed(f"broken JSON ({kind or 'no content type'}): {where.quote(text[:100])!r}")


def _unpacked(content: bytes) -> bytes:
    """`content`, decompressed where it is gzip that no header told of. At most a little more than `MAX_RESPONSE`."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return zlib.decompressobj(31).decompress(content, MAX_RESPONSE + 1)
    except zlib.error:
        return content


# --- From JSON to text -----------------------------------------------------------------------------------------------


def _choices(body: Any) -> list[Mapping[str, Any]]:
    """The choices that hold a message, or at least say why they end; Ollama's and Anthropic's own forms as one choice."""
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
    """A choice's message: also a single chunk of a stream, and the text of the completions before chat."""
    for key in ("message", "delta"):
        if isinstance(choice.get(key), Mapping):
            return choice[key] or {"content": ""}
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}


def _text_of(choice: Mapping[str, Any]) -> str:
    """The text of a choice, what a tool is called with included: a model that calls one puts its reply into the arguments."""
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
    """A message's content: text, or parts of which some are text. Never with lone surrogates."""
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
    """Why a choice ends."""
    reason = _word(choice.get("finish_reason"))
    return CUT_OFF if reason and _LENGTH.search(reason.lower()) else reason


def _word(value: object) -> str | None:
    return printable(value[:200], keep="") or None if isinstance(value, str) else None
