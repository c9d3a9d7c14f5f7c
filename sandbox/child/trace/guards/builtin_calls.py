"""Python's builtins for candidates: on constants and numbers, with bounded cost, and on symbolic values if that is defined."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from sandbox.child.allowlist import limits
from sandbox.child.protocol import Refusal
from sandbox.child.trace.facade import TensorClass
from sandbox.child.trace.guards.branches import Condition
from sandbox.child.trace.guards.instances import Member, items_of
from sandbox.child.trace.symbols import (
    VIEWS,
    Pair,
    Recorder,
    Reported,
    Sizes,
    SymNumber,
    SymTensor,
    checked_number,
    is_number,
)


class GuardMethods(Protocol):
    """The guards' methods that the builtins use."""

    recorder: Recorder

    def iterate(self, value: Any) -> Iterator[Any]:
        """The items that a loop over `value` visits."""

    def binary(self, name: str, a: Any, b: Any) -> Any:
        """The value of a binary operator, by its name in Python's syntax tree."""

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The value of a call."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """One of `limits.BUILTINS`, by name."""

    name: str


_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{0,20})?(e[+-]?[0-9]{1,3})?|-?\.[0-9]{1,20}")

# Parameters have Python's names, or are positional-only as in Python. Python's single-use iterators (map, zip, enumerate, filter,
# reversed) are generators here.


def _range(g: GuardMethods, /, *bounds: Any) -> range:
    if any(isinstance(b, SymNumber) for b in bounds):
        raise Refusal("SBX234")
    if not all(type(b) is int for b in bounds):
        raise Refusal("SBX206")
    made = range(*bounds)
    if len(made) > limits.MAX_STEPS:
        raise Refusal("SBX202", (limits.MAX_STEPS,))
    return made


def _len(g: GuardMethods, value: Any, /) -> Any:
    if isinstance(value, SymTensor):
        if not value.dims:
            raise Refusal("SBX206")
        return g.recorder.size(value.dims[0])
    if isinstance(value, Sizes):
        return len(value.items)
    if (items := items_of(value)) is not None:
        return len(items)
    if isinstance(value, (list, tuple, dict, range, *VIEWS)):
        return len(value)
    raise Refusal("SBX206")


def _abs(g: GuardMethods, value: Any, /) -> Any:
    if isinstance(value, SymTensor | SymNumber):
        return g.recorder.add("abs", (value,))
    if is_number(value):
        return abs(value)
    raise Refusal("SBX206")


def _sum(g: GuardMethods, items: Any, /, start: Any = 0) -> Any:
    total = start
    for item in g.iterate(items):
        total = g.binary("Add", total, item)
    return total


def _extreme(op: str, choose: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def extreme(g: GuardMethods, /, *values: Any) -> Any:
        items = list(g.iterate(values[0])) if len(values) == 1 else list(values)
        if not items:
            raise Refusal("SBX206")
        best = items[0]
        for item in items[1:]:
            if isinstance(best, SymTensor) or isinstance(item, SymTensor):
                raise Refusal("SBX201")
            if not is_number(best) or not is_number(item):
                raise Refusal("SBX205")
            if isinstance(best, SymNumber) or isinstance(item, SymNumber):
                best = g.recorder.add(op, (best, item))
            else:
                best = choose(best, item)
        return best

    return extreme


def _float(g: GuardMethods, value: Any = 0.0, /) -> Any:
    if isinstance(value, str):
        text = value.strip().lower()
        if text[:1] == "+" and text[1:2] not in ("+", "-"):
            text = text[1:]
        if text in ("inf", "infinity", "-inf", "-infinity"):
            return -math.inf if text.startswith("-") else math.inf
        if _NUMBER.fullmatch(text):
            return checked_number(float(text))
        raise Refusal("SBX232" if text == "nan" else "SBX205")
    if isinstance(value, SymNumber):
        return value if value.type.dtype == "float" else g.recorder.add("mul", (value, 1.0))
    if isinstance(value, SymTensor | Reported):
        raise Refusal("SBX133")
    if not is_number(value):
        raise Refusal("SBX206")
    return float(value)


def _int(g: GuardMethods, value: Any = 0, /) -> Any:
    if isinstance(value, SymNumber) and value.type.dtype == "int":
        return value
    if isinstance(value, SymTensor | SymNumber):
        raise Refusal("SBX133")
    if not is_number(value):
        raise Refusal("SBX206")
    return checked_number(int(value))


def _bool(g: GuardMethods, value: Any = False, /) -> bool:
    return bool(value)


def _round(g: GuardMethods, /, number: Any, ndigits: Any = None) -> Any:
    if isinstance(number, SymTensor | SymNumber):
        raise Refusal("SBX207")
    if not is_number(number) or not (ndigits is None or (type(ndigits) is int and abs(ndigits) <= 20)):
        raise Refusal("SBX206")
    return checked_number(round(number, ndigits))


def _list(g: GuardMethods, items: Any = (), /) -> list[Any]:
    return list(g.iterate(items))


def _tuple(g: GuardMethods, items: Any = (), /) -> tuple[Any, ...]:
    return tuple(g.iterate(items))


def _dict(g: GuardMethods, items: Any = (), /, **named: Any) -> dict[Any, Any]:
    made = {}
    for item in g.iterate(items.items() if isinstance(items, dict) else items):
        key, value = g.iterate(item)
        if not isinstance(key, str | int | float):
            raise Refusal("SBX206")
        made[key] = value
    return {**made, **named}


def _enumerate(g: GuardMethods, /, iterable: Any, start: int = 0) -> Iterator[Any]:
    if type(start) is not int:
        raise Refusal("SBX206")
    return (pair for pair in enumerate(g.iterate(iterable), start))


def _zip(g: GuardMethods, /, *several: Any, strict: bool = False) -> Iterator[Any]:
    return (items for items in zip(*[g.iterate(items) for items in several], strict=bool(strict)))


def _reversed(g: GuardMethods, items: Any, /) -> Iterator[Any]:
    if not isinstance(items, (list, tuple, dict, range, Sizes, Pair, *VIEWS)):
        raise Refusal("SBX206")
    return (item for item in list(g.iterate(items))[::-1])


def _sorted(g: GuardMethods, items: Any, /, *, key: Any = None, reverse: Any = False) -> list[Any]:
    values = list(g.iterate(items))
    keys = values if key is None else [g.call(key, v) for v in values]
    if any(isinstance(k, SymTensor | SymNumber) for k in keys):
        raise Refusal("SBX201")
    if not all(is_number(k) for k in keys) and not all(isinstance(k, str) for k in keys):
        raise Refusal("SBX205")
    order = sorted(range(len(values)), key=keys.__getitem__, reverse=bool(reverse))
    return [values[i] for i in order]


def _map(g: GuardMethods, function: Any, items: Any, /, *more: Any) -> Iterator[Any]:
    return (g.call(function, *each) for each in _zip(g, items, *more))


def _filter(g: GuardMethods, function: Any, items: Any, /) -> Iterator[Any]:
    return (item for item in g.iterate(items) if (item if function is None else g.call(function, item)))


def _all(g: GuardMethods, items: Any, /) -> bool:
    return all(g.iterate(items))


def _any(g: GuardMethods, items: Any, /) -> bool:
    return any(g.iterate(items))


def _pow(g: GuardMethods, /, base: Any, exp: Any) -> Any:
    return g.binary("Pow", base, exp)


def _isinstance(g: GuardMethods, value: Any, kinds: Any, /) -> bool:
    if isinstance(value, Reported):
        raise Refusal("SBX133")
    if isinstance(value, Condition) or (isinstance(value, SymNumber) and _is_of_either_type(g, value)):
        raise Refusal("SBX201")
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    return any(_is_a(value, kind) for kind in wanted)


def _is_of_either_type(g: GuardMethods, value: SymNumber) -> bool:
    """Whether Python's type of a number depends on its value, as that of max(1, beta)."""
    return g.recorder.nodes[value.index].op in ("maximum", "minimum", "pow", "where")


