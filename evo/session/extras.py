"""Checks for optional packages, made before a command creates or starts anything."""

from __future__ import annotations

from importlib.util import find_spec

from evo.config.schema import ConfigError

TRAINING = ("torch", "transformers", "trl", "datasets", "accelerate")
"""Packages of the extra `train` that the numeric tests of the sandbox and every training need."""


def require_training() -> None:
    """Raise ConfigError with the install command if packages that every training needs are missing."""
    missing = [name for name in TRAINING if find_spec(name) is None]
    if missing:
        raise ConfigError(f"training needs {', '.join(missing)}, not installed here; run: pip install 'evopo[train]'")


def missing_pictures_note() -> str | None:
    """A note with the install command if the report will have no pictures; None if matplotlib is installed."""
    if find_spec("matplotlib") is None:
        return "The report will have no pictures: matplotlib is not installed; run: pip install 'evopo[plots]'"
    return None
