"""Configuration keys with another name in an earlier version; files, `--set` and recorded runs may still use the old names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "ladder.yardstick_betas": "ladder.baseline_betas",
    "ladder.yardstick_learning_rates": "ladder.baseline_learning_rates",
    "ladder.yardstick_widenings": "ladder.baseline_widenings",
}
"""Current key by old key, both dotted. A key stays in its section."""


def key_of_today(key: str) -> str:
    """The current name of a dotted key."""
    return RENAMED.get(key, key)


def with_keys_of_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with current key names. If both names of a key are given, the old one stays, so that validation refuses it."""
    found = dict(settings)
    for old, new in RENAMED.items():
        section, _, name = old.partition(".")
        values, today = found.get(section), new.partition(".")[2]
        if isinstance(values, Mapping) and name in values and today not in values:
            found[section] = {today if key == name else key: value for key, value in values.items()}
    return found


def given_twice(settings: Mapping[str, Any]) -> list[str]:
    """One message for each key that is given under both of its names."""
    found = []
    for old, new in RENAMED.items():
        section, _, name = old.partition(".")
        values = settings.get(section)
        if isinstance(values, Mapping) and name in values and new.partition(".")[2] in values:
            found.append(f"{old} is an earlier name of {new}, and both are given; remove {old}")
    return found
