"""Random numbers of a run, derived from its seed and a path of names and numbers, so that each step can be repeated alone."""

from __future__ import annotations

import hashlib
import random


def derive(seed: int, *path: object) -> int:
    """A seed in [0, 2^31) for this path. Equal paths give equal seeds, independent of what ran before."""
    digest = hashlib.sha256("/".join(map(str, (seed, *path))).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF


def stream(seed: int, *path: object) -> random.Random:
    """A random generator seeded for this path."""
    return random.Random(derive(seed, *path))
