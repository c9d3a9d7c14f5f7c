"""Keys of the configuration that had another name in an earlier version; files, `--set` and recorded runs may still use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "ladder.yardstick_betas": "ladder.baseline_betas",
    "ladder.yardstick_learning_rates": "ladder.baseline_learning_rates",
    "ladder.yardstick_widenings": "ladder.baseline_widenings",
}
"""Key of today, by the key of an earlier version. Both are dotted; a key stays in its section."""


def key_of_today(key: str) -> str:
    """The name that a dotted key has today."""
    return RENAMED.get(key, key)


def with_keys_of_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with every key under the name that it has today.

    Where both names of a key are given, the old one stays as it is, so that validation refuses it as unknown.
    """
    found = dict(settings)
    for old, new in RENAMED.items():
        section, _, name = old.partition(".")
        values, today = found.get(section), new.partition(".")[2]
        if isinstance(values, Mapping) and name in values and today not in values:
            found[section] = {today if key == name else key: value for key, value in values.items()}
    return found
