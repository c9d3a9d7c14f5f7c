"""Conversion of rows to pairs in one form. A fault is reported with its row; pairs left out are counted by reason."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeVar

from fitness.preference.pairs.reading.columns import REQUIRED, Columns, choose, looked_at
from fitness.preference.pairs.reading.files import Source
from fitness.preference.pairs.reading.indexed import NUMBER, ordered, responses
from fitness.preference.pairs.reading.prompts import (
    NO_ANSWER,
    NO_PROMPT,
    OTHER_PROMPTS,
    Cut,
    after_prompt,
    after_text_prompt,
    common_turns,
    cuts,
)
from fitness.preference.pairs.reading.turns import FORMS, Misfit, Turn, Value, form, is_blank, read, without_nulls
from fitness.score import EvaluationFailed, bad_data

SAMPLE = 1000
"""Rows that are read to identify the columns."""

NULL = "a null completion"
EQUAL = "equal completions"
NO_NULLS = (
    "give every row its prompt, or set fitness.columns={prompt: null} if chosen and rejected begin with it in every row"
)
Row = dict[str, Any]
Held = TypeVar("Held")

REMEDIES = {
    NO_PROMPT: "give the prompts in a column `prompt`, or name theirs in fitness.columns",
    OTHER_PROMPTS: "give pairs of two answers to one prompt",
}
"""Remedy by the most frequent reason; for other reasons: give pairs of two answers that differ."""
NO_COLUMN = "set fitness.columns={prompt: null} if chosen and rejected begin with their prompt, or "
"""Additional remedy if completions do not match the column of prompts."""


@dataclass
class Split:
    """The pairs of one split. Texts without a prompt column include their prompt until `cut_texts`."""

    name: str
    columns: Columns
    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    @property
    def conversational(self) -> bool:
        """Whether pairs are conversations, not texts."""
        return bool(self.rows) and isinstance(self.rows[0]["chosen"], list)

    @property
    def is_implicit(self) -> bool:
        """Whether the prompt is the common beginning of chosen and rejected."""
        return "prompt" not in self.columns.read

    @property
    def unread(self) -> list[str]:
        """Columns of the data that are not used; plain texts do not use tools."""
        unused = () if self.conversational else ("tools", "chat_template_kwargs")
        return [*self.columns.unread, *(self.columns.read[name] for name in unused if name in self.columns.read)]

    def check(self) -> None:
        """Raises EvaluationFailed("bad_data") if no pair is left."""
        if not self.rows and not self.left_out.total():
            raise bad_data(f"the split {self.name!r} is empty", "choose another, or give more data")
        if not self.rows:
            why = ", ".join(f"{count} with {reason}" for reason, count in self.left_out.items() if count)
            most = self.left_out.most_common(1)[0][0]
            remedy = REMEDIES.get(most, "give pairs of two answers that differ")
            if most == OTHER_PROMPTS and not self.is_implicit:
                remedy = NO_COLUMN + remedy
            raise bad_data(f"every pair of the split {self.name!r} is left out: {why}", remedy)


def read_split(source: Source, name: str, wanted: Mapping[str, str | None]) -> Split:
    """All pairs of a split. Raises EvaluationFailed("bad_data") that names the row."""
    columns, rows = _opened(source, wanted, name)
    seen: dict[str, None] = {}
    split = _read(_noting(rows, seen), columns, name)
    if source.columns is None:
        split.columns = choose(list(seen), [], wanted)
        if late := sorted(split.columns.read.keys() ^ columns.read.keys()):
            raise bad_data(
                f"only rows after the first {SAMPLE} of the split {name!r} have {', '.join(late)}",
                "write the column in every row",
            )
    split.remarks += filter(None, [source.remark])
    _strip_repeated_prompts(split)
    return split


def _noting(rows: Iterable[Row], names: dict[str, None]) -> Iterator[Row]:
    for row in rows:
        names.update(dict.fromkeys(row))
        yield row


def check_beginning(source: Source, name: str, wanted: Mapping[str, str | None]) -> None:
    """Raises EvaluationFailed("bad_data") if the first SAMPLE rows cannot be read."""
    columns, rows = _opened(source, wanted, name)
    _read(islice(rows, SAMPLE), columns, name)


def _opened(source: Source, wanted: Mapping[str, str | None], name: str) -> tuple[Columns, Iterator[Row]]:
    if source.columns is not None:
        sample = list(islice(source.rows(looked_at(source.columns, wanted)), SAMPLE))
        columns = choose(source.columns, sample, wanted)
        return columns, source.rows(list(dict.fromkeys(columns.read.values())))
    rows = source.rows()
    sample = list(islice(rows, SAMPLE))
    if not sample:
        raise bad_data(f"the split {name!r} is empty", "choose another, or give more data")
    columns = choose(_names(sample), sample, wanted)
    return columns, chain(sample, rows)


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _read(rows: Iterable[Row], columns: Columns, name: str) -> Split:
    split = Split(name, columns)
    for number, row in enumerate(rows, start=1):
        try:
            pair = _pair(row, columns)
        except _Unreadable as fault:
            raise fault.at(f"row {number} of the split {name!r}") from None
        if isinstance(pair, str):
            split.left_out[pair] += 1
            continue
        if split.rows and isinstance(pair["chosen"], list) != split.conversational:
            raise _Unreadable(columns.read["chosen"], form(pair["chosen"]), FORMS).at(
                f"row {number} of the split {name!r}"
            )
        split.rows.append(pair)
    return split


class _Unreadable(Exception):
    def __init__(self, column: str, held: str, remedy: str) -> None:
        self.column, self.held, self.remedy = column, held, remedy

    def at(self, where: str) -> EvaluationFailed:
        return bad_data(f"{where}: column {self.column!r} holds {self.held}", self.remedy)


def _pair(row: Row, columns: Columns) -> Row | str:
    """The row's pair, or the reason why it is left out. Raises _Unreadable."""
    prompt, system = (_held(row, columns, name, read) for name in ("prompt", "system"))
    chosen, rejected = _completions(row, columns)
    if "prompt" in columns.read and prompt is None:
        raise _Unreadable(columns.read["prompt"], form(None), NO_NULLS)
    if chosen is None or rejected is None:
        return NULL
    if is_blank(chosen) or is_blank(rejected):
        return NO_ANSWER
    if chosen == rejected:
        return EQUAL
    made = _cut(prompt, chosen, rejected, columns)
    if isinstance(made, str):
        return made
    if is_blank(made["chosen"]) or is_blank(made["rejected"]):
        return NO_ANSWER
    _put_in(system, made, columns)
    if "tools" in columns.read:
        made["tools"] = _held(row, columns, "tools", _tools)
    if "chat_template_kwargs" in columns.read:
        made["chat_template_kwargs"] = _held(row, columns, "chat_template_kwargs", _arguments)
    return made


