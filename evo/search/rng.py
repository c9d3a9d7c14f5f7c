"""Everything random derives from the run's seed and a path of names and numbers, so a step can be repeated on its own."""

from __future__ import annotations

import hashlib
import random


def derive(seed: int, *path: object) -> int:
    """A seed in [0, 2^31) for this place in the run; equal paths give equal seeds, whatever ran before."""
    digest = hashlib.sha256("/".join(map(str, (seed, *path))).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF


def stream(seed: int, *path: object) -> random.Random:
    """A generator of its own for this place in the run."""
    return random.Random(derive(seed, *path))
