"""Assembly of a reply that was streamed although no stream was requested: the reply is complete and paid for.

Supported are server-sent events (`data: {...}`, whatever the content type) and one JSON object per line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_EVENTS = re.compile(r"\s*(?:(?::|event:|id:|retry:)[^\n]*\n\s*)*data:")
_DONE = "[DONE]"


def is_stream(text: str, content_type: str) -> bool:
    """Whether a response is a stream of JSON documents instead of one document."""
    return "event-stream" in content_type or "ndjson" in content_type or _EVENTS.match(text) is not None


def assembled(text: str) -> dict[str, Any] | None:
    """The completion assembled from a stream's chunks; None if the stream ends early or does not consist of chunks."""
    try:
        parts = [part for part in _documents(text) if part.strip()]
        finished = parts[-1:] == [_DONE]
        chunks = [json.loads(part, strict=False) for part in parts if part != _DONE]
    except (ValueError, RecursionError):
        return None
    if not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        return None
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": message}
    for chunk in chunks:
        whole |= {key: value for key, value in chunk.items() if value is not None and key not in ("choices", "message")}
        for part in _choices(chunk):
            if part.get("index") in (None, 0):
                choice |= {key: part[key] for key in ("finish_reason", "error") if part.get(key)}
                _grow(message, part.get("delta") or part.get("message") or {"content": part.get("text")})
    if not (finished or choice.keys() & {"finish_reason", "error"} or "error" in whole or whole.get("done") is True):
        return None
    return whole | {"choices": [choice]} if message or len(choice) > 1 or "error" not in whole else whole


def _documents(text: str) -> list[str]:
    """The data of each event, or each line if there are no events."""
    lines = text.replace("\r\n", "\n").split("\n")
    if not any(line.startswith("data:") for line in lines):
        return lines
    events: list[str] = []
    data: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("data:"):
            data.append(line[5:].strip())
        elif not line.strip() and data:
            # One document over several lines, or several documents without blank lines between them.
            whole = "\n".join(data)
            events += [whole] if _is_json(whole) else data
            data = []
    return events


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _choices(chunk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = chunk.get("choices")
    if isinstance(choices, list):
        return [choice for choice in choices if isinstance(choice, Mapping)]
    message = chunk.get("message")  # Ollama's own protocol
    return [{"message": message, "finish_reason": chunk.get("done_reason")}] if isinstance(message, Mapping) else []


def _grow(message: dict[str, Any], delta: object) -> None:
    """Append a chunk to the message: text to text, parts to parts, tool arguments to tool arguments."""
    if not isinstance(delta, Mapping):
        return
    for key in ("content", "refusal"):
        if isinstance(delta.get(key), str | list):
            message[key] = _joined(message.get(key), delta[key])
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, Mapping) and isinstance(function := call.get("function"), Mapping):
            _grow_call(message, call.get("index"), function.get("arguments"))
    if isinstance(function := delta.get("function_call"), Mapping):
        _grow_call(message, None, function.get("arguments"))


def _joined(before: object, more: str | list[Any]) -> str | list[Any]:
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    return [*_parts(before), *_parts(more)] if before else more


def _parts(content: object) -> Sequence[Any]:
    return content if isinstance(content, list) else [content]


def _grow_call(message: dict[str, Any], index: object, arguments: object) -> None:
    calls = message.setdefault("tool_calls", [])
    known = next((call for call in calls if call["index"] == index), None)
    if known is None:
        known = {"index": index, "function": {"arguments": ""}}
        calls.append(known)
    if isinstance(arguments, str):
        known["function"]["arguments"] += arguments
