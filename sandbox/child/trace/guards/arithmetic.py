"""Python's operators on constants, at bounded cost: numbers, lists and tuples, shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sandbox.child.allowlist import limits
from sandbox.child.protocol import Refusal
from sandbox.child.trace.symbols import Reported, Sizes, Symbol, SymNumber, checked_number
from sandbox.graph.types import Shape


def arithmetic(name: str, function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """The value of a binary operator on constant numbers. Raises Refusal if the result is too large or undefined."""
    if name == "Pow" and isinstance(a, int) and isinstance(b, int) and b * max(a.bit_length(), 1) > 64:
        raise Refusal("SBX204")
    if name == "MatMult" or (name.startswith("Bit") and (isinstance(a, float) or isinstance(b, float))):
        raise Refusal("SBX205")
    try:
        value = function(a, b)
    except (ZeroDivisionError, OverflowError, ValueError):
        raise Refusal("SBX228") from None
    if isinstance(value, complex):
        raise Refusal("SBX228")
    return value if isinstance(value, float) and math.isnan(value) else checked_number(value)


def joined(name: str, a: Any, b: Any) -> Any:
    """a + b and a * n for lists and tuples, a | b for dicts. Raises Refusal for any other operands."""
    if name == "Add" and type(a) is type(b) and isinstance(a, list | tuple):
        if len(a) + len(b) > limits.MAX_SEQUENCE:
            raise Refusal("SBX204")
        return a + b
    if name == "BitOr" and type(a) is dict and type(b) is dict:
        if len(a) + len(b) > limits.MAX_SEQUENCE:
            raise Refusal("SBX204")
        return a | b
    if name == "Mult":
        items, times = (b, a) if type(a) is int else (a, b)
        if isinstance(items, list | tuple) and type(times) is int:
            if len(items) * max(times, 0) > limits.MAX_SEQUENCE:
                raise Refusal("SBX204")
            return items * times
    raise Refusal("SBX205")


def compare_sizes(op: str, a: Any, b: Any) -> bool:
    """x.shape == other, or !=. Raises Refusal if the result depends on the batch."""
    if op not in ("eq", "ne"):
        raise Refusal("SBX205")
    if isinstance(a, Sizes) and isinstance(b, Sizes):
        return _same_dims(a.dims, b.dims) == (op == "eq")
    sizes, other = (a.items, b) if isinstance(a, Sizes) else (b.items, a)
    if not isinstance(other, list | tuple):
        raise Refusal("SBX205")
    return (isinstance(other, tuple) and _same_items(sizes, other)) == (op == "eq")


def _same_dims(a: Shape, b: Shape) -> bool:
    """Whether two shapes are the same. Raises Refusal if this depends on a size that is not constant."""
    if len(a) != len(b):
        return False
    pairs = [(x.constant, y.constant) for x, y in zip(a, b, strict=True) if x != y]
    if any(x is not None and y is not None for x, y in pairs):
        return False
    if pairs:
        raise Refusal("SBX201")
    return True


def _same_items(a: Sequence[Any], b: Sequence[Any]) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if isinstance(x, SymNumber) and isinstance(y, SymNumber):
            if x.index != y.index:
                raise Refusal("SBX201")
        elif isinstance(x, Symbol) or isinstance(y, Symbol):
            raise Refusal("SBX201")
        elif isinstance(y, Reported):
            raise Refusal("SBX133")
        elif not isinstance(x, int) or not isinstance(y, int) or x != y:
            return False
    return True
