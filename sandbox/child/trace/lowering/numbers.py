"""Lowerings of the functions of `math`, on Python numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sandbox.child.allowlist.calls import SPELLINGS
from sandbox.child.trace.lowering.registry import LOWERINGS, lowering
from sandbox.child.trace.symbols import Recorder, SymNumber, checked_number
from sandbox.graph.operations import OPERATIONS

_ON_SYMBOLS: Final[Mapping[str, str]] = {
    path.removeprefix("math."): operation.name
    for operation in OPERATIONS.values()
    for spelling in operation.calls
    for path in spelling.paths
    if path.startswith("math.")
}
"""Functions of `math` that accept symbolic numbers -> the operation that is recorded for these."""


def _math(name: str) -> None:
    function = getattr(math, name)

    def made(r: Recorder, a: dict[str, Any]) -> Any:
        values = [a[n] for n in ("x", "y") if n in a]
        if isinstance(values[0], SymNumber):
            return r.add(_ON_SYMBOLS[name], values)
        return checked_number(function(*values))

    LOWERINGS[f"math_{name}"] = made


@lowering("math_log")
def _math_log(r: Recorder, a: dict[str, Any]) -> Any:
    x, base = a["x"], a["base"]
    if not isinstance(x, SymNumber) and not isinstance(base, SymNumber):
        return math.log(x) if base is None else math.log(x, base)
    top = r.add("log", (x,)) if isinstance(x, SymNumber) else math.log(x)
    if base is None:
        return top
    bottom = r.add("log", (base,)) if isinstance(base, SymNumber) else math.log(base)
    return r.add("div", (top, bottom))


@lowering("math_pow")
def _math_pow(r: Recorder, a: dict[str, Any]) -> Any:
    x, y = a["x"], a["y"]
    if isinstance(x, SymNumber) or isinstance(y, SymNumber):
        return r.add("pow", (x, y if isinstance(y, SymNumber) else float(y)))
    return math.pow(x, y)


for _spelling in SPELLINGS:
    for _path in _spelling.paths:
        if _path.startswith("math.") and _spelling.by not in LOWERINGS:
            _math(_path.removeprefix("math."))
