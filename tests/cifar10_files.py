"""CIFAR-10 files in the published binary format, with few images, written byte by byte as the data set's page describes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

NAMES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def record(label: int, red: Sequence[int], green: Sequence[int], blue: Sequence[int]) -> bytes:
    """One image: its label, then the 1,024 values of each colour, row by row."""
    assert len(red) == len(green) == len(blue) == 1024
    return bytes([label]) + bytes(red) + bytes(green) + bytes(blue)


def written(folder: Path, each: int = 8, seed: int = 0) -> Path:
    """The six files in `folder`, with `each` images in each. An image is bright where its class says, so that it can be learned."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        images = []
        for number in range(each):
            label = number % 10
            row = [250 if column // 3 == label else rng.randrange(60) for column in range(32)]
            images.append(record(label, row * 32, [rng.randrange(60)] * 1024, [label * 20] * 1024))
        (folder / f"{name}.bin").write_bytes(b"".join(images))
    return folder
