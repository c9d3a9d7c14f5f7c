"""Options of the task in scripts that train: as in a new run, with those that `--set` gives."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from fitness.task.registry import begins


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, which may be repeated."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=JSON",
        help="an option of the task; without it the value that a new run has, for `sentiment` its default world",
    )  # fmt: skip


def options_of(task: str, given: Sequence[str] = ()) -> dict[str, Any]:
    """The options of a new run of `task`, and those given as KEY=JSON. Raises TaskError, ValueError."""
    return {**begins(task), **{key: json.loads(value) for key, value in (pair.split("=", 1) for pair in given)}}
