"""Reading of a judge's grades: a rating such as `[[5]]`, or a preference `[[A]]`, `[[B]]` or `[[C]]`.

A reply is untrusted and may quote the answers or its instructions. The last mark in the required form counts, because the judge is
asked to conclude with it; the judge's reasoning does not count. A reply without a clear mark has no grade.
"""

import re

from fitness.chat.replies.reasoning import without_reasoning

LOWEST, HIGHEST = 1.0, 10.0
"""Range of a rating."""
POINTS = {"A": 1.0, "B": 0.0, "C": 0.5}
"""Points of the answer that was shown first, by verdict."""
CHOICES = ["A", "B", "C"]
"""A reply that ends with the verdicts in the order of the instructions only repeats these."""

_NUMBER = r"\s*(?:rating\s*[:=]?\s*)?(?P<number>\d+(?:\.\d+)?)\s*"
_RATING = re.compile(rf"\[\[{_NUMBER}\]\]", re.IGNORECASE)
_SINGLE_BRACKETS = re.compile(rf"(?<![\w\[])\[{_NUMBER}\](?![\](])", re.IGNORECASE)
"""A number in single brackets, which is not an index (`a[5]`) and not a link (`[5](...)`)."""
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_EXAMPLE = re.compile(r"\bexample\b[^\n]{0,20}\Z", re.IGNORECASE)


def read_rating(text: str) -> float | None:
    """The rating in a judge's reply, from 1 to 10; None if there is none.

    Without double brackets, a number in single brackets counts if the reply has only one such number.
    """
    answer = without_reasoning(text)
    if answer is None:
        return None
    found = [m for m in _RATING.finditer(answer) if not _EXAMPLE.search(answer[max(0, m.start() - 40) : m.start()])]
    if found:
        return _in_range(float(found[-1]["number"]))
    numbers = {float(match["number"]) for match in _SINGLE_BRACKETS.finditer(answer)}
    return _in_range(numbers.pop()) if len(numbers) == 1 else None


def read_preference(text: str) -> float | None:
    """Points of the first answer in a judge's reply: 1, 0, or one half for a tie; None if there is no verdict."""
    answer = without_reasoning(text)
    found = _VERDICT.findall(answer) if answer else []
    if not found or found[-len(CHOICES) :] == CHOICES:
        return None
    return POINTS[found[-1]]


def _in_range(number: float) -> float | None:
    return number if LOWEST <= number <= HIGHEST else None
