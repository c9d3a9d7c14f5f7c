"""The registry of lowerings, and helpers that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.symbols import Recorder, Sizes, SymTensor
from sandbox.graph.types import Dim

Lowering = Callable[[Recorder, dict[str, Any]], Any]
LOWERINGS: dict[str, Lowering] = {}


def lowering(*names: str) -> Callable[[Lowering], Lowering]:
    """Decorator: register a function as the lowering of these names."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            assert name not in LOWERINGS, name
            LOWERINGS[name] = function
        return function

    return register


def misfit() -> Refusal:
    """The refusal for arguments that do not fit; `trace.facade` adds the call."""
    return Refusal("SBX206")


def floating(x: SymTensor) -> SymTensor:
    """x, if it is a floating tensor. Raises Refusal."""
    if x.type.dtype != "float":
        raise misfit()
    return x


def sizes_of(r: Recorder, x: SymTensor) -> Sizes:
    """The value of `x.shape`."""
    return Sizes(x.dims, tuple(r.size(d) for d in x.dims))


def shape_of(sizes: Any, r: Recorder) -> tuple[int | str, ...]:
    """Sizes as a graph's shape attribute: constant ints and symbols of the contract. Raises Refusal."""
    if isinstance(sizes, Sizes):
        sizes = sizes.items
    if not isinstance(sizes, list | tuple):
        sizes = (sizes,)
    if len(sizes) > 4:
        raise Refusal("SBX222")
    return tuple(_size(s, r) for s in sizes)


def _size(value: Any, r: Recorder) -> int | str:
    if type(value) is int:
        if not -1 <= value <= 4096:
            raise Refusal("SBX222")
        return value
    symbol = r.symbol_of(value)
    if symbol is None:
        raise Refusal("SBX236")
    return symbol


def shape_entry(dim: Dim) -> int | str | None:
    """A size as an entry of a graph's shape attribute, or None if it is neither an int nor one symbol."""
    if dim.constant is not None:
        return dim.constant
    symbols, coefficient = dim.terms[0]
    return symbols[0] if len(dim.terms) == 1 and len(symbols) == 1 and coefficient == 1 else None


def axes(value: Any) -> Any:
    """An axis, a tuple of axes, or None, if the value is a constant. Raises Refusal."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, list | tuple) and all(type(v) is int for v in value) and 1 <= len(value) <= 4:
        return tuple(value)
    raise misfit()


def cast(r: Recorder, x: SymTensor, name: str) -> SymTensor:
    """x converted to the dtype `name`; x itself if it has that dtype."""
    return x if x.type.dtype == name else r.add("cast", (x,), {"to": name})
