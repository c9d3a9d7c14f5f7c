"""CIFAR-10 in its published binary format. Nothing is downloaded.

The folder `cifar-10-batches-bin` holds data_batch_1.bin to data_batch_5.bin and test_batch.bin (Krizhevsky 2009, "Learning Multiple
Layers of Features from Tiny Images"; the data set's page calls it the binary version). A file is 10,000 records of 3,073 bytes,
without anything between them: the class from 0 to 9, then 1,024 bytes each of red, green and blue, row by row.

Threat model. The files may come from anyone. Covered: a file that is missing, cut off, too long or not a regular file, a class out
of range; all are refused with file and byte. The data set's Python version is refused too: its files are pickles, and reading a
pickle runs code that it names. Not covered: images that are not those of CIFAR-10.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitness.score import MOST_ITEMS, EvaluationFailed, bad_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fitness.classification.examples import Examples, Loaded

FOLDER = "cifar-10-batches-bin"
TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
IMAGE = (3, 32, 32)
"""Channels, rows and columns."""
RECORD = 1 + 3 * 32 * 32
"""Bytes of a record."""
PUBLISHED = 10_000
"""Records of a published file."""
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of red, green and blue over all pixels of the 50,000 training images, as fractions of 255."""

_CLASSES = 10
_PICKLE = 0x80
"""First byte of a pickle of protocol 2 or newer."""
_GET = "get the data set's binary version (cifar-10-binary.tar.gz), and unpack it there or name its folder in fitness.data_dir"


def files_in(data_dir: Path) -> Mapping[Path, int]:
    """The six files in order and the number of records in each, by their sizes alone.

    `data_dir` is the folder `cifar-10-batches-bin`, or the folder that it is in. Raises EvaluationFailed('bad_data').
    """
    folder = data_dir / FOLDER if (data_dir / FOLDER).is_dir() else data_dir
    if not (folder / TRAINING[0]).exists():
        for place in (data_dir, data_dir / "cifar-10-batches-py"):
            if (place / "data_batch_1").exists():
                raise bad_data(
                    f"{place} holds the Python version of CIFAR-10, which is not read, since its files are pickles and "
                    "reading a pickle runs code that it names",
                    _GET,
                )
    return {path: _records(path) for path in (folder / name for name in (*TRAINING, TEST))}


def load_cifar10(data_dir: Path) -> "Loaded":
    """All images: inputs of whole numbers from 0 to 255, shape (items, 3, 32, 32). Imports torch; raises as `files_in`."""
    from fitness.classification.examples import Loaded

    files = files_in(data_dir)
    *training, test = files
    notes = tuple(
        f"{path.name} holds {records:,} images; as published it has {PUBLISHED:,}."
        for path, records in files.items()
        if records != PUBLISHED
    )
    return Loaded(_examples([read_file(path) for path in training]), _examples([read_file(test)]), notes)


def digest(data_dir: Path) -> str | None:
    """Digest of the contents of the six files; None if they cannot be used, so that other checks can say why."""
    found = hashlib.sha256()
    try:
        for path in files_in(data_dir):
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    except (EvaluationFailed, OSError):
        return None
    return found.hexdigest()[:16]


def read_file(path: Path) -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """Images, shape (records, 3, 32, 32), and classes, shape (records,), of a file. Raises EvaluationFailed('bad_data')."""
    records = _records(path)
    try:
        table = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise bad_data(f"cannot read {path} ({error.strerror or error})", _GET) from None
    if len(table) != records * RECORD:
        raise bad_data(f"{path} changed while it was read", "try again")
    table = table.reshape(records, RECORD)
    classes = table[:, 0]
    if wrong := np.flatnonzero(classes >= _CLASSES).tolist():
        record, value = wrong[0], int(classes[wrong[0]])
        pickled = " (the file begins as a pickle does)" * (record == 0 and value == _PICKLE)
        raise bad_data(
            f"{path}: the class at byte {record * RECORD:,} (record {record + 1:,}) is {value}, expected 0 to {_CLASSES - 1}"
            f"{pickled}",
            _GET,
        )
    return table[:, 1:].reshape(records, *IMAGE), classes


def _records(path: Path) -> int:
    """Number of records by the size of a file."""
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise bad_data(f"CIFAR-10 in its binary format: {path} {what}", _GET)
    size = path.stat().st_size
    records, rest = divmod(size, RECORD)
    if rest or not records:
        where = f"record {records + 1:,} begins at byte {records * RECORD:,} and is cut off at byte {size:,}"
        raise bad_data(
            f"{path} has {size:,} bytes, expected a whole number of records of {RECORD:,} bytes: "
            + (where if rest else "it is empty"),
            _GET,
        )
    if records > MOST_ITEMS:
        raise bad_data(f"{path} has {records:,} records, expected at most {MOST_ITEMS:,}", _GET)
    return records


def _examples(parts: "list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]") -> "Examples":
    import torch

    from fitness.classification.examples import Examples

    images, classes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Examples(torch.from_numpy(images), torch.from_numpy(classes.astype(np.int64)))
