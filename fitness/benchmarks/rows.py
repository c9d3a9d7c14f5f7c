"""Rows of a benchmark's data, from a local file or folder or from the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fitness.benchmarks.protocol import BenchmarkError
from fitness.preference.pairs.reading import json_rows
from fitness.preference.pairs.reading.files import kind
from fitness.preference.pairs.reading.folders import local_source
from fitness.score import EvaluationFailed


def data_rows(name: str, key: str, expected: str, *, split: str = "train", file: str = "") -> Sequence[dict[str, Any]]:
    """All rows of `name`, in order, as `placed_rows`."""
    return [row for _, row in placed_rows(name, key, expected, split=split, file=file)]


def placed_rows(
    name: str, key: str, expected: str, *, split: str = "train", file: str = ""
) -> Sequence[tuple[str, dict[str, Any]]]:
    """All rows of `name` with their places, such as `line 3 of FILE`: a file, a folder, or a data set on the hub.

    On the hub `file` is read, or the whole split. `key` is the option that names it, `expected` describes a row. Raises
    BenchmarkError with the file and line.
    """
    path = Path(name).expanduser()
    if not path.exists() and (kind(path) or name.startswith((".", "/", "~"))):
        raise BenchmarkError(f"{key}: there is no file {path}")
    if path.is_file() and not path.stat().st_size:
        raise BenchmarkError(f"{key}: {path} is empty; {expected}")
    try:
        rows = list(_local(path, split, expected) if path.exists() else _from_hub(name, key, split, file, expected))
    except EvaluationFailed as error:
        raise BenchmarkError(f"{key}: {error.detail}") from None
    except OSError as error:
        raise BenchmarkError(f"{key}: cannot read {name} ({error})") from None
    if not rows:
        raise BenchmarkError(f"{key}: {name} has no rows; {expected}")
    return rows


def hub_file(name: str, key: str, file: str) -> Path:
    """A file of a data set on the hub, in the hub's cache. Raises BenchmarkError."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise BenchmarkError(
            f"{key}: {name} is no file here, and the hub needs huggingface_hub; run: pip install 'evopo[train]'"
        ) from None
    try:
        return Path(hf_hub_download(repo_id=name, filename=file, repo_type="dataset"))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise BenchmarkError(_unreachable(name, key, error)) from None


def _local(path: Path, split: str, expected: str) -> Iterator[tuple[str, dict[str, Any]]]:
    source = local_source(path, "train" if path.is_file() else split, None)
    if path.is_file() and kind(path) == "json":
        return json_rows.placed_rows(path, expected)
    return _numbered(str(path), source.rows())


def _numbered(name: str, rows: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"row {number} of {name}", dict(row)) for number, row in enumerate(rows, start=1))


def _from_hub(name: str, key: str, split: str, file: str, expected: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if file:
        return _local(hub_file(name, key, file), split, expected)
    try:
        from datasets import load_dataset
    except ImportError:
        raise BenchmarkError(
            f"{key}: {name} is no file here, and the hub needs datasets; run: pip install 'evopo[train]'"
        ) from None
    try:
        return _numbered(name, load_dataset(name, split=split))
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchmarkError(_unreachable(name, key, error)) from None


def _unreachable(name: str, key: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    return (
        f"{key}: {name} is no file here, and cannot be read from the hub ({said}); give a local file, or check the name"
    )
