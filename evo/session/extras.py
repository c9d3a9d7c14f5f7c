"""Optional packages that a command needs, looked for before it makes or starts anything."""

from __future__ import annotations

from importlib.util import find_spec

from evo.config.schema import ConfigError

TRAINING = ("torch", "transformers", "trl", "datasets", "accelerate")
"""Of the extra `train`: what vetting by numbers and every training need."""


def require_training() -> None:
    """Raises ConfigError, with the command that installs them, where packages are missing that all training needs."""
    missing = [name for name in TRAINING if find_spec(name) is None]
    if missing:
        raise ConfigError(f"training needs {', '.join(missing)}, not installed here; run: pip install 'evopo[train]'")


def missing_pictures_note() -> str | None:
    """What to say before a run whose report will have no pictures, with the command that changes it; None otherwise."""
    if find_spec("matplotlib") is None:
        return "The report will have no pictures: matplotlib is not installed; run: pip install 'evopo[plots]'"
    return None
