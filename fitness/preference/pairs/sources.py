"""Preference pairs from the hub or from disk: loaded, checked and split into disjoint parts before any long computation.

Accepted are TRL's preference formats and equivalent forms (see `fitness.preference.pairs.reading`): columns `chosen` and
`rejected`, with a `prompt` column or the prompt as their common beginning; plain strings, or conversations as lists of turns.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetGenerationError, DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from fitness.chat.costs import Usage
from fitness.preference.options import LEAST_PART, LEAST_TEST_PAIRS, Options
from fitness.preference.pairs.reading.files import Source, kind, table_source
from fitness.preference.pairs.reading.folders import local_source
from fitness.preference.pairs.reading.parting import BY_PAIR, SplitBy, drawn, parted, without_those_of
from fitness.preference.pairs.reading.rows import Split, cut_texts, read_split
from fitness.preference.pairs.reading.table import table
from fitness.score import EvaluationFailed, FailureReason, bad_data

__all__ = ["Faults", "Pairs", "drawn", "load_pairs", "loading"]
SHARED = {"prompt": "the prompt of a test pair", "pair": "the prompt and the completions of a test pair"}
"""Why a training pair is left out, by fitness.split_by."""


@dataclass(frozen=True)
class Pairs:
    """Raw pairs in three disjoint parts."""

    train: Dataset
    search: Dataset  # test pairs of the search
    held_out: Dataset  # test pairs of the rung held_out
    conversational: bool
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of pairs that are in no part, by reason."""
    unread: tuple[str, ...] = ()
    """Columns of the data that are not read."""
    remarks: tuple[str, ...] = ()
    """Sentences on changes made to the pairs."""

    @property
    def parts(self) -> dict[str, Dataset]:
        return {"train": self.train, "search": self.search, "held_out": self.held_out}

    def digest(self) -> str:
        """Digest of all rows in order; equal on every machine with the same data."""
        digest = hashlib.sha256()
        for name, part in self.parts.items():
            digest.update(name.encode())
            for row in part:
                digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        return digest.hexdigest()


class Faults:
    """Collects bad_data failures of several `with faults:` blocks, to report all of them at once."""

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
        """Raises EvaluationFailed("bad_data") with one line per fault, if there are any; `paid` is added to their usage."""
        if self._found:
            all_paid = [usage for usage in (paid, *(fault.paid for fault in self._found)) if usage]
            lines = dict.fromkeys(fault.detail for fault in self._found)
            raise EvaluationFailed(
                "bad_data", "\n".join(lines), sum(all_paid, Usage()) if all_paid else None
            ) from self._found[0]


@contextmanager
def loading(what: str, name: str) -> Iterator[None]:
    """Convert a loader's exceptions (wrong name, missing file, no network) to EvaluationFailed with one line and a remedy."""
    try:
        yield
    except EvaluationFailed:
        raise
    except (OSError, ValueError, KeyError, HfHubHTTPError, ImportError, DatasetsError) as error:
        # The message of a generation error has no details: its cause has.
        cause = (error.__cause__ if isinstance(error, DatasetGenerationError) else None) or error
        text = " ".join(str(cause).split())
        remedy = "check the name, or give a folder on this disk; for a gated or private one log in with `hf auth login`"
        if "trust_remote_code" in text or "custom code" in text:
            remedy = "it needs its own code, which is never run; choose one that the library supports"
        elif isinstance(error, ImportError):
            remedy = "install the package that it names"
        elif isinstance(error, DatasetGenerationError):
            remedy = "fix the file: one preference pair per line or row, all rows with the same columns and types"
        raise bad_data(f"cannot load the {what} {name!r} ({type(cause).__name__}: {text[:300]})", remedy) from error


