"""Questions and reference answers of MT-Bench, in their published formats. All texts are untrusted.

    question.jsonl                {"question_id": 81, "category": "writing", "turns": ["...", "..."], "reference": ["...", "..."]}
    reference_answer/gpt-4.jsonl  {"question_id": 101, "choices": [{"turns": ["...", "..."]}]}

`reference` is optional, and some of its texts are empty: the published questions leave them so where any good answer will do. The
data set on the hub calls the identifier `prompt_id` and the turns `prompt`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fitness.benchmarks.protocol import BenchmarkError, Question
from fitness.preference.pairs.reading.json_rows import PACKED, placed_rows
from fitness.score import EvaluationFailed
from fitness.task.faults import did_you_mean

TURNS = 2
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""In the order of the published figures."""
REFERENCED = frozenset({"math", "reasoning", "coding"})
"""Categories in which the judge sees reference answers."""

QUESTION = 'expected {"question_id": 81, "category": "writing", "turns": ["...", "..."]}'
REFERENCE = 'expected {"question_id": 101, "choices": [{"turns": ["...", "..."]}]}'
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SUFFIXES = (".jsonl", ".ndjson", ".json", *PACKED)


def read_questions(source: str) -> dict[str, Question]:
    """The questions by identifier, in order; `source` is a file or a name on the hub. Raises BenchmarkError."""
    found: dict[str, Question] = {}
    places: dict[str, str] = {}
    for place, row in _rows(source, "questions", QUESTION):
        identifier = _identifier(place, row, QUESTION)
        if identifier in found:
            raise _fault(
                place, f"the question {identifier} was already on {places[identifier]}", "remove one of the two"
            )
        category = row.get("category")
        if category not in CATEGORIES:
            meant = did_you_mean(category, CATEGORIES) if isinstance(category, str) else ""
            raise _fault(
                place, f"unknown category {_short(category)}", f"expected one of {', '.join(CATEGORIES)}{meant}"
            )
        turns = _turns(place, "turns", row.get("turns", row.get("prompt")), QUESTION)
        references = row.get("reference") or []
        if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
            raise _fault(
                place, f"reference should be a list of texts, got {_short(references)}", "leave it out, or fix it"
            )
        found[identifier], places[identifier] = Question(identifier, turns, category, tuple(references)), place
    if not found:
        raise BenchmarkError(f"{source} has no question: {QUESTION}")
    return found


def read_references(source: str) -> dict[str, tuple[str, ...]]:
    """The reference answers by question; `source` is a file or a name on the hub. Raises BenchmarkError."""
    found: dict[str, tuple[str, ...]] = {}
    for place, row in _rows(source, "reference answers", REFERENCE):
        identifier = _identifier(place, row, REFERENCE)
        if identifier in found:
            raise _fault(place, f"a second reference answer to question {identifier}", "remove one of the two")
        choices = row.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        turns = first.get("turns") if isinstance(first, dict) else None
        found[identifier] = _turns(place, "choices[0].turns", turns, REFERENCE)
    return found


def _rows(source: str, what: str, expected: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their places. Raises BenchmarkError."""
    path = Path(source)
    with _as_benchmark_errors():
        if path.is_file():
            yield from placed_rows(path, expected)
        elif path.exists():
            raise BenchmarkError(f"{source} is not a regular file: give the file of the {what}")
        elif not _HUB_NAME.fullmatch(source) or source.lower().endswith(_SUFFIXES):
            raise BenchmarkError(f"there is no file {source}: give the file of the {what}, or a data set on the hub")
        else:
            yield from _hub_rows(source, what)


def _hub_rows(name: str, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    from datasets import load_dataset

    from fitness.preference.pairs.sources import loading

    with loading(what, name):
        rows = load_dataset(name, split="train")
    for number, row in enumerate(rows, start=1):
        yield f"row {number} of {name}", row


@contextmanager
def _as_benchmark_errors() -> Iterator[None]:
    try:
        yield
    except EvaluationFailed as failure:
        raise BenchmarkError(failure.detail) from failure
    except OSError as error:
        raise BenchmarkError(f"cannot read {error.filename}: {error.strerror}; check its permissions") from error


def _identifier(place: str, row: dict[str, Any], expected: str) -> str:
    value = row.get("question_id", row.get("prompt_id"))
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise _fault(place, f"the question_id should be a number or a text, got {_short(value)}", expected)
    return str(value)


def _turns(place: str, key: str, value: Any, expected: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(turn, str) and turn.strip() for turn in value):
        raise _fault(place, f"{key} should be {TURNS} texts that are not empty, got {_short(value)}", expected)
    if len(value) != TURNS:
        raise _fault(place, f"{key} should be {TURNS} texts, got {len(value)}", expected)
    return tuple(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _fault(place: str, problem: str, remedy: str) -> BenchmarkError:
    return BenchmarkError(f"{place}: {problem}: {remedy}")
