"""Mapping of the data's columns to prompt, chosen, rejected and so on, with a remedy if the mapping is not clear."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitness.preference.pairs.reading.indexed import BOTH, NUMBER, indexed, numbered
from fitness.preference.pairs.reading.listing import listed
from fitness.preference.pairs.reading.prompts import first_role, holds_prompt
from fitness.score import EvaluationFailed, bad_data
from sandbox.verdicts.visible import visible

REQUIRED = ("chosen", "rejected")
READ = ("prompt", *REQUIRED, "tools", "chat_template_kwargs")
"""Columns that are read under their own names."""

PROMPTS = {
    "context", "conversation", "conversations", "dialog", "dialogue", "history", "input", "inputs", "instruction",
    "instructions", "messages", "post", "problem", "queries", "query", "question", "questions", "request", "user_input",
    "user_message", "user_query",
}  # fmt: skip
SYSTEMS = {"sys", "system", "system_message", "system_prompt", "system_instruction", "sys_prompt"}
NO_PROMPTS = re.compile(
    r"(^|_)(id|ids|idx|index(_level_0)?|hash|type|source|dataset|subset|split|domain|category|lang|language|date|timestamp|url|len|"
    r"length|tokens|model|score|scores|rating|ratings|margin|label|labels|metadata)$"
)
"""Ends of the names of columns with metadata."""

PREFERENCES = (
    ("chosen", "rejected"), ("preferred", "dispreferred"), ("preferred", "non_preferred"), ("preferred", "rejected"),
    ("accepted", "rejected"), ("better", "worse"), ("best", "worst"), ("winner", "loser"), ("win", "lose"),
    ("positive", "negative"), ("pos", "neg"), ("good", "bad"), ("w", "l"), ("j", "k"),
)  # fmt: skip
"""Words for chosen and rejected in column names: `preferred_output` and `non_preferred_output`, `response_j` and `response_k`."""
WORSE = ("rejected_", "dispreferred_", "worse_")
"""Prefixes that turn the name of the chosen column into the rejected one's: `messages` and `rejected_messages`."""
ANSWERED_TWICE = ("messages", "rejected_response")
"""A conversation with the chosen answer, and a text with the rejected answer."""

TWO = "write the better one as chosen and the other one as rejected, e.g. with datasets.map"
BY_NUMBER = "or name the column with the number of the better one, if there is one: fitness.columns={preferred: ...}"
SEVERAL = "write one row for each pair, the better one as chosen and the other one as rejected"
KNOWN: tuple[tuple[set[str], str, str], ...] = (
    ({"human_ref_A", "human_ref_B"}, "two responses, and in `labels` which one is better", TWO),
    ({"answer_0", "answer_1"}, "two answers with scores", TWO),
    ({"conversation_a", "conversation_b"}, "two conversations, and in `winner` which one is better", TWO),
    ({"info", "summaries", "choice"}, "two summaries, and in `choice` which one is better", TWO),
    ({"answers"}, "several answers with ranks or scores", SEVERAL),
    ({"completions"}, "several completions with ratings", SEVERAL),
    ({"responses"}, "several responses", f"{SEVERAL}, {BY_NUMBER}"),
    ({"choices"}, "several choices", SEVERAL),
    ({"completion", "label"}, "unpaired completions with labels", "a preference loss needs pairs: give such data"),
    ({"response", "helpfulness"}, "single responses with ratings", SEVERAL),
    (
        {"instruction", "output"},
        "answers in `output`",
        "write its first, where it is a list of two, as chosen, the second as rejected",
    ),
    ({"prompt", "completion"}, "single completions", "give preference data: two completions of each prompt"),
    ({"messages"}, "single conversations", "give preference data: two completions of each prompt"),
    ({"text"}, "single texts", "give preference data: two completions of each prompt"),
)
"""Documented forms of other data sets: columns, their content, and the remedy."""


