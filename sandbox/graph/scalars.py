"""Evaluation of a graph's operations on Python numbers: beta, sizes and constants. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sandbox.graph.operations import OPERATIONS

NUMBER_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {name: o.on_numbers.compute for name, o in OPERATIONS.items() if o.on_numbers is not None}
)
"""The operations that are defined on Python numbers."""
_EXACT = 2**53


def compute(op: str, *args: Any) -> Any:
    """The value of `op`; inf if it overflows, NaN if it is undefined or complex.

    Ints beyond 2^53 become floats, so that squaring one repeatedly stays cheap.
    """
    try:
        if op == "pow" and abs(args[1]) > 64:
            args = (float(args[0]), args[1])
        value = NUMBER_OPERATIONS[op](*args)
        return _tamed(value)
    except OverflowError:
        return math.inf
    except (ValueError, ZeroDivisionError):
        return math.nan


def constant(op: str, dtype: str, args: Sequence[Any]) -> Any:
    """The value of `op` on constants as a number of type `dtype`; None if it is undefined, or not of that type."""
    value = compute(op, *args)
    if math.isnan(value):
        return None
    if dtype == "float":
        return float(value)
    return int(value) if abs(value) <= _EXACT and value == int(value) else None


def _tamed(value: Any) -> Any:
    if isinstance(value, complex):
        return math.nan
    return float(value) if isinstance(value, int) and abs(value) > _EXACT else value
