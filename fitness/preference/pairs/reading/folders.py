"""Splits of local data: one file, a folder of files (as the hub's tools and git make it), or a folder of save_to_disk.

Code that comes with data is never run.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fitness.preference.pairs.reading.files import EXPECTED, Source, files_source, kind, refuse_pointer, table_source
from fitness.preference.pairs.reading.listing import listed
from fitness.score import EvaluationFailed, bad_data
from sandbox.verdicts.visible import visible

SCRIPT_WORDS = (b"GeneratorBasedBuilder", b"ArrowBasedBuilder", b"BuilderConfig")
ABOUT = ("config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")


def local_source(path: Path, split: str, subset: str | None) -> Source:
    """The rows of a split of the local data at `path`. Raises EvaluationFailed("bad_data")."""
    if path.is_dir():
        return _saved(path, split) if is_saved(path, split) else _of_folder(path, split, subset)
    if not os.path.exists(path):
        raise bad_data(f"there is no file {path}", "check fitness.data")
    if split != "train":
        beside = sorted(file.name for file in path.parent.iterdir() if kind(file) and file.name != path.name)
        folder = f", or name the folder {path.parent}, which has also {listed(beside)}" if beside else ""
        raise bad_data(
            f"{path} is a file, which has only the split 'train', not {split!r}",
            f"do not set fitness.train_split and fitness.test_split{folder}",
        )
    return files_source([path])


def is_saved(path: Path, split: str | None = None) -> bool:
    """Whether the folder, or its subfolder for this split, was written by save_to_disk."""
    there = [path / "state.json", path / "dataset_dict.json"]
    return any(os.path.isfile(file) for file in (*there, *([path / split / "state.json"] if split else ())))


def _saved(path: Path, split: str) -> Source:
    import pyarrow
    from datasets import DatasetDict, load_from_disk

    place = path if is_saved(path) else path / split
    for file in sorted(place.rglob("*.arrow")):
        refuse_pointer(file)
    try:
        loaded: Any = load_from_disk(str(place))
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        what = f"{place} is not a complete data set of save_to_disk ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        raise bad_data(what, "save it again, or get a fresh copy") from None
    if isinstance(loaded, DatasetDict):
        if split not in loaded:
            raise bad_data(f"{path} has no split {split!r}", f"choose one of {listed(list(loaded))}")
        loaded = loaded[split]
    return table_source(loaded)


def _of_folder(path: Path, split: str, subset: str | None) -> Source:
    if gone := sorted(str(file) for file in path.rglob("*") if kind(file) and file.is_symlink() and not file.exists()):
        raise bad_data(f"{gone[0]} is a link to a file that does not exist", "finish its download, or get a fresh copy")
    splits = _splits(path, subset)
    unknown = [file for files in splits.values() for file in files if kind(file) is None]
    if unknown and (others := [file for file in _visible_files(path) if kind(path / file)]):
        raise bad_data(
            f"{unknown[0]} is of no known format", f"give a file or folder of known ones, of {listed(others)}"
        )
    if split not in splits:
        there = "; ".join(f"{name}: {listed([str(f.relative_to(path)) for f in splits[name]])}" for name in splits)
        raise bad_data(
            f"{path} has no split {split!r}, only {there}",
            f"set fitness.train_split and fitness.test_split to one of {listed(list(splits))}, or name a file",
        )
    source = files_source(splits[split])
    named = [str(file.relative_to(path)) for file in splits[split]]
    taken = {str(file.relative_to(path)) for files in splits.values() for file in files}
    others = [] if subset else [file for file in _visible_files(path) if kind(path / file) and file not in taken]
    rest = [file for file in others if Path(file).name not in ABOUT]
    shards = [int(shard[1]) for shard in map(SHARD.search, named) if shard]
    if not rest and len(shards) == len(named):
        missing = f"By the file names, the split {split!r} has {max(shards)} files; found: {len(named)}."
        return replace(source, remark=missing) if len(named) < max(shards) else source
    if not rest and len(named) == 1:
        return source
    unread = f", and {listed(rest)} of no split" if rest else ""
    return replace(source, remark=f"The split {split!r} is {listed(named)}{unread}.")


def _splits(path: Path, subset: str | None) -> Mapping[str, list[Path]]:
    """The files of each split, as the datasets library finds them from the README or from names of files and folders."""
    import datasets

    _refuse_scripts(path)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        # The library follows paths in the README anywhere, and reads the folder's own name as a pattern. So it gets a temporary
        # folder of links.
        seen = Path(scratch).resolve() / "data"
        for name in _visible_files(path):
            (seen / name).parent.mkdir(parents=True, exist_ok=True)
            (seen / name).symlink_to((path / name).resolve())
        try:
            builder = datasets.load_dataset_builder(str(seen), subset, cache_dir=scratch)
        except Exception as error:  # the library raises many types for an invalid README
            raise _unresolved(path, seen, subset, error) from None
        files: Mapping[str, Sequence[str]] = builder.config.data_files or {}
        inside = {
            str(name): [file for file in map(Path, found) if file.is_relative_to(seen)] for name, found in files.items()
        }
        return {name: [path / file.relative_to(seen) for file in found] for name, found in inside.items()}


def _refuse_scripts(path: Path) -> None:
    for script in sorted(path.glob("*.py")):
        if any(word in script.read_bytes() for word in SCRIPT_WORDS):
            raise bad_data(
                f"{path} holds a loading script, {script.name}, which is never run",
                "name one of its data files, or a folder with its data as parquet or JSON lines",
            )


def _unresolved(path: Path, seen: Path, subset: str | None, error: Exception) -> EvaluationFailed:
    """The error for a folder in which the library does not find data files."""
    import datasets

    try:
        configurations = datasets.get_dataset_config_names(str(seen))
    except Exception:  # many types, as with the builder
        configurations = []
    if len(configurations) > 1 or (subset and configurations):
        wrong = f"has no subset {subset!r}" if subset else "has several subsets"
        return bad_data(f"{path} {wrong}", f"set fitness.data_subset to one of {listed(sorted(configurations))}")
    there = _visible_files(path)
    said = visible(" ".join(str(error).replace(str(seen), str(path)).split())[:200])
    what = f"it holds {listed(there)}" if there else "it is empty"
    return bad_data(
        f"{path} holds no data that can be read ({said}); {what}",
        f"give a file, a folder of files, or one that save_to_disk wrote; {EXPECTED}",
    )


def _visible_files(folder: Path) -> list[str]:
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return [str(file) for file in files if not any(part.startswith(".") for part in file.parts)]
