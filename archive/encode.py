"""What is handed to the writer as columns; the other direction is archive.decode."""

from collections.abc import Mapping
from typing import Any

from archive.connection import now
from archive.records import RunRow, VerdictStatus
from archive.values import dump_json, finite_or_null

_TEXT = ("hash", "entry")
_JSON = ("graph", "fingerprint", "descriptors", "guarantees")
_OTHER = ("status", "milliseconds", "findings")


def run_columns(run: RunRow) -> dict[str, Any]:
    """The columns of run, but its id."""
    return {
        "name": run.name,
        "seed": run.seed,
        "task": run.task,
        "contract": run.contract,
        "identity": dump_json(run.identity),
        "config": dump_json(run.config),
        "created_at": run.created_at or now(),
        "version": run.version,
    }


def verdict_columns(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of verdict that its JSON form gives; what has no column of its own goes into `details`.

    A graph may be given as an object or as its JSON text, and is stored as JSON either way. ValueError if the status is
    not one that we know.
    """
    columns = {name: _json_or_null(verdict.get(name)) for name in _JSON}
    if isinstance(verdict.get("graph"), str):
        columns["graph"] = verdict["graph"]
    rest = {name: value for name, value in verdict.items() if name not in (*_TEXT, *_JSON, *_OTHER)}
    return {
        **columns,
        **{name: verdict.get(name) for name in _TEXT},
        "status": VerdictStatus(str(verdict["status"])),
        "milliseconds": finite_or_null(verdict.get("milliseconds")),
        "details": dump_json(rest),
    }


def finding_columns(finding: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of finding that its JSON form gives."""
    return {
        "rule": str(finding["rule"]),
        "severity": str(finding["severity"]),
        "message": finding["message"],
        "line": finding.get("line"),
        "column_number": finding.get("column"),
        "excerpt": finding.get("excerpt"),
        "remedy": finding.get("remedy"),
        "counterexample": _json_or_null(finding.get("counterexample")),
    }


def _json_or_null(value: Any) -> str | None:
    return None if value is None else dump_json(value)
