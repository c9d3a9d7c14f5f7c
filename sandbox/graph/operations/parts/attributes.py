"""The attributes of operations: the values that each may have, and their normal form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

AttrKind = Literal["number", "int", "bool", "axis", "axes", "shape", "name", "symbol", "value", "choice"]
"""Kinds of attributes: `axis` an int, `axes` None, an int or a list of ints, `shape` a list of ints and symbols (-1 for one
inferred entry), `value` a finite or infinite number or a bool, `number` a finite float."""

MAX_INTEGER: Final = 2**53
MAX_SIZE: Final = 4096
MAX_AXIS: Final = 64
MAX_AXES: Final = 4
MAX_NAME: Final = 64
SYMBOLS: Final = ("B", "C")
NON_FINITE: Final = {"inf": math.inf, "-inf": -math.inf}
"""Constants that JSON cannot represent as numbers."""


class Attr(NamedTuple):
    """An attribute of an operation: its kind, its default (`...` if it is required), and its range or choices."""

    kind: AttrKind
    default: Any = ...
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def normal(self, value: Any) -> Any:
        """The value in its normal form. Raises ValueError for a value that the attribute may not have."""
        if value is None and self.default is None and self.kind in ("axis", "axes"):
            return None
        return NORMAL[self.kind](self, value)

    def _within(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def _kept(accepts: Callable[[Attr, Any], bool]) -> Callable[[Attr, Any], Any]:
    """A normaliser for values that are in normal form if they are accepted."""

    def normal(attr: Attr, value: Any) -> Any:
        if not accepts(attr, value):
            raise ValueError(value)
        return value

    return normal


def _is_whole(value: Any, most: int = MAX_INTEGER) -> bool:
    return type(value) is int and abs(value) <= most


def _is_real(value: Any) -> bool:
    return _is_whole(value) or (type(value) is float and math.isfinite(value))


def _is_size(value: Any) -> bool:
    return (type(value) is int and -1 <= value <= MAX_SIZE) or value in SYMBOLS


def _number(attr: Attr, value: Any) -> float:
    if not _is_real(value) or not attr._within(value):
        raise ValueError(value)
    return float(value)


def _axes(attr: Attr, value: Any) -> bool:
    several = isinstance(value, tuple) and 1 <= len(value) <= MAX_AXES
    return _is_whole(value, MAX_AXIS) or (several and all(_is_whole(v, MAX_AXIS) for v in value))


def _value(attr: Attr, value: Any) -> Any:
    if isinstance(value, str) and value in NON_FINITE:
        return NON_FINITE[value]
    if not _is_real(value) and type(value) is not bool and not (type(value) is float and math.isinf(value)):
        raise ValueError(value)
    return value


NORMAL: Final[Mapping[str, Callable[[Attr, Any], Any]]] = {
    "number": _number,
    "int": _kept(lambda attr, v: _is_whole(v, MAX_SIZE) and attr._within(v)),
    "axis": _kept(lambda attr, v: _is_whole(v, MAX_AXIS)),
    "axes": _kept(_axes),
    "bool": _kept(lambda attr, v: type(v) is bool),
    "shape": _kept(lambda attr, v: isinstance(v, tuple) and len(v) <= MAX_AXES and all(map(_is_size, v))),
    "symbol": _kept(lambda attr, v: isinstance(v, str) and v in SYMBOLS),
    "choice": _kept(lambda attr, v: isinstance(v, str) and v in attr.choices),
    "name": _kept(lambda attr, v: isinstance(v, str) and v.isidentifier() and len(v) <= MAX_NAME),
    "value": _value,
}