def _completions(row: Row, columns: Columns) -> tuple[Value, Value]:
    """The chosen and the rejected completion, as they are stored or by the number of the chosen one."""
    if NUMBER not in columns.read:
        chosen, rejected = (_held(row, columns, side, read) for side in REQUIRED)
        return chosen, rejected
    with _blaming(columns, "chosen"):
        stored = responses(row, columns.read)
    both: dict[str, Value] = {}
    for side, (end, value) in zip(REQUIRED, stored.items(), strict=True):
        with _blaming(columns, side):
            both[end] = read(value)
    with _blaming(columns, NUMBER):
        return ordered(both, columns.of(row, NUMBER))


def _held(row: Row, columns: Columns, name: str, reader: Callable[[Any], Held]) -> Held:
    with _blaming(columns, name):
        return reader(columns.of(row, name))


@contextmanager
def _blaming(columns: Columns, name: str) -> Iterator[None]:
    """Convert a Misfit to _Unreadable with the column that the data has for our name."""
    try:
        yield
    except Misfit as misfit:
        raise _Unreadable(columns.read[name], str(misfit), misfit.remedy) from None


def _cut(prompt: Value, chosen: str | list[Turn], rejected: str | list[Turn], columns: Columns) -> Row | str:
    """The pair with its prompt, or the reason why it is left out."""
    if isinstance(chosen, str) and isinstance(rejected, str):
        if not isinstance(prompt, list):
            return {"chosen": chosen, "rejected": rejected} | ({} if prompt is None else {"prompt": prompt})
        chosen, rejected = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
    first, second = _as_answer(chosen, rejected), _as_answer(rejected, chosen)
    if first is None or second is None:
        column = columns.read["rejected"]
        raise _Unreadable(column, f"{form(rejected)}, and {columns.read['chosen']!r} {form(chosen)}", FORMS)
    chosen, rejected = first, second
    cut: Cut | str
    if prompt is None or is_blank(prompt):
        cut = common_turns(chosen, rejected)
    elif isinstance(prompt, str):
        cut = after_text_prompt(prompt, chosen, rejected)
    else:
        cut = after_prompt(prompt, chosen, rejected)
    if isinstance(cut, str):
        return cut
    return dict(zip(("prompt", "chosen", "rejected"), cut, strict=True))