@dataclass(frozen=True)
class Columns:
    """The data's column names by our names, and the columns that are not read.

    Of two responses with the number of the chosen one, `chosen` and `rejected` are the responses in the order of their numbers, and
    `preferred` is the number (`indexed`).
    """

    read: Mapping[str, str]
    unread: tuple[str, ...]
    wanted: Mapping[str, str | None] = field(default_factory=dict)

    def refuse_nothing_asked(self, count: int, total: int) -> None:
        """Raises EvaluationFailed("bad_data") if most pairs have no common prompt, and another column may hold it."""
        left = [column for column in self.unread if not NO_PROMPTS.search(_plain(column))]
        if not left or "prompt" in self.wanted or 2 * count <= total:
            return
        raise bad_data(
            f"the data has no column 'prompt', chosen and rejected have no common beginning in {count} of {total} pairs, and "
            f"{listed(left, None)} {'is' if len(left) == 1 else 'are'} not read",
            f"set fitness.columns={_mapping({**self.wanted, 'prompt': left[0]})} if that is the prompt, or "
            f"fitness.columns={_mapping({**self.wanted, 'prompt': None})} if there is none",
        )

    def of(self, row: Mapping[str, Any], name: str) -> Any:
        """The row's value for our name; None without such a column or value."""
        return row.get(self.read[name]) if name in self.read else None


def choose(columns: Sequence[str], sample: Sequence[Mapping[str, Any]], wanted: Mapping[str, str | None]) -> Columns:
    """The columns to read, from `wanted` (fitness.columns) and our names. `sample` holds the first rows.

    Raises EvaluationFailed("bad_data") for missing columns, and if a column that is not read is probably the prompt.
    """
    for name, column in wanted.items():
        if column is not None and column not in columns:
            raise bad_data(
                f"fitness.columns names {column!r} as {name}, which the data does not have, only {listed(columns, None)}",
                "name one of these",
            )
    read = {name: name for name in READ if name in columns} | {n: c for n, c in wanted.items() if c is not None}
    read = {name: column for name, column in read.items() if wanted.get(name, column) is not None}
    by_number = indexed(columns, wanted)
    read = {name: column for name, column in read.items() if name != BOTH} | by_number
    if NUMBER in wanted and not by_number:
        raise bad_data(
            f"fitness.columns names {wanted[NUMBER]!r} as the number of the chosen response, and the data has no two responses, "
            f"only {listed(columns, None)}",
            f"name a column that holds both, fitness.columns={_mapping({**wanted, BOTH: '...'})}",
        )
    if any(name not in read for name in REQUIRED):
        raise _missing(columns, sample, read, wanted)
    unread = tuple(column for column in columns if column not in read.values())
    has_system = any(first_role(row.get(column)) == "system" for row in sample for column in read.values())
    systems = [] if "system" in wanted or has_system else _probable(unread, sample, _is_system)
    is_there = "prompt" in read and any(_is_text(row.get(read["prompt"])) for row in sample)
    if not is_there and "prompt" not in wanted and sample and not _prompt_is_inside(sample, read):
        _refuse_prompts(_probable(unread, sample, _is_prompt), systems, wanted, "prompt" in read)
    _refuse_systems(systems, wanted)
    return Columns(read, unread, wanted)


def looked_at(columns: Sequence[str], wanted: Mapping[str, str | None]) -> list[str]:
    """The columns to include in a sample: all that may have to be read."""
    pairs = {column for pair in _pairs(columns) for column in pair} | {*indexed(columns, wanted).values()}
    return [c for c in columns if c in READ or c in wanted.values() or c in pairs or _is_prompt(c) or _is_system(c)]


def _prompt_is_inside(sample: Sequence[Mapping[str, Any]], read: Mapping[str, str]) -> bool:
    if NUMBER in read:
        return False
    rows = [(row.get(read["chosen"]), row.get(read["rejected"])) for row in sample]
    whole = [holds_prompt(chosen, rejected) for chosen, rejected in rows if chosen and rejected]
    return bool(whole) and all(whole)


def _probable(columns: Sequence[str], sample: Sequence[Mapping[str, Any]], likely: Callable[[str], bool]) -> list[str]:
    """The columns with `likely` names that hold text or turns in some row."""
    return [column for column in columns if likely(column) and any(_is_text(row.get(column)) for row in sample)]


def _is_text(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, list | dict) and bool(value))


def _is_prompt(column: str) -> bool:
    name = _plain(column)
    return not NO_PROMPTS.search(name) and (name in PROMPTS or ("prompt" in name and name not in SYSTEMS))


