"""Encoding of records into columns for the writer. `archive.decode` is the inverse."""

from collections.abc import Mapping
from typing import Any

from archive.records import Curves, Items, RunRow, Usage
from archive.sqlite.connection import now
from archive.sqlite.packed import pack
from archive.sqlite.schema import allowed
from archive.sqlite.values import compress, dump_json, dump_metrics, finite_or_null, is_finite, storable_text

_TEXT = ("hash", "entry")
_PACKED = ("graph", "fingerprint", "descriptors", "guarantees")
_OTHER = ("status", "milliseconds", "findings")
_KNOWN = ("accepted", "contract")
"""Keys whose values follow from the status, and from the row of the candidate."""


def run_columns(run: RunRow) -> dict[str, Any]:
    """The columns of `run`, without its id."""
    return {
        "name": run.name,
        "seed": run.seed,
        "task": run.task,
        "contract": run.contract,
        "identity": dump_json(run.identity),
        "config": dump_json(run.config),
        "created_at": run.created_at or now(),
        "version": run.version,
        "baseline": run.baseline,
    }


def training_columns(
    candidate_id: int, task: str, rung: str, seed: int, beta: float | None, learning_rate: float | None
) -> dict[str, Any]:
    """The columns of `evaluation` that tell one training from the others. ValueError unless beta and learning rate are positive,
    finite numbers or None."""
    for name, value in (("beta", beta), ("learning_rate", learning_rate)):
        if value is not None and not (is_finite(value) and value > 0):
            raise ValueError(f"expected a positive, finite {name} or None for the task's own, got {value}")
    return {
        "candidate_id": candidate_id,
        "task": task,
        "rung": rung,
        "seed": seed,
        "beta": beta,
        "learning_rate": learning_rate,
    }


def result_columns(
    metrics: Mapping[str, float | None] | None,
    seconds: float | None,
    tokens: int | None,
    items: Items | None,
    curves: Curves | None,
    judged: Usage | None,
) -> dict[str, Any]:
    """The columns of `evaluation` with what a training measured. ValueError unless there is one group per item."""
    if items is not None and len(items.values) != len(items.groups):
        raise ValueError(f"expected a group per item, got {len(items.values)} items and {len(items.groups)} groups")
    parts = None if items is None else {"values": items.values, "groups": items.groups}
    return {
        "metrics": dump_metrics(metrics or {}),
        "seconds": finite_or_null(seconds),
        "tokens": tokens,
        "items": None if parts is None else compress(dump_json(parts)),
        "curves": pack(dump_json(_columns(curves))) if curves else None,
        "tokens_in": judged.tokens_in if judged else None,
        "tokens_out": judged.tokens_out if judged else None,
        "usd": finite_or_null(judged.usd) if judged else None,
    }


def verdict_columns(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `verdict` from its JSON form. Keys without a column go into `details`.

    A graph may be an object or JSON text. ValueError for a status that the schema does not allow.
    """
    status = str(verdict["status"])
    if status not in allowed("verdict", "status"):
        raise ValueError(f"expected a status of {', '.join(allowed('verdict', 'status'))}, got {status!r}")
    texts = {name: _json_or_null(verdict.get(name)) for name in _PACKED}
    if isinstance(verdict.get("graph"), str):
        texts["graph"] = storable_text(verdict["graph"])
    rest = {name: value for name, value in verdict.items() if name not in (*_TEXT, *_PACKED, *_OTHER, *_KNOWN)}
    return {
        **{name: None if text is None else pack(text) for name, text in texts.items()},
        **{name: verdict.get(name) for name in _TEXT},
        "status": status,
        "milliseconds": finite_or_null(verdict.get("milliseconds")),
        "details": dump_json(rest),
    }


def _columns(curves: Curves) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and heights of each curve. Heights get 4 significant digits, which is what is printed of them."""
    return {
        name: ([step for step, _ in points], [float(f"{height:.4g}") for _, height in points])
        for name, points in curves.items()
    }


def finding_columns(finding: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `finding` from its JSON form."""
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
