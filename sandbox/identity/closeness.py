"""Distance between the gradients of two losses, and search for equal fingerprints. No torch.

Two gradients g1 and g2 of one argument at one pair agree if |g1 - g2| <= TOLERANCE * max(|g1|, |g2|, t). The typical size t is
the mean absolute gradient of both losses over the usual pairs of the batch, with |beta rho| <= 3. A training step sums over a
batch, so differences that are small compared with t have no effect, for example in a tail of size 1e-12 or at a zero of the
gradient. A finite gradient and one that is not finite do not agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.identity.sameness import TOLERANCE
from sandbox.verdicts.verdict import Fingerprint

Array = npt.NDArray[np.float64]

PROPOSED_WITHIN = 4 * TOLERANCE
"""The tolerance for fingerprints. It is wider, since their typical sizes are means over other pairs than those of the confirming
comparison: two losses that agree at fresh points must have fingerprints within it."""

PREFERENCE_BATCHES = (8, 8, 8, 8, 8, 17, 2)
"""Sizes of the batches of a preference fingerprint in the format f1."""
SCORE_BATCHES = tuple(classes * size for classes in (2, 3, 10) for size in (2, 3, 7, 12))
"""The same for a classification fingerprint, counting scores."""


def gaps(a: Array, b: Array, typical: Array) -> Array:
    """|a - b| as a share of max(|a|, |b|, typical), element by element; infinite where only one of them is finite."""
    one, other = np.isfinite(a), np.isfinite(b)
    with np.errstate(all="ignore"):
        share = np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), typical)
    share = np.where(one & other, np.nan_to_num(share, nan=0.0), 0.0)
    return np.asarray(np.where(one != other, np.inf, share))


def mean_size(gradients: Array) -> float:
    """Mean absolute value of the finite gradients; 0 if there are none."""
    sizes = np.abs(gradients[np.isfinite(gradients)])
    return float(sizes.mean()) if sizes.size else 0.0


def find_duplicates(fingerprint: Fingerprint, others: Sequence[Fingerprint]) -> list[int]:
    """The indices of all of `others` whose gradients are within PROPOSED_WITHIN, the nearest first.

    It compares vectors, not keys, because two almost equal losses can lie in different buckets. Fingerprints of different formats
    or contracts are never compared. The results are proposals: `compare.same_loss` confirms them.
    """
    index = FingerprintIndex()
    for number, other in enumerate(others):
        index.add(number, other)
    return index.near(fingerprint)


class FingerprintIndex:
    """Fingerprints of losses by candidate id, in the order of `add`. `near` is `find_duplicates` over all of them.

    The gradients are kept as rows of one array. A look-up compares a few positions of all rows first: two fingerprints are within
    the tolerance only if every position is.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], _Rows] = {}

    def add(self, candidate_id: int, fingerprint: Fingerprint) -> None:
        """Add a fingerprint."""
        form = _form(fingerprint)
        if form not in self._rows:
            self._rows[form] = _Rows(len(fingerprint.vector))
        self._rows[form].add(candidate_id, fingerprint)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def near(self, fingerprint: Fingerprint) -> list[int]:
        """Ids of the losses whose gradients are within PROPOSED_WITHIN, the nearest first."""
        rows = self._rows.get(_form(fingerprint))
        return rows.near(fingerprint) if rows is not None and fingerprint.vector else []


FIRST_LOOK = 6
"""Positions of a fingerprint that a look-up compares first."""


class _Rows:
    """Fingerprints of one format: gradients and their typical sizes, one row per loss."""

    def __init__(self, length: int) -> None:
        self._ids: list[int] = []
        self._vectors = np.zeros((64, length))
        self._typical = np.zeros((64, length))
        self._sized = 0
        """Number of rows whose typical sizes are computed. Those of the others are, all at once, when they are first needed."""
        self._first = np.linspace(0, max(0, length - 1), min(FIRST_LOOK, length)).astype(int)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, candidate_id: int, fingerprint: Fingerprint) -> None:
        n = len(self._ids)
        if n == len(self._vectors):
            self._vectors, self._typical = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self._vectors, self._typical)
            )
        self._vectors[n] = fingerprint.vector
        self._ids.append(candidate_id)

    def near(self, fingerprint: Fingerprint) -> list[int]:
        mine = np.array([fingerprint.vector], dtype=float)
        typical = _typical(mine)
        rows = np.arange(len(self._ids))
        if self._sized < len(rows):
            self._typical[self._sized : len(rows)] = _typical(self._vectors[self._sized : len(rows)])
            self._sized = len(rows)
        for positions in (self._first, np.arange(mine.shape[1])):
            theirs = self._vectors[np.ix_(rows, positions)]
            sizes = np.maximum(typical[:, positions], self._typical[np.ix_(rows, positions)])
            furthest = gaps(mine[:, positions], theirs, sizes).max(axis=1)
            rows, furthest = rows[furthest <= PROPOSED_WITHIN], furthest[furthest <= PROPOSED_WITHIN]
        return [self._ids[i] for i in rows[np.argsort(furthest, kind="stable")]]


