"""Lowerings of what a loss says about itself: prints, log messages, warnings, and the numbers in them. None reaches the graph."""

from __future__ import annotations

from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import lowering
from sandbox.child.trace.symbols import Logger, Recorder, Reported
from sandbox.graph.types import Dim


@lowering("report")
def _report(r: Recorder, a: dict[str, Any]) -> None:
    """print(...), logger.info(...) and the like: dropped, with a note."""
    r.note("SBX264")


@lowering("print")
def _print(r: Recorder, a: dict[str, Any]) -> None:
    if a["file"] is not None:
        raise Refusal("SBX128")
    r.note("SBX264")


@lowering("logger")
def _logger(r: Recorder, a: dict[str, Any]) -> Any:
    return Logger()


@lowering("text")
def _text(r: Recorder, a: dict[str, Any]) -> Any:
    """A text that is formatted from values: it is not made."""
    return Reported()


@lowering("item")
def _item(r: Recorder, a: dict[str, Any]) -> Any:
    """x.item() of a tensor with one entry."""
    if any(d != Dim.of(1) for d in a["input"].dims):
        raise Refusal("SBX133")
    return Reported()


@lowering("tolist")
def _tolist(r: Recorder, a: dict[str, Any]) -> Any:
    return Reported()
