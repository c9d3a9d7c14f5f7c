"""Arithmetic on Python numbers: what a graph's operations give for beta, sizes and constants. No torch."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

NUMBER_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "div": operator.truediv,
        "pow": operator.pow,
        "floordiv": operator.floordiv,
        "remainder": operator.mod,
        "maximum": max,
        "minimum": min,
        "neg": operator.neg,
        "abs": abs,
        "floor": math.floor,
        "ceil": math.ceil,
        "trunc": math.trunc,
        "exp": math.exp,
        "expm1": math.expm1,
        "log": math.log,
        "log1p": math.log1p,
        "log2": math.log2,
        "log10": math.log10,
        "exp2": math.exp2,
        "sqrt": math.sqrt,
        "sin": math.sin,
        "cos": math.cos,
        "tan": math.tan,
        "tanh": math.tanh,
        "sinh": math.sinh,
        "cosh": math.cosh,
        "asinh": math.asinh,
        "atan": math.atan,
        "erf": math.erf,
        "erfc": math.erfc,
    }
)


_EXACT = 2**53


def compute(op: str, *args: Any) -> Any:
    """The number that `op` gives; inf where it overflows, NaN where it is undefined or complex.

    Whole numbers beyond 2^53 become floats, so that squaring one thirty times costs nothing.
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
    """The number of type `dtype` that `op` gives on constants; None where it is undefined, or not of that type."""
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
