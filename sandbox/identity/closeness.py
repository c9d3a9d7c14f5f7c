"""Distance between the gradients of two losses, and search for equal fingerprints. No torch.

Two gradients g1 and g2 of one argument at one pair agree if |g1 - g2| <= TOLERANCE * max(|g1|, |g2|, t). The typical size t is
the mean absolute gradient of both losses over the usual pairs of the batch, with |beta rho| <= 3. A training step sums over a
batch, so differences that are small compared with t have no effect, for example in a tail of size 1e-12 or at a zero of the
gradient. A finite gradient and one that is not finite do not agree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
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

    The gradients at one position of all losses lie side by side. A look-up compares a few positions one after the other, each for
    the losses that are left: two fingerprints are within the tolerance only if every position is.
    """

    def __init__(self) -> None:
        self._formats: dict[tuple[str, int], _Format] = {}

    def add(self, candidate_id: int, fingerprint: Fingerprint) -> None:
        """Add a fingerprint."""
        form = _form(fingerprint)
        if form not in self._formats:
            self._formats[form] = _Format(len(fingerprint.vector))
        self._formats[form].add(candidate_id, fingerprint)

    def __len__(self) -> int:
        return sum(map(len, self._formats.values()))

    def near(self, fingerprint: Fingerprint) -> list[int]:
        """Ids of the losses whose gradients are within PROPOSED_WITHIN, the nearest first."""
        comparable = self._formats.get(_form(fingerprint))
        return comparable.near(fingerprint) if comparable is not None and fingerprint.vector else []


FIRST_LOOK = 6
"""Number of positions of a fingerprint that a look-up compares one by one."""


class _Format:
    """Fingerprints of one format: gradients and their typical sizes, each an array (positions, losses)."""

    def __init__(self, length: int) -> None:
        self._ids: list[int] = []
        self._gradients = np.zeros((length, 64))
        self._typical = np.zeros((length, 64))
        self._sized = 0
        """Number of losses whose typical sizes are computed. Those of the others are, all at once, when they are first needed."""
        self._first = np.linspace(0, max(0, length - 1), min(FIRST_LOOK, length)).astype(int)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, candidate_id: int, fingerprint: Fingerprint) -> None:
        n = len(self._ids)
        if n == self._gradients.shape[1]:
            self._gradients, self._typical = (
                np.concatenate([a, np.zeros_like(a)], axis=1) for a in (self._gradients, self._typical)
            )
        self._gradients[:, n] = fingerprint.vector
        self._ids.append(candidate_id)

    def near(self, fingerprint: Fingerprint) -> list[int]:
        mine = np.array([fingerprint.vector], dtype=float)
        typical, left = _typical(mine), np.arange(len(self._ids))
        if self._sized < len(left):
            new = slice(self._sized, len(left))
            self._typical[:, new] = _typical(self._gradients[:, new].T).T
            self._sized = len(left)
        furthest = np.zeros(len(left))
        for positions in (*self._first[:, None], np.arange(mine.shape[1])):
            at = np.ix_(positions, left)
            sizes = np.maximum(typical[0, positions, None], self._typical[at])
            furthest = gaps(mine[0, positions, None], self._gradients[at], sizes).max(axis=0)
            left, furthest = left[furthest <= PROPOSED_WITHIN], furthest[furthest <= PROPOSED_WITHIN]
            if not left.size:
                return []
        return [self._ids[i] for i in left[np.argsort(furthest, kind="stable")]]


def _form(fingerprint: Fingerprint) -> tuple[str, int]:
    """What fingerprints have in common whose gradients are at the same points: one format and one contract."""
    return version(fingerprint.key), len(fingerprint.vector)


class Multiples:
    """The positive multiples of one loss, which is compared with many. Its fingerprint must have gradients."""

    def __init__(self, loss: Fingerprint) -> None:
        self._version, self._length = _form(loss)
        self._gradients = np.array([loss.vector], dtype=float)
        sizes, typical = np.abs(self._gradients), _typical(self._gradients)
        self._usable = (sizes > 1e-3 * typical) & (sizes < 1e299)
        strong = (sizes > 0.1 * typical) & (sizes < 1e299)
        self._strong = [(i, y) for i, y in enumerate(loss.vector) if strong[0, i]]
        """The finite gradients above a tenth of their typical size, with their positions."""

    def factor(self, other: Fingerprint) -> float | None:
        """The positive factor c with other = c * loss for the gradients, within PROPOSED_WITHIN; None if there is none."""
        if len(other.vector) != self._length or self.excludes(other.vector):
            return None
        if version(other.key) != self._version or not self._usable.any():
            return None
        mine, theirs = np.array([other.vector], dtype=float), self._gradients
        with np.errstate(all="ignore"):
            factor = float(np.median(mine[self._usable] / theirs[self._usable]))
        if not 0 < factor < np.inf:
            return None
        with np.errstate(over="ignore"):
            theirs = np.clip(factor * theirs, -1e300, 1e300)
        furthest = gaps(mine, theirs, np.maximum(_typical(mine), _typical(theirs))).max()
        return factor if furthest <= PROPOSED_WITHIN else None

    def excludes(self, vector: Sequence[float]) -> bool:
        """Whether the quotients at strong gradients already show that there is no common factor, as for nearly all losses.

        `vector` holds all gradients of a loss or the first of them.
        The typical size is at most ten times as large as these, so that quotients of multiples differ by at most
        20 * PROPOSED_WITHIN, which is 1 %.
        """
        least, most = math.inf, 0.0
        for position, gradient in self._strong:
            if position >= len(vector) or abs(vector[position]) >= 1e299:
                return False
            quotient = vector[position] / gradient
            if quotient < least:
                least = quotient
            if quotient > most:
                most = quotient
            if least <= 0 or most > 1.05 * least:
                return True
        return False


def readable(fingerprint: Any) -> Fingerprint | None:
    """The fingerprint in an archive's JSON value; None if it is missing or malformed."""
    try:
        key, scale_key, beta_key = (str(fingerprint[name]) for name in ("key", "scale_key", "beta_key"))
        return Fingerprint(key, scale_key, beta_key, tuple(map(float, fingerprint["vector"])))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def beginning(text: str) -> Fingerprint | None:
    """A fingerprint with the gradients that stand in the beginning of its JSON text; None if its keys do not stand there."""
    try:
        return readable(json.loads(f"{text[: text.rindex(',')]}]}}"))
    except ValueError:
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