def _form(fingerprint: Fingerprint) -> tuple[str, int]:
    return version(fingerprint.key), len(fingerprint.vector)


def factor_between(a: Fingerprint, b: Fingerprint) -> float | None:
    """The positive factor c with a = c * b for the gradients, within PROPOSED_WITHIN; None if there is none."""
    if not comparable(a, b) or not a.vector or _without_factor(a.vector, b.vector):
        return None
    mine, theirs = (np.array([f.vector], dtype=float) for f in (a, b))
    usable = (np.abs(theirs) > 1e-3 * _typical(theirs)) & (np.abs(theirs) < 1e299)
    if not usable.any():
        return None
    with np.errstate(all="ignore"):
        factor = float(np.median(mine[usable] / theirs[usable]))
    if not 0 < factor < np.inf:
        return None
    with np.errstate(over="ignore"):
        theirs = np.clip(factor * theirs, -1e300, 1e300)
    furthest = gaps(mine, theirs, np.maximum(_typical(mine), _typical(theirs))).max()
    return factor if furthest <= PROPOSED_WITHIN else None


def _without_factor(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the quotients at the largest gradients already show that there is no common factor, as for nearly all losses.

    At a gradient of a tenth of the largest, the typical size is at most ten times as large, so that quotients of multiples differ
    by at most 20 * PROPOSED_WITHIN, which is 1 %.
    """
    least, most = math.inf, 0.0
    for position, gradient in _strong(tuple(b)):
        if abs(a[position]) >= 1e299:
            return False
        quotient = a[position] / gradient
        least, most = min(least, quotient), max(most, quotient)
        if least <= 0 or most > 1.05 * least:
            return True
    return False


@lru_cache(maxsize=64)
def _strong(vector: tuple[float, ...]) -> list[tuple[int, float]]:
    """The gradients of at least a tenth of the largest finite one, with their positions. Empty if all are 0."""
    largest = max((size for size in map(abs, vector) if size < 1e299), default=0.0)
    return [(i, y) for i, y in enumerate(vector) if largest and 0.1 * largest <= abs(y) < 1e299]


def comparable(a: Fingerprint, b: Fingerprint) -> bool:
    """Whether two fingerprints have gradients at the same points, which means one format and one contract."""
    return version(a.key) == version(b.key) and len(a.vector) == len(b.vector)


def readable(fingerprint: Any) -> Fingerprint | None:
    """The fingerprint in an archive's JSON value; None if it is missing or malformed."""
    try:
        key, scale_key, beta_key = (str(fingerprint[name]) for name in ("key", "scale_key", "beta_key"))
        return Fingerprint(key, scale_key, beta_key, tuple(map(float, fingerprint["vector"])))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def version(key: str) -> str:
    """The format version in a fingerprint's key: `f1` for `f1:...`, empty if it has none."""
    return key.rpartition(":")[0]


def _typical(vectors: Array) -> Array:
    """The typical size at each position of vectors (losses, positions): the mean over the batch that the position belongs to."""
    groups = _groups(vectors.shape[1])
    # Infinities are stored as +-1e300, which would dominate the mean.
    sizes = np.where(np.abs(vectors) < 1e299, np.abs(vectors), 0.0)
    means = np.stack([sizes[:, groups == g].mean(axis=1) for g in range(groups.max() + 1)], axis=1)
    return np.asarray(np.maximum(means, 1e-12 * means.max(axis=1, keepdims=True))[:, groups])


@cache
def _groups(length: int) -> npt.NDArray[np.int64]:
    """The index of the batch for each position of a vector; 0 for all if the layout is unknown."""
    if length == 2 * sum(PREFERENCE_BATCHES):
        return np.tile(np.repeat(np.arange(len(PREFERENCE_BATCHES)), PREFERENCE_BATCHES), 2)
    if length == sum(SCORE_BATCHES):
        return np.repeat(np.arange(len(SCORE_BATCHES)), SCORE_BATCHES)
    return np.zeros(length, dtype=np.int64)