def _is_a(value: Any, kind: Any) -> bool:
    if isinstance(kind, TensorClass) and kind.path == "torch.Tensor":  # a GPU tensor is none of the others
        return isinstance(value, SymTensor)
    if not isinstance(kind, Builtin):
        raise Refusal("SBX206")
    match kind.name:
        case "float" | "int" if isinstance(value, SymNumber):
            return value.type.dtype == kind.name
        case "str" | "int" if isinstance(value, Member):
            return value.kind == kind.name
        case "tuple" if isinstance(value, Sizes | Pair) or items_of(value) is not None:
            return True
        case "float" | "int" | "bool" | "list" | "tuple" | "dict":
            return isinstance(value, _CLASSES[kind.name])
    raise Refusal("SBX206")


_CLASSES: Mapping[str, type] = {"float": float, "int": int, "bool": bool, "list": list, "tuple": tuple, "dict": dict}

BUILTIN_CALLS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "abs": _abs,
        "all": _all,
        "any": _any,
        "bool": _bool,
        "dict": _dict,
        "enumerate": _enumerate,
        "filter": _filter,
        "float": _float,
        "int": _int,
        "isinstance": _isinstance,
        "len": _len,
        "list": _list,
        "map": _map,
        "max": _extreme("maximum", max),
        "min": _extreme("minimum", min),
        "pow": _pow,
        "range": _range,
        "reversed": _reversed,
        "round": _round,
        "sorted": _sorted,
        "sum": _sum,
        "tuple": _tuple,
        "zip": _zip,
    }
)
assert BUILTIN_CALLS.keys() == limits.BUILTINS
