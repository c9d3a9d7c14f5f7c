"""Preference pairs from the hub or from disk, checked and parted before anything long starts.

Accepted are TRL's preference formats: `chosen` and `rejected`, with a `prompt` column or the prompt as their common
beginning; plain strings, or conversations as lists of {"role", "content"}.
"""

import hashlib
import json
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError, DatasetsError
from huggingface_hub.errors import HfHubHTTPError
from trl import extract_prompt

from fitness.costs import Usage
from fitness.preference import DATA_SUFFIXES, LEAST_PART, LEAST_TEST_PAIRS, Options
from fitness.score import EvaluationFailed, FailureReason

REQUIRED = ("chosen", "rejected")
USED = ("prompt", *REQUIRED, "tools", "chat_template_kwargs")


@dataclass(frozen=True)
class Pairs:
    """Raw pairs in three disjoint parts."""

    train: Dataset
    search: Dataset  # test pairs of the search
    held_out: Dataset  # test pairs of the rung held_out
    conversational: bool
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many pairs of the data are in no part, by the reason."""
    unread: tuple[str, ...] = ()
    """Columns of the data that are not read."""
    remarks: tuple[str, ...] = ()
    """What was done to the pairs, a sentence each."""

    @property
    def parts(self) -> dict[str, Dataset]:
        return {"train": self.train, "search": self.search, "held_out": self.held_out}

    def digest(self) -> str:
        """Digest of every row, in order: the same on every machine that holds the same data."""
        digest = hashlib.sha256()
        for name, part in self.parts.items():
            digest.update(name.encode())
            for row in part:
                digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        return digest.hexdigest()


def bad_data(problem: str, remedy: str) -> EvaluationFailed:
    """The failure for what is wrong with model, data or surroundings, and what to do about it."""
    return EvaluationFailed("bad_data", f"{problem}: {remedy}")


class Faults:
    """Collects what is wrong with model, data and surroundings, so that all of it is told at once: `with faults: ...`."""

    def __init__(self) -> None:
        self._found: list[EvaluationFailed] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, EvaluationFailed) or error.reason is not FailureReason.BAD_DATA:
            return False
        self._found.append(error)
        return True

    def report(self, paid: Usage | None) -> None:
        """Raises EvaluationFailed("bad_data") with every fault on a line of its own, if there are any."""
        if self._found:
            all_paid = [usage for usage in (paid, *(fault.paid for fault in self._found)) if usage]
            lines = dict.fromkeys(fault.detail for fault in self._found)
            raise EvaluationFailed(
                "bad_data", "\n".join(lines), sum(all_paid, Usage()) if all_paid else None
            ) from self._found[0]


@contextmanager
def loading(what: str, name: str) -> Iterator[None]:
    """Turn whatever a loader raises for a wrong name, a missing file or a dead network into one line with a remedy."""
    try:
        yield
    except EvaluationFailed:
        raise
    except (OSError, ValueError, KeyError, HfHubHTTPError, ImportError, DatasetsError) as error:
        # A generation error says only that there was one; what is wrong with the file is its cause.
        cause = (error.__cause__ if isinstance(error, DatasetGenerationError) else None) or error
        text = " ".join(str(cause).split())
        remedy = "check the name, or give a folder on this disk; for a gated or private one log in with `hf auth login`"
        if "trust_remote_code" in text or "custom code" in text:
            remedy = "it needs code of its own, which is never run; choose one that the library knows"
        elif isinstance(error, ImportError):
            remedy = "install the package that it names"
        elif isinstance(error, DatasetGenerationError):
            remedy = "mend the file: one preference pair per line or row, all rows with the same columns and types"
        raise bad_data(f"cannot load the {what} {name!r} ({type(cause).__name__}: {text[:300]})", remedy) from error


def load_pairs(options: Options) -> Pairs:
    """Load, check and part the data. Raises EvaluationFailed("bad_data")."""
    raw = _split(options, options.train_split)
    train = _clean(raw, options.train_split)
    empty, shared = len(raw) - len(train), 0
    if options.test_split is None:
        test_count = max(LEAST_TEST_PAIRS, round(options.test_fraction * len(train)))
        train, test = _parted(train, len(train) - test_count, "train and test")
    else:
        raw = _split(options, options.test_split)
        test = _clean(raw, options.test_split)
        empty += len(raw) - len(test)
        before = len(train)
        train = _without_prompts_of(test, train)
        shared = before - len(train)
    if len(test) < LEAST_TEST_PAIRS:
        raise bad_data(
            f"{options.data!r} leaves {len(test)} test pairs, at least {LEAST_TEST_PAIRS} are needed",
            "give more data, or another fitness.test_split",
        )
    if len(train) < options.batch_size:
        besides = f" ({shared} more have the prompt of a test pair)" if shared else ""
        raise bad_data(
            f"{options.data!r} leaves {len(train)} training pairs{besides}, less than one fitness.batch_size of "
            f"{options.batch_size}",
            "give more data or a smaller fitness.batch_size" + (", or another fitness.test_split" if shared else ""),
        )
    if options.train_pool:
        train = drawn(train, options.train_pool, "train pool")
    if options.test_pool:
        test = drawn(test, options.test_pool, "test pool")
    search, held_out = _parted(test, len(test) // 2, "search and held out")
    left_out = {"equal, empty or null completions": empty, "the prompt of a test pair": shared}
    pairs = Pairs(train, search, held_out, isinstance(train[0]["chosen"], list), left_out)
    check_test_parts(pairs.parts, "test prompts that come often", "give tests of more prompts: none is in two parts")
    return pairs


def check_test_parts(parts: Mapping[str, Dataset], cause: str, remedy: str) -> None:
    """Raises EvaluationFailed("bad_data") where `cause` leaves too few pairs to test on."""
    for name in ("search", "held_out"):
        if len(parts[name]) < LEAST_PART:
            raise bad_data(
                f"{cause} leave {len(parts[name])} test pairs for {name}, at least {LEAST_PART} are needed", remedy
            )


def _split(options: Options, split: str) -> Dataset:
    path = Path(options.data).expanduser()
    with loading("data set", options.data):
        if path.is_dir():
            loaded: Any = load_from_disk(str(path), keep_in_memory=True)
            if isinstance(loaded, DatasetDict):
                if split not in loaded:
                    raise bad_data(f"{path} has no split {split!r}", f"choose one of {', '.join(loaded)}")
                loaded = loaded[split]
        elif os.path.exists(path) or path.suffix in DATA_SUFFIXES:
            if not os.path.exists(path):
                raise bad_data(f"there is no file {path}", "check fitness.data")
            if path.suffix not in DATA_SUFFIXES:
                raise bad_data(f"{path} is of no known format", f"expected one of {', '.join(DATA_SUFFIXES)}")
            if not path.stat().st_size:
                raise bad_data(f"{path} is empty", "expected one preference pair per line or row")
            if split != "train":
                raise bad_data(
                    f"a file has only the split 'train', {split!r} was asked for", "leave fitness.test_split out"
                )
            loaded = load_dataset(DATA_SUFFIXES[path.suffix], data_files=str(path), split="train")
        else:
            loaded = load_dataset(options.data, options.data_subset, split=split, revision=options.data_revision)
    assert isinstance(loaded, Dataset)
    return loaded


def _clean(data: Dataset, split: str) -> Dataset:
    """The columns that are used, without pairs that prefer nothing: equal or empty completions."""
    missing = [column for column in REQUIRED if column not in data.column_names]
    if missing:
        raise bad_data(
            f"the data has no column {' and no column '.join(map(repr, missing))}, only {', '.join(data.column_names)}",
            "rename the columns to chosen and rejected (and prompt)",
        )
    if not len(data):
        raise bad_data(f"the split {split!r} is empty", "choose another, or give more data")
    data = data.select_columns([column for column in USED if column in data.column_names])
    _check_form(data, split)
    data = _preferring(data, split)
    if "prompt" not in data.column_names:
        data = _preferring(data.map(extract_prompt, desc="Parting prompts and completions"), split)
    return data


def _check_form(data: Dataset, split: str) -> None:
    """Strings in all rows, or conversations in all."""
    columns = [column for column in ("prompt", *REQUIRED) if column in data.column_names]
    form_of_all = None
    for number, row in enumerate(data, start=1):
        for column in columns:
            value = row[column]
            if value is None and column in REQUIRED:
                continue  # left out, as an empty one is
            form = _form(value)
            form_of_all = form_of_all or form
            if form is None or form != form_of_all:
                held = form or ("null" if value is None else type(value).__name__)
                raise bad_data(
                    f"row {number} of the split {split!r}: column {column!r} holds a {held}",
                    'expected strings in every row, or conversations as lists of {"role": ..., "content": ...} in every row',
                )


def _form(value: Any) -> str | None:
    if isinstance(value, str):
        return "string"
    return "conversation" if isinstance(value, list) and all(map(_is_turn, value)) else None


def _is_turn(turn: Any) -> bool:
    # Without content a template would make somebody say "None"; only the call of a tool needs none.
    return (
        isinstance(turn, dict)
        and isinstance(turn.get("role"), str)
        and (turn.get("content") is not None or bool(turn.get("tool_calls")))
    )


def _preferring(data: Dataset, split: str) -> Dataset:
    """The data without pairs that prefer nothing."""
    kept = [i for i, row in enumerate(data) if row["chosen"] and row["rejected"] and row["chosen"] != row["rejected"]]
    if not kept:
        raise bad_data(f"every pair of the split {split!r} has equal or empty completions", "give pairs that differ")
    return data if len(kept) == len(data) else data.select(kept)


def _parted(data: Dataset, first: int, purpose: str) -> tuple[Dataset, Dataset]:
    """Two random parts, the same in every run, the first of about `first` rows; a prompt is never in both."""
    rows_of: dict[str, list[int]] = {}
    for row, prompt in enumerate(_prompts(data)):
        rows_of.setdefault(prompt, []).append(row)
    if len(rows_of) == 1 and len(data) > 1:
        raise bad_data(
            f"all {len(data)} pairs for {purpose} have one prompt, {next(iter(rows_of))[:80]}, and none is in two parts",
            "give pairs of several prompts, in a column `prompt` or as the common beginning of chosen and rejected",
        )
    prompts = sorted(rows_of)
    random.Random(f"evopo {purpose}").shuffle(prompts)
    parts: tuple[list[int], list[int]] = ([], [])
    for prompt in prompts:
        parts[len(parts[0]) >= first].extend(rows_of[prompt])
    return data.select(sorted(parts[0])), data.select(sorted(parts[1]))


def _without_prompts_of(test: Dataset, train: Dataset) -> Dataset:
    tested = set(_prompts(test))
    kept = [row for row, prompt in enumerate(_prompts(train)) if prompt not in tested]
    return train if len(kept) == len(train) else train.select(kept)


def _prompts(data: Dataset) -> list[str]:
    return [json.dumps(prompt, sort_keys=True) for prompt in data["prompt"]]


def drawn(data: Dataset, count: int, seed_text: str) -> Dataset:
    """`count` rows drawn without replacement by `seed_text`; all rows, in another order, when there are not more."""
    return data.select(random.Random(seed_text).sample(range(len(data)), min(count, len(data))))
