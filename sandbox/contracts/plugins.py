"""Contracts of other people's packages, found by the entry point group `evopo.contracts`."""

from __future__ import annotations


def load(name: str) -> None:
    """Register the contract called `name` of an installed package, if one has it."""


def names() -> tuple[str, ...]:
    """The names of all contracts of installed packages, without importing these."""
    return ()
