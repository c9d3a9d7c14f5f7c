"""How names out of people's data stand in messages."""

from collections.abc import Iterable

from sandbox.verdicts.visible import visible

MOST = 6
"""Names of one kind that a message holds."""


def listed(names: Iterable[object], most: int | None = MOST) -> str:
    """The names with what is invisible made visible, at most so many of them."""
    shown = [visible(str(name)) for name in names]
    more = 0 if most is None else len(shown) - most
    return f"{', '.join(shown[:most])} and {more} more" if more > 0 else ", ".join(shown) or "nothing"
