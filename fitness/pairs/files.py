"""Data on this disk: one file, a folder as the hub's tools and git leave it, or one that save_to_disk wrote.

Files are always read themselves, never out of the cache of the datasets library, which would take a file that was replaced
by one of the same age for the old one. No code that comes with data is ever run.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.pairs.json_rows import PACKED, json_rows, opened
from fitness.score import EvaluationFailed, bad_data
from sandbox.visible import visible

if TYPE_CHECKING:
    from datasets import Dataset

KINDS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet", ".arrow": "arrow"}
EXPECTED = f"expected {', '.join(KINDS)}, the first three also packed ({', '.join(PACKED)})"
POINTER = b"version https://git-lfs.github.com/spec/"
SCRIPT_WORDS = (b"GeneratorBasedBuilder", b"ArrowBasedBuilder", b"BuilderConfig")
BATCH = 1000
SHOWN = 6
"""Files that an error names."""


@dataclass(frozen=True)
class Source:
    """The rows of one split."""

    columns: tuple[str, ...] | None
    """None where only the rows tell."""
    _rows: Callable[[Sequence[str] | None], Iterator[dict[str, Any]]]
    files: Sequence[Path] = field(default=())

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Every row in order, with at least these columns of it. Raises EvaluationFailed("bad_data")."""
        return self._rows(columns)


def kind(path: Path) -> str | None:
    """json, parquet or arrow; None for what is not read."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    found = KINDS.get(suffixes[-2 if packed and len(suffixes) > 1 else -1]) if suffixes else None
    return None if packed and found != "json" else found


def local_source(path: Path, split: str, subset: str | None) -> Source:
    """The split of what is on this disk at `path`. Raises EvaluationFailed("bad_data")."""
    if path.is_dir():
        return _saved(path, split) if is_saved(path, split) else _of_files(_files_of(path, split, subset))
    if not path.exists():
        raise bad_data(f"there is no file {path}", "check fitness.data")
    if split != "train":
        beside = sorted(file.name for file in path.parent.iterdir() if kind(file) and file.name != path.name)
        folder = f", or name the folder {path.parent}, which has also {_listed(beside)}" if beside else ""
        raise bad_data(
            f"{path} is a file, which has only the split 'train', not {split!r}",
            f"leave fitness.test_split out{folder}",
        )
    return _of_files([path])


def is_saved(path: Path, split: str | None = None) -> bool:
    """Whether save_to_disk wrote the folder, or one for this split in it."""
    there = [path / "state.json", path / "dataset_dict.json"]
    return any(file.is_file() for file in (*there, *([path / split / "state.json"] if split else ())))


# ---- files -----------------------------------------------------------------------------------------------------------


def _of_files(files: Sequence[Path]) -> Source:
    for file in files:
        _check_file(file)
    kinds = {kind(file) for file in files}
    if kinds == {"json"}:
        return Source(None, lambda columns: (row for file in files for row in json_rows(file)), files)
    columns: dict[str, None] = {}
    for file in files:
        columns |= dict.fromkeys(next(_tables(file)).column_names)

    def rows(wanted: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        for file in files:
            for table in _tables(file):
                yield from _selected(table, wanted)

    return Source(tuple(columns), rows, files)


def _selected(table: "Dataset", columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    # Only what is read is decoded: pictures and sound would need packages of their own.
    names = table.column_names if columns is None else [name for name in table.column_names if name in columns]
    return iter(table.select_columns(names)) if names else iter([{}] * len(table))


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise bad_data(f"{path} should be a regular file", "get a fresh copy")
    with path.open("rb") as file:
        head = file.read(len(POINTER))
    if head == POINTER:
        raise bad_data(f"{path} is a pointer that git left, not the data", "run `git lfs pull` in its folder")
    if kind(path) is None:
        raise bad_data(f"{path} is of no known format", _converted(path))
    if not head:
        raise bad_data(f"{path} is empty", "expected one preference pair per line or row")


def _converted(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv"):
        return EXPECTED
    tabs = ", sep='\\t'" if suffix == ".tsv" else ""
    return (
        f"{EXPECTED}; convert it, e.g. with pandas.read_csv('{path.name}'{tabs}).to_json('{path.stem}.jsonl', "
        "orient='records', lines=True)"
    )


def _tables(path: Path) -> Iterator["Dataset"]:
    """The rows of a columnar file, some at a time; at least one table, be it empty."""
    import pyarrow
    from datasets import Dataset
    from pyarrow.parquet import ParquetFile

    try:
        if kind(path) == "parquet":
            with ParquetFile(path) as file:
                schema = file.schema_arrow
                yield Dataset(schema.empty_table())
                for batch in file.iter_batches(BATCH):
                    yield Dataset(pyarrow.Table.from_batches([batch], schema))
            return
        with pyarrow.memory_map(str(path)) as opened_file:
            try:
                stream = pyarrow.ipc.open_stream(opened_file)
                yield Dataset(stream.schema.empty_table())
                for batch in stream:
                    yield Dataset(pyarrow.Table.from_batches([batch], stream.schema))
                return
            except pyarrow.ArrowInvalid:
                reader = pyarrow.ipc.open_file(opened_file)
            yield Dataset(reader.schema.empty_table())
            for number in range(reader.num_record_batches):
                yield Dataset(pyarrow.Table.from_batches([reader.get_batch(number)], reader.schema))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if getattr(error, "filename", None):
            raise
        what = f"{path} is no {kind(path)} file, or cut off ({' '.join(str(error).split())[:200]})"
        raise bad_data(what, "write it anew, or get a fresh copy") from None


def row_count(source: Source) -> int | None:
    """How many rows files have at least, in seconds: of text each line counts as one. None where that takes reading."""
    count = 0
    for path in source.files:
        if kind(path) == "parquet":
            from pyarrow.parquet import ParquetFile

            with ParquetFile(path) as parquet:
                count += int(parquet.metadata.num_rows)
        elif kind(path) == "json":
            with opened(path) as lines:
                for line in filter(None, map(bytes.strip, lines)):
                    if not (line.startswith(b"{") and line.endswith(b"}")):
                        return None  # an array, or objects over several lines
                    count += 1
        else:
            return None
    return count if source.files else None


# ---- folders ---------------------------------------------------------------------------------------------------------


def _saved(path: Path, split: str) -> Source:
    import pyarrow
    from datasets import DatasetDict, load_from_disk

    place = path if is_saved(path) else path / split
    try:
        loaded: Any = load_from_disk(str(place))
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        what = f"{place} is no whole data set of save_to_disk ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        raise bad_data(what, "save it anew, or get a fresh copy") from None
    if isinstance(loaded, DatasetDict):
        if split not in loaded:
            raise bad_data(f"{path} has no split {split!r}", f"choose one of {_listed(list(loaded))}")
        loaded = loaded[split]
    return table_source(loaded)


def table_source(table: "Dataset") -> Source:
    """The rows of a data set of the library."""
    return Source(tuple(table.column_names), lambda columns: _selected(table, columns))


def _files_of(path: Path, split: str, subset: str | None) -> list[Path]:
    splits = _splits(path, subset)
    unknown = [file for files in splits.values() for file in files if kind(file) is None]
    if unknown and (others := [file for file in _visible_files(path) if kind(path / file)]):
        raise bad_data(
            f"{unknown[0]} is of no known format", f"give a file or folder of known ones, of {_listed(others)}"
        )
    if split not in splits:
        there = "; ".join(f"{name}: {_listed([str(f.relative_to(path)) for f in splits[name]])}" for name in splits)
        raise bad_data(
            f"{path} has no split {split!r}, only {there}",
            f"set fitness.train_split and fitness.test_split to one of {_listed(list(splits))}, or name a file",
        )
    return splits[split]


def _splits(path: Path, subset: str | None) -> Mapping[str, list[Path]]:
    """The files of each split, as the README's configurations or the names of files and folders tell the library."""
    import datasets

    path = path.resolve()  # a relative name could be that of a format of the library
    _refuse_scripts(path)
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            builder = datasets.load_dataset_builder(str(path), subset, cache_dir=scratch)
        files: Mapping[str, list[str]] = builder.config.data_files or {}
    except EvaluationFailed:
        raise
    except Exception as error:  # of the library, which raises much for a wrong README
        raise _unresolved(path, subset, error) from None
    found = {str(name): [Path(file) for file in listed] for name, listed in files.items()}
    for file in (file for listed in found.values() for file in listed):
        if not Path(os.path.normpath(file)).is_relative_to(path):
            raise bad_data(
                f"the README of {path} names {visible(str(file))}, which is not in it", "name files in the folder"
            )
    return found


