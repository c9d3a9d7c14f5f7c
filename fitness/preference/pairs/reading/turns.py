"""Conversion of stored texts and conversations, in any common form, to strings and lists of {"role", "content"} turns."""

import re
from typing import Any

from fitness.preference.pairs.reading.listing import listed

Turn = dict[str, Any]
Value = str | list[Turn] | None

FORMS = 'expected strings in every row, or conversations as lists of {"role": ..., "content": ...} in every row'
SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "model": "assistant", "bot": "assistant", "chatbot": "assistant", "system": "system", "tool": "tool",
}  # fmt: skip
"""Roles by their names in other data sets, in lower case."""

CALLS = ("tool_calls", "function_call")
TEXT_PARTS = ("text", "input_text", "output_text", None)
WRITTEN_OUT = re.compile(r"""\s*\[?\s*\{\s*['"](role|from|content|value)['"]\s*:""")
"""The beginning of a conversation that was stored as a JSON string or as Python's repr."""


class Misfit(ValueError):
    """A value that is neither a text nor a conversation. The message completes "column ... holds"."""

    def __init__(self, held: str, remedy: str = FORMS) -> None:
        super().__init__(held)
        self.remedy = remedy


def read(value: Any) -> Value:
    """A text, a conversation, or None for null. Raises Misfit."""
    if value is None or value != value:  # pandas writes missing values as NaN
        return None
    if isinstance(value, str):
        return _stored_text(value)
    if isinstance(value, dict):
        return _read_object(value)
    if not isinstance(value, list):
        raise Misfit(f"a number or the like ({type(value).__name__})")
    if value and all(isinstance(item, str) for item in value):
        raise Misfit("a list of strings", "write one row for each, with one string")
    if value and all(_is_part(item) for item in value):
        return _joined(value)
    return [_turn(item) for item in value]


def without_nulls(value: Any) -> Any:
    """The value without null fields in objects: columnar files give every object the fields of all. Raises Misfit."""
    if isinstance(value, dict):
        return {_checked(key): without_nulls(held) for key, held in value.items() if held is not None}
    if isinstance(value, str):
        return _checked(value)
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def form(value: Value) -> str:
    """Description of a value's form for messages."""
    return "a null" if value is None else "a string" if isinstance(value, str) else "a conversation"


def is_blank(value: str | list[Turn]) -> bool:
    """Whether a text or conversation has neither content nor tool calls."""
    if isinstance(value, str):
        return not value.strip()
    return not any(turn["content"].strip() or any(turn.get(call) for call in CALLS) for turn in value)


def _stored_text(text: str) -> str:
    if WRITTEN_OUT.match(text):
        raise Misfit("a conversation that is written out as text", "store it as a list, e.g. with json.loads")
    return _checked(text)


def _checked(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Misfit(
                "half of a surrogate pair, which is not a character", "fix the text; its emoji were cut"
            ) from None
    return text


def _read_object(value: dict[str, Any]) -> Value:
    given = {key: held for key, held in value.items() if held is not None and held != []}
    if isinstance(value.get("role") or value.get("from"), list):  # older columnar files store a list of turns like this
        return [_turn(dict(zip(value, fields, strict=True))) for fields in zip(*value.values(), strict=False)]
    if "role" in value or "from" in value:
        return [_turn(value)]
    if isinstance(value.get("messages"), list):
        if more := [key for key in given if key not in ("messages", "parallel_tool_calls")]:
            raise Misfit(
                f"an object with messages and also {listed(more)}",
                "store messages and tools in columns of their own",
            )
        return [_turn(item) for item in value["messages"]]
    if _is_part(value):
        return _joined([value])
    raise Misfit(f"an object with {listed(value)}")


def _turn(value: Any) -> Turn:
    if not isinstance(value, dict):
        raise Misfit(f"a list with {'a null' if value is None else 'a ' + type(value).__name__} in it")
    if isinstance(value.get("from"), str) and value.get("role") is None:
        return _said(value)
    turn: Turn = without_nulls({key: held for key, held in value.items() if key != "content"})
    if not isinstance(turn.get("role"), str):
        raise Misfit(f"a turn without role (with {listed(value)})")
    turn["role"] = SPEAKERS.get(turn["role"].lower(), turn["role"])
    for call in CALLS:
        if call in turn and not turn[call]:
            del turn[call]
    content = value.get("content")
    if content is None and not any(call in turn for call in CALLS):
        # A template would render the text "None". Only a tool call needs no content.
        raise Misfit(f"a turn of role {turn['role']!r} without content")
    text = "" if content is None else _content(content)
    return turn | {"content": text}


def _said(value: dict[str, Any]) -> Turn:
    """A {"from", "value"} turn."""
    role = SPEAKERS.get(value["from"].lower())
    if role is None:
        raise Misfit(
            f"a turn from {value['from']!r}",
            f"expected {', '.join(SPEAKERS)}; write the calls of tools as turns with role, content and tool_calls",
        )
    if value.get("value") is None:
        raise Misfit(f"a turn from {value['from']!r} without value")
    return {"role": role, "content": _content(value["value"])}


def _content(content: Any) -> str:
    if isinstance(content, str):
        return _checked(content)
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise Misfit(f"a turn whose content is a {type(content).__name__}", "write it as text")
    return _joined(parts)


def _is_part(value: Any) -> bool:
    if not isinstance(value, dict) or any(name in value for name in ("role", "from", "content")):
        return False
    # With other fields, `text` may be a turn with unknown names for role and content.
    return "type" in value or [key for key, held in value.items() if held is not None] == ["text"]


def _joined(parts: list[Any]) -> str:
    """The text of parts in the form of chat endpoints, one part per line, as servers of text models join them."""
    return "\n".join(_part(part) for part in parts)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return _checked(part)
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    text = part.get("text") if isinstance(part, dict) and kind in TEXT_PARTS else None
    if not isinstance(text, str):
        what = f"a part of type {kind!r}" if kind not in TEXT_PARTS else "a part without text"
        raise Misfit(f"{what} in the content", "a language model reads text only; leave such rows out of the data")
    return _checked(text)