def _as_answer(side: str | list[Turn], other: str | list[Turn]) -> list[Turn] | None:
    """A conversation unchanged; a text as the last answer of the other conversation, None if that ends without an answer."""
    if isinstance(side, list):
        return side
    if isinstance(other, str) or other[-1]["role"] != "assistant":
        return None
    return [*other[:-1], {"role": "assistant", "content": side}]


def _put_in(system: Value, pair: Row, columns: Columns) -> None:
    """Put a system message before the prompt."""
    if system is None or is_blank(system):
        return
    if not isinstance(system, str):
        raise _Unreadable(columns.read["system"], form(system), "expected a string")
    if isinstance(pair["chosen"], str):
        pair["system"] = system
        return
    if pair["prompt"][0]["role"] == "system":
        remedy = "set fitness.columns={system: null}, or remove the turn from the conversations"
        raise _Unreadable(columns.read["system"], "a string, and the conversation begins with a system turn", remedy)
    pair["prompt"] = [{"role": "system", "content": system}, *pair["prompt"]]


def _tools(value: Any) -> Any:
    if value is None or value == "":
        return None
    listed = value
    if isinstance(value, str):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError):
            raise Misfit("text that is not JSON", "expected a list of tools, or one as JSON") from None
    if not isinstance(listed, list | None):
        raise Misfit(f"a {type(listed).__name__} instead of a list", "expected a list of tools, or one as JSON")
    tools = without_nulls(listed)
    if not tools:
        return None
    return value if isinstance(value, str) else tools


def _arguments(value: Any) -> Row:
    if not isinstance(value, dict | None):
        raise Misfit(f"a {type(value).__name__}", "expected an object")
    found: Row = without_nulls(value or {})
    return found


def _strip_repeated_prompts(split: Split) -> None:
    """Remove the prompt from the completions if every completion of the split begins with its prompt."""
    if split.is_implicit or split.conversational:
        return
    if not all(
        r["prompt"].strip() and r["chosen"].startswith(r["prompt"]) and r["rejected"].startswith(r["prompt"])
        for r in split.rows
    ):
        return
    if split.rows:
        split.remarks.append(f"Completions of the split {split.name!r} repeat their prompt; the copies are removed.")
    for row in split.rows:
        row |= {side: row[side].removeprefix(row["prompt"]) for side in ("chosen", "rejected")}
    kept = [row for row in split.rows if row["chosen"].strip() and row["rejected"].strip()]
    split.left_out[NO_ANSWER] += len(split.rows) - len(kept)
    split.rows = kept


def cut_texts(splits: Sequence[Split]) -> None:
    """Split texts without a prompt column into prompt and completions; all splits together, so that a question has one prompt."""
    texts = [split for split in splits if split.is_implicit and not split.conversational]
    found = iter(cuts([(row["chosen"], row["rejected"]) for split in texts for row in split.rows]))
    for split in texts:
        kept, guessed = [], 0
        for row in split.rows:
            cut, is_marked = next(found)
            if isinstance(cut, str):
                split.left_out[cut] += 1
                continue
            pair = {"prompt": row["chosen"][:cut], "chosen": row["chosen"][cut:], "rejected": row["rejected"][cut:]}
            if pair["chosen"].strip() and pair["rejected"].strip():
                kept.append(row | pair)
                guessed += not is_marked and cut > 0
            else:
                split.left_out[NO_ANSWER] += 1
        split.rows = kept
        nothing = sum(not row["prompt"] for row in kept)
        split.columns.refuse_nothing_asked(nothing, len(kept))
        if guessed:
            split.remarks.append(
                f"{guessed} texts of the split {split.name!r} have no marker of where the answer begins: their prompts end where "
                "chosen and rejected begin to differ. A prompt column would be exact."
            )
        if nothing:
            split.remarks.append(
                f"{nothing} pairs of the split {split.name!r} have no prompt: chosen and rejected have no common beginning."
            )