def _refuse_scripts(path: Path) -> None:
    for script in sorted(path.glob("*.py")):
        if any(word in script.read_bytes() for word in SCRIPT_WORDS):
            raise bad_data(
                f"{path} holds a loading script, {script.name}, which is never run",
                "name a data file of it, or a folder with its data as parquet or JSON lines",
            )


def _unresolved(path: Path, subset: str | None, error: Exception) -> EvaluationFailed:
    """Why the library cannot tell which files of a folder are data."""
    import datasets

    try:
        configurations = datasets.get_dataset_config_names(str(path))
    except Exception:  # as above
        configurations = []
    if len(configurations) > 1 or (subset and configurations):
        wrong = f"has no subset {subset!r}" if subset else "has several subsets"
        return bad_data(f"{path} {wrong}", f"set fitness.data_subset to one of {_listed(sorted(configurations))}")
    there = _visible_files(path)
    what = f"it holds {_listed(there)}" if there else "it is empty"
    return bad_data(
        f"{path} holds no data that can be read ({' '.join(str(error).split())[:200]}); {what}",
        f"give a file, a folder of files, or one that save_to_disk wrote; {EXPECTED}",
    )


def _visible_files(folder: Path) -> list[str]:
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return [str(file) for file in files if not any(part.startswith(".") for part in file.parts)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(visible, names[:SHOWN]))
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
