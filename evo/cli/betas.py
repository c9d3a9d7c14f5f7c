"""Betas in options of commands."""

from __future__ import annotations

from evo.config.schema import ConfigError


def betas_of(text: str | None) -> tuple[float, ...]:
    """The numbers of `--betas 0.05,0.5`, in order, each once; empty for None. Raises ConfigError."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--betas needs numbers separated by commas, got {text!r}") from None
    if not all(0 < value < float("inf") for value in values):
        raise ConfigError(f"--betas needs positive, finite numbers, got {text!r}")
    return tuple(sorted(set(values)))
