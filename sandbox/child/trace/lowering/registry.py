"""The register of recipes, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.symbols import Recorder, Sizes, SymTensor
from sandbox.graph.types import Dim

Recipe = Callable[[Recorder, dict[str, Any]], Any]
RECIPES: dict[str, Recipe] = {}


def recipe(*names: str) -> Callable[[Recipe], Recipe]:
    """Register a function as the recipe of these names."""

    def register(function: Recipe) -> Recipe:
        for name in names:
            assert name not in RECIPES, name
            RECIPES[name] = function
        return function

    return register


def misfit() -> Refusal:
    """The arguments do not fit; `trace.facade` adds which call it was."""
    return Refusal("SBX206")


def floating(x: SymTensor) -> SymTensor:
    """x, which must be of floating numbers. Raises Refusal."""
    if x.type.dtype != "float":
        raise misfit()
    return x


def sizes_of(r: Recorder, x: SymTensor) -> Sizes:
    """The shape of a tensor as source sees it."""
    return Sizes(x.dims, tuple(r.size(d) for d in x.dims))


def shape_of(sizes: Any, r: Recorder) -> tuple[int | str, ...]:
    """Sizes as a graph writes them: constant ints and symbols of the contract. Raises Refusal."""
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
    """A size as the shape attribute of a graph writes it, or None where it cannot."""
    if dim.constant is not None:
        return dim.constant
    symbols, coefficient = dim.terms[0]
    return symbols[0] if len(dim.terms) == 1 and len(symbols) == 1 and coefficient == 1 else None


def axes(value: Any) -> Any:
    """A constant axis, several, or None. Raises Refusal."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, list | tuple) and all(type(v) is int for v in value) and 1 <= len(value) <= 4:
        return tuple(value)
    raise misfit()


def cast(r: Recorder, x: SymTensor, name: str) -> SymTensor:
    """x in another type; x itself where it has that type already."""
    return x if x.type.dtype == name else r.add("cast", (x,), {"to": name})
