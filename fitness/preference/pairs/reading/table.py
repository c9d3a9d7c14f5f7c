"""Conversion of a split's pairs to a data set in memory, without writing to disk."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fitness.preference.pairs.reading.rows import Row, Split

if TYPE_CHECKING:
    from datasets import Dataset

SIDES = ("prompt", "chosen", "rejected")
CHUNK = 1000
"""Rows converted at a time: the conversion needs several times their memory."""


def table(split: Split) -> "Dataset":
    """A data set with the columns prompt, chosen and rejected, and tools and chat_template_kwargs if the data has them.

    Turns with the same fields in every row are stored in columns. Others are stored as JSON, since columns would give every object
    the fields of all.
    """
    from datasets import Dataset, Features, Json, List, Value, concatenate_datasets

    kept: dict[str, tuple[Any, Callable[[Row], Any]]] = {}  # type and value of each column
    for name in SIDES:
        kept[name] = (Value("string"), _text(name))
        if split.conversational:
            plain = {"role": Value("string"), "content": Value("string")}
            kept[name] = (List(plain), _value(name)) if _is_plain(split) else (List(Json()), _turns(name))
    if "tools" in split.columns.read:
        written = all(isinstance(row["tools"], str | None) for row in split.rows)
        kept["tools"] = (Value("string") if written else Json(), _value("tools") if written else _json("tools"))
    if "chat_template_kwargs" in split.columns.read:
        kept["chat_template_kwargs"] = (Json(), _json("chat_template_kwargs"))
    features = Features({name: kind for name, (kind, _) in kept.items()})
    chunks = [split.rows[first : first + CHUNK] for first in range(0, len(split.rows), CHUNK)]
    return concatenate_datasets(
        [
            Dataset.from_dict({name: [value(row) for row in chunk] for name, (_, value) in kept.items()}, features)
            for chunk in chunks
        ]
    )


def _is_plain(split: Split) -> bool:
    return all(turn.keys() == {"role", "content"} for row in split.rows for name in SIDES for turn in row[name])


def _value(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


def _text(name: str) -> Callable[[Row], Any]:
    def text(row: Row) -> Any:
        return f"{row['system']}\n\n{row[name]}" if name == "prompt" and "system" in row else row[name]

    return text


def _turns(name: str) -> Callable[[Row], Any]:
    return lambda row: [json.dumps(turn) for turn in row[name]]  # the library's own writer rounds numbers


def _json(name: str) -> Callable[[Row], Any]:
    def dumped(row: Row) -> Any:
        return row[name] if isinstance(row[name], str | None) else json.dumps(row[name])

    return dumped