def load_pairs(options: Options) -> Pairs:
    """Load the data, check it and split it into parts. Raises EvaluationFailed("bad_data")."""
    splits = [_split(options, name) for name in (options.train_split, options.test_split) if name is not None]
    cut_texts(splits)
    for split in splits:
        split.check()
    if len({split.conversational for split in splits}) > 1:
        raise bad_data("one split holds strings and the other conversations", "give both in the same form")
    implicit = any(split.is_implicit for split in splits)
    train, shared, by = table(splits[0]), 0, options.split_by
    if options.test_split is None:
        test_count = max(LEAST_TEST_PAIRS, round(options.test_fraction * len(train)))
        train, test = parted(train, len(train) - test_count, "train and test", implicit, by)
    else:
        test = table(splits[1])
        before = len(train)
        train = without_those_of(test, train, implicit, by)
        shared = before - len(train)
    if len(test) < LEAST_TEST_PAIRS:
        raise bad_data(
            f"{options.data!r} leaves {len(test)} test pairs, at least {LEAST_TEST_PAIRS} are needed",
            "give more data, or another fitness.test_split",
        )
    if len(train) < options.batch_size:
        besides = f" ({shared} more have {SHARED[by]})" if shared else ""
        raise bad_data(
            f"{options.data!r} leaves {len(train)} training pairs{besides}, less than one fitness.batch_size of "
            f"{options.batch_size}",
            "give more data or a smaller fitness.batch_size"
            + (f", or another fitness.test_split, or {BY_PAIR}" if shared else ""),
        )
    if options.train_pool:
        train = drawn(train, options.train_pool, "train pool")
    if options.test_pool:
        test = drawn(test, options.test_pool, "test pool")
    search, held_out = parted(test, len(test) // 2, "search and held out", implicit, by)
    pairs = Pairs(
        train,
        search,
        held_out,
        splits[0].conversational,
        sum((split.left_out for split in splits), Counter({SHARED[by]: shared})),
        tuple(dict.fromkeys(column for split in splits for column in split.unread)),
        (*(remark for split in splits for remark in split.remarks), *_on_split(train, test, by)),
    )
    for name in ("search", "held_out"):
        if (left := len(pairs.parts[name])) < LEAST_PART:
            raise bad_data(
                f"frequent test prompts leave {left} test pairs for {name}, at least {LEAST_PART} are needed",
                f"give test pairs with more prompts: no prompt is in two parts; or {BY_PAIR}",
            )
    return pairs


def _on_split(train: Dataset, test: Dataset, by: SplitBy) -> tuple[str, ...]:
    """What a split by pair means for the test pairs; nothing for a split by prompt."""
    if by == "prompt":
        return ()
    trained = {json.dumps(prompt) for prompt in train["prompt"][:]}
    prompts = [json.dumps(prompt) for prompt in test["prompt"][:]]
    return (
        f"The parts are split by pair (fitness.split_by): {sum(prompt in trained for prompt in prompts)} of {len(prompts)} test "
        f"pairs have the prompt of a training pair. There are {len(set(prompts))} different test prompts; pairs of one prompt "
        "count as one group in statistics.",
    )


def _split(options: Options, name: str) -> Split:
    with loading("data set", options.data):
        source = _source(options, name)
    return read_split(source, name, options.columns or {})


def _source(options: Options, split: str) -> Source:
    path = Path(options.data).expanduser()
    if os.path.exists(path) or kind(path):
        return local_source(path, split, options.data_subset)
    try:
        loaded: Any = load_dataset(options.data, options.data_subset, split=split, revision=options.data_revision)
    except ValueError as error:
        text = " ".join(str(error).split())
        if "Config name is missing" in text or "BuilderConfig" in text:
            raise bad_data(f"{options.data!r}: {text[:500]}", "set fitness.data_subset to one of these") from error
        if "Unknown split" in text:
            remedy = "set fitness.train_split and fitness.test_split to one or two of these"
            raise bad_data(f"{options.data!r}: {text[:500]}", remedy) from error
        raise
    except RuntimeError as error:
        if "scripts" not in str(error):
            raise
        raise bad_data(
            f"the data set {options.data!r} needs a loading script, which is never run",
            "choose another, or a revision of it with data files (fitness.data_revision: refs/convert/parquet)",
        ) from error
    assert isinstance(loaded, Dataset)
    return table_source(loaded)
