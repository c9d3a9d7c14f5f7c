"""Which sites of a loss decide by something that tells pairs apart (torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sandbox.evaluate import Array
from sandbox.inside import Inside
from sandbox.lookup.shifts import SHIFTS, pairs
from sandbox.sites import Site

ITEMS = 24
_STEP = 2.0**-10
"""Nats by which slopes are measured."""
_ROUNDING = 1e-11


@dataclass(frozen=True, eq=False)
class Keyed:
    """A site whose quantity changes when policy and reference move together.

    `quantity` (items, entries) at the pairs; `slope` (2, items, entries), per nat of a shift of the chosen and of the
    rejected completion; `straight`: whether those slopes are the same everywhere.
    """

    site: Site
    quantity: Array
    slope: Array
    straight: bool

    @property
    def moves(self) -> bool:
        """Whether the quantity changes with small shifts too, not in steps only."""
        return bool((np.abs(self.slope) > 0).any())


@dataclass(frozen=True, eq=False)
class Screen:
    """The pairs, shape (ITEMS, 4), the beta, and the sites that tell such pairs apart."""

    inputs: Array
    beta: float
    keyed: list[Keyed]


def screen(inside: Inside, sites: Sequence[Site], rng: np.random.Generator, beta: float) -> Screen:
    """The sites of `sites` whose quantity changes along shifts. One call. Raises CannotCompute."""
    inputs = pairs(rng, ITEMS, beta)
    far = inputs + _far(rng) @ SHIFTS
    nearby = [at + np.outer(_signs(), shift) * _STEP for at in (inputs, far) for shift in SHIFTS]
    quantities = inside.quantities(sites, np.concatenate([inputs, far, *nearby]), beta)
    keyed = []
    for site, q in zip(sites, quantities, strict=True):
        entry = _keyed(site, q.reshape(6, ITEMS, -1)) if q.shape[1] else None
        if entry is not None:
            keyed.append(entry)
    return Screen(inputs, beta, keyed)


def _keyed(site: Site, q: Array) -> Keyed | None:
    with np.errstate(all="ignore"):
        base, far = q[0], q[1]
        noise = _ROUNDING * (np.nanmax(np.abs(np.where(np.isfinite(q), q, np.nan)), initial=0.0) + 1e-300)
        changed = (np.abs(far - base) > noise) | (np.isfinite(far) != np.isfinite(base))
        if not changed.any():
            return None
        change = np.stack([q[2:4] - base, q[4:6] - far])  # (place, shift, items, entries)
        change[~(np.abs(change) > noise)] = 0.0
        slope = change / (_STEP * _signs()[:, None])
        apart = np.abs(slope[0] - slope[1]) > 1e-5 * np.abs(slope).max() + 2 * noise / _STEP
    return Keyed(site, base, slope[0], not apart.any())


def _far(rng: np.random.Generator) -> Array:
    """A shift of its own for each item and completion, so that statistics of the batch hide none."""
    return -np.round(rng.uniform(2.0, 40.0, (ITEMS, 2)) * 1024) / 1024


def _signs() -> Array:
    return np.where(np.arange(ITEMS) % 2 == 0, 1.0, -1.0)
