"""Lists of names from users' data for messages."""

from collections.abc import Iterable

from sandbox.verdicts.visible import visible

MOST = 6
"""Most names in one list."""


def listed(names: Iterable[object], most: int | None = MOST) -> str:
    """The first `most` names, with invisible characters escaped, and the number of the others; "nothing" without names."""
    shown = [visible(str(name)) for name in names]
    more = 0 if most is None else len(shown) - most
    return f"{', '.join(shown[:most])} and {more} more" if more > 0 else ", ".join(shown) or "nothing"
