"""Questions and reference answers of MT-Bench, in their published formats. All texts are untrusted.

    question.jsonl                {"question_id": 81, "category": "writing", "turns": ["...", "..."], "reference": ["...", "..."]}
    reference_answer/gpt-4.jsonl  {"question_id": 101, "choices": [{"turns": ["...", "..."]}]}

`reference` is optional, and some of its texts are empty: the published questions leave them so where any good answer will do. The
data set on the hub calls the identifier `prompt_id` and the turns `prompt`.
"""

from typing import Any

from fitness.benchmarks.protocol import BenchmarkError, Question
from fitness.benchmarks.rows import placed_rows
from fitness.task.faults import did_you_mean

TURNS = 2
CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""In the order of the published figures."""
REFERENCED = frozenset({"math", "reasoning", "coding"})
"""Categories in which the judge sees reference answers."""

QUESTIONS, REFERENCES = "mt-bench.questions", "mt-bench.references"
"""The options that name the files."""
QUESTION = 'expected {"question_id": 81, "category": "writing", "turns": ["...", "..."]}'
REFERENCE = 'expected {"question_id": 101, "choices": [{"turns": ["...", "..."]}]}'


def read_questions(source: str) -> dict[str, Question]:
    """The questions by identifier, in order; `source` is a file, a folder or a name on the hub. Raises BenchmarkError."""
    found: dict[str, Question] = {}
    places: dict[str, str] = {}
    for place, row in placed_rows(source, QUESTIONS, QUESTION):
        where = f"{QUESTIONS}: {place}"
        identifier = _identifier(where, row, QUESTION)
        if identifier in found:
            raise _fault(
                where, f"the question {identifier} was already on {places[identifier]}", "remove one of the two"
            )
        category = row.get("category")
        if category not in CATEGORIES:
            meant = did_you_mean(category, CATEGORIES) if isinstance(category, str) else ""
            raise _fault(
                where, f"unknown category {_short(category)}", f"expected one of {', '.join(CATEGORIES)}{meant}"
            )
        turns = _turns(where, "turns", row.get("turns", row.get("prompt")), QUESTION)
        references = row.get("reference") or []
        if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
            raise _fault(
                where, f"reference should be a list of texts, got {_short(references)}", "leave it out, or fix it"
            )
        found[identifier], places[identifier] = Question(identifier, turns, category, tuple(references)), place
    return found


def read_references(source: str) -> dict[str, tuple[str, ...]]:
    """The reference answers by question; `source` is a file, a folder or a name on the hub. Raises BenchmarkError."""
    found: dict[str, tuple[str, ...]] = {}
    for place, row in placed_rows(source, REFERENCES, REFERENCE):
        where = f"{REFERENCES}: {place}"
        identifier = _identifier(where, row, REFERENCE)
        if identifier in found:
            raise _fault(where, f"a second reference answer to question {identifier}", "remove one of the two")
        choices = row.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        turns = first.get("turns") if isinstance(first, dict) else None
        found[identifier] = _turns(where, "choices[0].turns", turns, REFERENCE)
    return found


def _identifier(where: str, row: dict[str, Any], expected: str) -> str:
    value = row.get("question_id", row.get("prompt_id"))
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise _fault(where, f"the question_id should be a number or a text, got {_short(value)}", expected)
    return str(value)


def _turns(where: str, key: str, value: Any, expected: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(turn, str) and turn.strip() for turn in value):
        raise _fault(where, f"{key} should be {TURNS} texts that are not empty, got {_short(value)}", expected)
    if len(value) != TURNS:
        raise _fault(where, f"{key} should be {TURNS} texts, got {len(value)}", expected)
    return tuple(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _fault(where: str, problem: str, remedy: str) -> BenchmarkError:
    return BenchmarkError(f"{where}: {problem}: {remedy}")
