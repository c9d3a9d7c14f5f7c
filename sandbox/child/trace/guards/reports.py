"""The guards for what a loss says about itself, which `static.reporting` inserts: prints and numbers beside the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.symbols import (
    Device,
    DType,
    Recorder,
    Reported,
    Sizes,
    Symbol,
    SymNumber,
    SymTensor,
    is_number,
)


class Reports:
    """The guards for reports of one trace; `step` counts steps."""

    def __init__(self, recorder: Recorder, step: Callable[..., None]) -> None:
        self._recorder = recorder
        self._step = step

    def namespace(self) -> Mapping[str, Callable[..., Any]]:
        """The guards by the names under which byte code calls them."""
        return {"_report_": self.report, "_reported_": self.reported}

    def report(self, *parts: Any) -> None:
        """What a loss prints or logs: dropped."""
        self._step()
        if self._recorder.tries:  # its texts may raise
            raise Refusal("SBX115")

    def reported(self, what: str, *parts: Any) -> Reported:
        """A number or text that is known in training only. `what`: "item" or "list" of a tensor, "number", "text", or a format.

        Raises Refusal.
        """
        self._step()
        if self._recorder.tries:
            raise Refusal("SBX115")
        if not all(_can_be_reported(what, part) for part in parts):
            raise Refusal("SBX133")
        return Reported()


def _can_be_reported(what: str, part: Any) -> bool:
    """Whether Python accepts a value there. `what` is as in `Reports.reported`."""
    is_one = isinstance(part, SymTensor) and all(d.constant == 1 for d in part.dims)
    match what:
        case "item":
            return is_one
        case "list":
            return isinstance(part, SymTensor)
        case "number":
            return is_number(part) or isinstance(part, Reported)
        case "text":
            return isinstance(part, Reported | Symbol | Sizes | str | int | float | DType | Device | None)
    if isinstance(part, SymTensor):
        return not part.dims and (what[-1] != "d" or part.type.dtype != "float")
    if what[-1] in "efg%":
        return is_number(part) or isinstance(part, Reported)
    return isinstance(part, Reported | int) or (what[-1] != "d" and isinstance(part, SymNumber | str | float))
