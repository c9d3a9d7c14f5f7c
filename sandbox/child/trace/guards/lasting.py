"""What outlives a call of the loss: values of the module, what its functions close over, the attributes of its object.

A trace is one call. A list that grows from call to call, an iterator that is used up in the first one, or a tensor that is changed
in place would make the second call another loss than the one that was traced.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType, GeneratorType
from typing import Any

from sandbox.child.trace.facade import Function
from sandbox.child.trace.guards.instances import ContainerMethod, Instance, LossClass, Method
from sandbox.child.trace.symbols import VIEWS, Pair, SymTensor


def lasting(values: Iterable[Any]) -> dict[int, Any]:
    """The lists and generators in `values`, however deep, by their id. Tensors among them may no longer change in place."""
    found: dict[int, Any] = {}
    seen: dict[int, Any] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, list | GeneratorType):
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
            return value.values.values()
        case LossClass():
            return value.methods.values()
        case Method() | ContainerMethod():
            return (value.function, value.owner)
        case Pair():
            return (value.values, value.indices)
        case Function():
            return (value.bound,)
    return list(value) if isinstance(value, VIEWS) else ()


def _closed_over(function: FunctionType) -> list[Any]:
    """What the variables hold that a function takes from around it; a variable without a value yet holds nothing."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue
    return found