def _is_system(column: str) -> bool:
    return _plain(column) in SYSTEMS


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def _refuse_prompts(
    found: Sequence[str], systems: Sequence[str], wanted: Mapping[str, str | None], is_empty: bool
) -> None:
    if not found:
        return
    mapping = _mapping({**wanted, "prompt": found[0]} | ({"system": systems[0]} if systems else {}))
    several = len(found) > 1
    first = " (if others belong to it, write them into one column first)" if several else ""
    raise bad_data(
        f"the data has no column 'prompt'{' that holds anything' if is_empty else ''} but {' and '.join(map(_quoted, found))}",
        f"set fitness.columns={mapping}{first}, or if {'none' if several else 'it'} is {'' if several else 'not '}the prompt, "
        f"set fitness.columns={_mapping({**wanted, 'prompt': None})}",
    )


def _refuse_systems(found: Sequence[str], wanted: Mapping[str, str | None]) -> None:
    if found:
        put, left = (_mapping({**wanted, "system": column}) for column in (found[0], None))
        raise bad_data(
            f"the data has a column {_quoted(found[0])} that is not read",
            f"set fitness.columns={put} to put it before the prompt (as a system turn of conversations; before a string, with an "
            f"empty line between), or fitness.columns={left} to leave it out",
        )


def _missing(
    columns: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    read: Mapping[str, str],
    wanted: Mapping[str, str | None],
) -> EvaluationFailed:
    absent = [name for name in REQUIRED if name not in read]
    problem = f"the data has no column {' and no column '.join(map(repr, absent))}, only {listed(columns, None)}"
    systems = [] if "system" in wanted else _probable(columns, sample, _is_system)
    for chosen, rejected in _pairs(columns):
        if all(any(_is_text(row.get(column)) for row in sample) for column in (chosen, rejected)):
            others = [] if "prompt" in read else [column for column in columns if column not in (chosen, rejected)]
            prompts = _probable(others, sample, _is_prompt)
            given = {
                **wanted,
                **{name: found[0] for name, found in (("prompt", prompts), ("system", systems)) if found},
            }
            names = {name: column for name, column in zip(REQUIRED, (chosen, rejected), strict=True) if name != column}
            more = f", after writing what of {' and '.join(map(_quoted, prompts[1:]))} belongs to it into one column"
            return bad_data(problem, f"set fitness.columns={_mapping(given | names)}{more if prompts[1:] else ''}")
    for column in columns:
        if any(isinstance(row.get(column), list) and _has_pairs(row[column]) for row in sample):
            return bad_data(f"{problem}; the rows are in {_quoted(column)}", "write each of them on a line of its own")
    for needed, held, remedy in KNOWN:
        if needed <= set(columns):
            return bad_data(f"{problem}; it holds {held}", remedy)
    for first, second in numbered(columns):
        both = f"{_quoted(first)} and {_quoted(second)}"
        return bad_data(
            f"{problem}; it holds two responses, {both}, and in another column which one is better",
            f"{TWO}, {BY_NUMBER}",
        )
    return bad_data(
        problem,
        "name the columns in fitness.columns={chosen: ..., rejected: ...}, or rename them to chosen and rejected (and prompt)",
    )


def _has_pairs(value: list[Any]) -> bool:
    return bool(value) and isinstance(value[0], dict) and value[0].keys() >= set(REQUIRED)


def _pairs(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of columns whose names differ in words for better and worse."""
    found = []
    for better, worse in PREFERENCES:
        word = re.compile(rf"(?<![A-Za-z0-9]){better}(?![A-Za-z0-9])", re.IGNORECASE)
        for column in columns:
            for written in (worse, worse.capitalize(), worse.upper()):
                other = word.sub(written, column)
                if other != column and other in columns:
                    found.append((column, other))
    found += [(column, worse + column) for column in columns for worse in WORSE if worse + column in columns]
    return found + [ANSWERED_TWICE] * (set(ANSWERED_TWICE) <= set(columns))


def _mapping(names: Mapping[str, str | None]) -> str:
    """The names as YAML on one line."""
    return "{" + ", ".join(f"{ours}: {_yaml(theirs)}" for ours, theirs in names.items()) + "}"


def _yaml(name: str | None) -> str:
    if name is None:
        return "null"
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name) else json.dumps(name)


def _quoted(name: str) -> str:
    return f"'{visible(name)}'"
