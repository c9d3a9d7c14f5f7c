"""Pairs that are stored as two responses and the number of the chosen one.

The responses are two columns whose names end in 0 and 1, 1 and 2, a and b or A and B, or one column, `responses`, that holds two:
a list, or an object with such names. The number is read strictly, since a wrong guess would turn every preference around: it is the
end of the chosen response's name, or its position in a list, counted from 0.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fitness.preference.pairs.reading.listing import listed
from fitness.preference.pairs.reading.turns import Misfit
from sandbox.verdicts.visible import visible

BOTH = "responses"
"""The column that holds both responses, by our name."""
NUMBER = "preferred"
"""The column with the number, by our name."""
NUMBER_COLUMNS = ("chosen", NUMBER)
"""Columns that are read as the number if none is named."""
ENDS = (("0", "1"), ("1", "2"), ("a", "b"), ("A", "B"))
"""Ends of the names of two responses."""
TWO_RESPONSES = (
    "expected a list of two responses, or an object with two names that end in 0 and 1, 1 and 2, a and b or A and B"
)
Held = TypeVar("Held")
ANSWERS = re.compile(
    r"response|answer|output|completion|conversation|summary|reply|generation|candidate|text", re.IGNORECASE
)


def numbered(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of columns of answers whose names differ in a number or letter at the end."""
    ends = [(column, column[:-1] + second) for first, second in ENDS for column in columns if column.endswith(first)]
    return [(column, other) for column, other in ends if other in columns and ANSWERS.search(column)]


def indexed(columns: Sequence[str], wanted: Mapping[str, str | None]) -> dict[str, str]:
    """The columns of two responses and the number, by the names chosen, rejected and preferred; empty for data of another form.

    `wanted`: the user's names. If none is the number's, it is `chosen` or `preferred`, in data without a column `rejected`.
    """
    if NUMBER not in wanted and ("rejected" in columns or {"chosen", "rejected"} & wanted.keys()):
        return {}
    number = wanted.get(NUMBER) or next((name for name in NUMBER_COLUMNS if name in columns), None)
    both = wanted.get(BOTH) or (BOTH if BOTH in columns else None)
    first, second = (both, both) if both else next(iter(numbered(columns)), (None, None))
    if number is None or first is None or second is None:
        return {}
    return {"chosen": first, "rejected": second, NUMBER: number}


def responses(row: Mapping[str, Any], read: Mapping[str, str]) -> dict[str, Any]:
    """The two responses of a row by the end of their names, in order; positions from 0 in a list. Raises Misfit."""
    first, second = read["chosen"], read["rejected"]
    if first != second:
        return {first[-1]: row.get(first), second[-1]: row.get(second)}
    held = row.get(first)
    if isinstance(held, Mapping):
        names = sorted(map(str, held))
        if tuple(name[-1:] for name in names) not in ENDS:
            raise Misfit(f"an object with {listed(held)}", TWO_RESPONSES)
        return {name[-1]: held[name] for name in names}
    if not isinstance(held, list):
        raise Misfit(_described(held), TWO_RESPONSES)
    if len(held) != 2:
        raise Misfit(f"{len(held)} responses", TWO_RESPONSES)
    if any(isinstance(item, Mapping) for item in held):  # two turns may be one conversation
        raise Misfit("a list of two objects", f"{TWO_RESPONSES}, each a text or a list of turns")
    return dict(zip(("0", "1"), held, strict=True))


def ordered(both: Mapping[str, Held], number: Any) -> tuple[Held, Held]:
    """The chosen and the rejected one of two responses by the end of their names. Raises Misfit for any other number."""
    ends = [int(end) if end.isdigit() else end for end in both]
    if isinstance(number, bool) or number not in ends:
        raise Misfit(_described(number), f"expected {ends[0]} or {ends[1]}, the number of the chosen response")
    first, second = both.values()
    return (first, second) if number == ends[0] else (second, first)


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{visible(value[:40])}'"
    return "a null" if value is None else str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
