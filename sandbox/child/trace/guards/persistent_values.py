"""Values that exist before a call of the loss: the module's, those in closures, and the attributes of its object.

A trace is one call. If a call appended to a list, advanced an iterator or changed a tensor that exists before it, then the second
call would compute a different loss from the traced one.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType, GeneratorType
from typing import Any

from sandbox.child.trace.facade import Function, InPlace, Partial
from sandbox.child.trace.guards.instances import ContainerMethod, Instance, LossClass, Method
from sandbox.child.trace.symbols import VIEWS, Pair, SymTensor


def lasting(values: Iterable[Any]) -> dict[int, Any]:
    """The lists, dicts and generators in `values`, at any depth, by id. Marks the tensors in `values` as shared."""
    found: dict[int, Any] = {}
    seen: dict[int, Any] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, list | dict | GeneratorType):
            found[id(value)] = value
        if isinstance(value, SymTensor):
            value.shared = True
        waiting += _parts(value)
    return found


def _parts(value: Any) -> Iterable[Any]:
    match value:
        case list() | tuple():
            return value
        case dict():
            return value.values()
        case FunctionType():
            return _closed_over(value)
        case Instance():
            return (*value.values.values(), value.made)
        case LossClass():
            return (*value.methods.values(), *value.constants.values())
        case Method() | ContainerMethod():
            return (value.function, value.owner)
        case Pair():
            return (value.values, value.indices)
        case Partial():
            return (value.function, *value.args, *value.kwargs.values())
        case Function():
            return (value.bound,)
        case InPlace():
            return (value.changed,)
    return list(value) if isinstance(value, VIEWS) else ()


def _closed_over(function: FunctionType) -> list[Any]:
    """The defaults of a function and the values in its closure; variables that have no value yet are left out."""
    found = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue
    return found
