"""Local data files.

They are always read directly and never from the cache of the datasets library. The cache would not notice that a file was
replaced by one with the same modification time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.preference.pairs.reading.json_rows import PACKED, json_rows, opened
from fitness.score import bad_data

if TYPE_CHECKING:
    from datasets import Dataset

KINDS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet", ".arrow": "arrow"}
EXPECTED = f"expected {', '.join(KINDS)}, the first three also packed ({', '.join(PACKED)})"
POINTER = b"version https://git-lfs.github.com/spec/"
BATCH = 1000


@dataclass(frozen=True)
class Source:
    """The rows of one split."""

    columns: tuple[str, ...] | None
    """None if the columns are known only from the rows."""
    _rows: Callable[[Sequence[str] | None], Iterator[dict[str, Any]]]
    files: Sequence[Path] = ()
    remark: str = ""
    """A sentence on the files of the split, if the user did not name them."""

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """All rows in order, with at least these columns (None: all). Raises EvaluationFailed("bad_data")."""
        return self._rows(columns)


def kind(path: Path) -> str | None:
    """Format of a file by its name: json, parquet or arrow; None for other files."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    found = KINDS.get(suffixes[-2 if packed and len(suffixes) > 1 else -1]) if suffixes else None
    return None if packed and found != "json" else found


def files_source(files: Sequence[Path]) -> Source:
    """The rows of all files, in order. Raises EvaluationFailed("bad_data")."""
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


def table_source(table: "Dataset") -> Source:
    """The rows of a data set of the datasets library."""
    return Source(tuple(table.column_names), lambda columns: _selected(table, columns))


def _selected(table: "Dataset", columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    # Only the requested columns are decoded: images and audio would need further packages.
    names = table.column_names if columns is None else [name for name in table.column_names if name in columns]
    return iter(table.select_columns(names)) if names else iter([{}] * len(table))


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise bad_data(f"{path} should be a regular file", "get a fresh copy")
    refuse_pointer(path)
    if kind(path) is None:
        raise bad_data(f"{path} is of no known format", _converted(path))
    if not path.stat().st_size:
        raise bad_data(f"{path} is empty", "expected one preference pair per line or row")


def refuse_pointer(path: Path) -> None:
    """Raises EvaluationFailed("bad_data") for a git LFS pointer, which stands for a large file that was not fetched."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise bad_data(f"{path} is a git LFS pointer, not the data", "run `git lfs pull` in its folder")


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
    """The rows of a columnar file as tables of at most BATCH rows (parquet) or one record batch (arrow); first an empty one."""
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
        what = f"{path} is not a valid {kind(path)} file ({' '.join(str(error).split())[:200]})"
        raise bad_data(what, "write it again, or get a fresh copy") from None


def row_count(source: Source) -> int | None:
    """A quick lower bound on the number of rows: in text files each line counts as one. None if all rows must be parsed."""
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
