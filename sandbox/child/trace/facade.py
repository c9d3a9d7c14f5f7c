"""Facades: the frozen replacements for torch, F, math, self and Tensor methods in a candidate, and the binding of arguments.

A facade is only a path into the table of `allowlist.calls`: it holds no module, no Python function and no state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.child.allowlist import calls, limits
from sandbox.child.allowlist.calls import Call
from sandbox.child.allowlist.layers import LAYERS, Layer, LayerClass
from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering import LOWERINGS, record_plain
from sandbox.child.trace.lowering.registry import axes, sizes_of
from sandbox.child.trace.lowering.shaping import matrix_transpose
from sandbox.child.trace.lowering.values import data_of
from sandbox.child.trace.symbols import (
    DEVICE,
    Device,
    DType,
    FInfo,
    Pair,
    Recorder,
    Reported,
    Sizes,
    SymNumber,
    SymTensor,
    checked_number,
    is_number,
)
from sandbox.graph.operations.parts.calls import REQUIRED, Parameter

_ALIASES = {"axis": "dim", "keepdims": "keepdim"}
"""numpy's names of parameters, which torch accepts too."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A module, by its full name."""

    path: str


@dataclass(frozen=True, slots=True)
class Function:
    """An exposed call; `bound` is the tensor, for a method."""

    call: Call
    bound: SymTensor | None = None


@dataclass(frozen=True, slots=True)
class TensorClass:
    """A tensor class such as torch.Tensor, by full name, for isinstance."""

    path: str


@dataclass(frozen=True, slots=True)
class PartialClass:
    """functools.partial, to be called."""


@dataclass(frozen=True, slots=True)
class SequentialClass:
    """torch.nn.Sequential, to be called with layers."""


@dataclass(frozen=True, slots=True)
class Sequential:
    """Layers that are applied one after the other."""

    layers: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class NamespaceClass:
    """types.SimpleNamespace, to be called."""


@dataclass(frozen=True, slots=True)
class Reduce:
    """functools.reduce, to be called."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """A method such as x.mul_: the call of x.mul, whose result becomes the value of x."""

    function: Function
    changed: SymTensor


@dataclass(frozen=True, slots=True)
class Partial:
    """The value of functools.partial: a function with some of its arguments."""

    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SelfFacade:
    """The `self` of a method outside a class: the contract's numbers as attributes."""

    values: Mapping[str, Any]


def named(path: str) -> Any:
    """The facade or constant for a full name such as torch.nn.functional.relu. Raises Refusal."""
    if path in calls.BY_PATH:
        return Function(calls.BY_PATH[path])
    if path in calls.CONSTANTS:
        return calls.CONSTANTS[path]
    if path in calls.DTYPES:
        return DType(calls.DTYPES[path])
    if path in calls.OTHER_FLOATS:
        return DType(calls.OTHER_FLOATS[path])
    if path in calls.SMALL_INTS:
        return DType("small int")
    if path in calls.TYPES:
        return TensorClass(path)
    if path in LAYERS:
        return LayerClass(LAYERS[path])
    if path == calls.PARTIAL:
        return PartialClass()
    if path == calls.SEQUENTIAL:
        return SequentialClass()
    if path == calls.NAMESPACE:
        return NamespaceClass()
    if path == calls.REDUCE:
        return Reduce()
    if path in limits.MODULES or path in limits.FORMS:
        return Namespace(path)
    raise Refusal("SBX130")


def attribute(r: Recorder, value: Any, name: str) -> Any:
    """value.name, for any value that a candidate can hold. Raises Refusal."""
    match value:
        case Namespace() if value.path not in limits.FORMS:
            return named(f"{value.path}.{name}")
        case SymTensor():
            return _tensor_attribute(r, value, name)
        case SelfFacade() if name in value.values:
            return value.values[name]
        case Pair() if name == "values":
            return value.values
        case Pair() if name == "indices" and value.indices is not None:
            return value.indices
        case FInfo() if name in limits.FINFO_ATTRIBUTES:
            return limits.FINFO_ATTRIBUTES[name]
    raise Refusal("SBX229")


def _tensor_attribute(r: Recorder, x: SymTensor, name: str) -> Any:
    match name:
        case "shape":
            return sizes_of(r, x)
        case "dtype":
            return DType(x.type.dtype)
        case "device":
            return DEVICE
        case "ndim":
            return len(x.dims)
        case "data":
            return data_of(r, x)
        case "mT" if len(x.dims) < 2:
            raise Refusal("SBX206")
        case "T" | "mT":
            return matrix_transpose(r, {"input": x})
    if name in calls.IN_PLACE:
        return InPlace(Function(calls.BY_PATH[calls.IN_PLACE[name]], x), x)
    call = calls.BY_PATH.get(f"Tensor.{name}")
    if call is None:
        raise Refusal("SBX229")
    return Function(call, x)


def invoke(r: Recorder, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Record a call of an exposed function. Raises Refusal, which names the call if its arguments do not fit."""
    call = function.call
    if function.bound is not None:
        args = (function.bound, *args)
    try:
        bound = _bind(call, args, kwargs)
        if r.tries and _may_raise(call, args, kwargs):
            raise Refusal("SBX115")
        lowering = LOWERINGS.get(call.lowering)
        return lowering(r, bound) if lowering is not None else record_plain(r, call, bound)
    except Refusal as refusal:
        violation = refusal.violation
        if violation.code in _ABOUT_THE_CALL:
            raise Refusal(violation.code, violation.numbers, violation.span, call.number) from None
        raise


_TOTAL = frozenset(
    {
        "logsigmoid", "softplus", "sigmoid", "tanh", "relu", "silu", "exp", "expm1", "log", "log1p", "abs", "neg", "square",
        "sqrt", "mean", "sum", "detach", "clone", "isnan", "isinf", "isfinite", "any", "all",
    }
)  # fmt: skip
"""Calls for which torch accepts any floating tensor alone (`any` and `all` also truth values)."""


def _may_raise(call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether torch might refuse arguments that a graph accepts, such as a device, or the strides of a view."""
    if call.lowering == "to":
        return bool(kwargs) or not all(isinstance(value, SymTensor | Device) for value in args)
    return call.path.rpartition(".")[2] not in _TOTAL or bool(kwargs) or len(args) != 1


def layer_of(made: LayerClass, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Layer:
    """A layer with its options: the parameters after the tensors in the function that it applies. Raises Refusal."""
    call = calls.BY_PATH[made.path]
    names = [p.name for p in call.parameters[len(_operands(call)) :]]
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or kwargs.keys() & given.keys() or not kwargs.keys() <= set(names):
        raise Refusal("SBX206", call=call.number)
    return Layer(made.path, {**given, **kwargs})


def apply(r: Recorder, layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Record a call of a layer, which accepts tensors only. Raises Refusal."""
    call = calls.BY_PATH[layer.path]
    names = _operands(call)
    if len(args) > len(names) or not kwargs.keys() <= set(names):
        raise Refusal("SBX206", call=call.number)
    return invoke(r, Function(call), args, {**kwargs, **layer.options})


def _operands(call: Call) -> list[str]:
    """The names of the parameters that receive the tensors of a layer's call."""
    return [p.name for p in call.parameters if p.kind == "tensor" and p.default is REQUIRED]


_ABOUT_THE_CALL = frozenset({"SBX206", "SBX207", "SBX212"})


def _bind(call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by parameter name, each checked for the kind of its parameter. Raises Refusal."""
    given: dict[str, Any] = {}
    rest = list(args)
    for p in call.parameters:
        if p.variadic:
            given[p.name] = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple | Sizes) else tuple(rest)
            if not rest and p.name not in kwargs and p.kind != "any":
                given.pop(p.name)
            rest = []
        elif rest and not p.keyword_only:
            given[p.name] = rest.pop(0)
    if rest:
        raise Refusal("SBX206")
    names = {p.name for p in call.parameters}
    for name, value in kwargs.items():
        name = name if name in names else _ALIASES.get(name, name)
        if name not in names or (name in given and given[name] != ()):
            raise Refusal("SBX208" if name == "out" else "SBX206")
        given[name] = value
    return {p.name: _kept(p, given) for p in call.parameters if p.kind != "ignored"}


def _kept(p: Parameter, given: Mapping[str, Any]) -> Any:
    if p.name not in given:
        if p.default is REQUIRED:
            raise Refusal("SBX206")
        return p.default
    value = given[p.name]
    if isinstance(value, Reported):
        raise Refusal("SBX133")
    if value is None and p.default is None:
        return None
    return _CHECKS[p.kind](p, value)


def _constant(value: Any) -> Any:
    """The value, if it is not symbolic. Raises Refusal SBX207 for a symbol where a constant is required."""
    if isinstance(value, SymTensor | SymNumber):
        raise Refusal("SBX207")
    return value


def _number(p: Parameter, value: Any) -> Any:
    if isinstance(_constant(value), bool) or not isinstance(value, int | float):
        raise Refusal("SBX206")
    return checked_number(value)


def _int(p: Parameter, value: Any) -> int:
    if type(_constant(value)) is not int or abs(value) > 4096:
        raise Refusal("SBX206")
    return value  # type: ignore[no-any-return]


def _instance(*kinds: type) -> Any:
    def check(p: Parameter, value: Any) -> Any:
        if not isinstance(value, kinds):
            raise Refusal("SBX207" if isinstance(value, SymTensor | SymNumber) else "SBX206")
        return value

    return check


def _tensor(p: Parameter, value: Any) -> SymTensor:
    if not isinstance(value, SymTensor):
        raise Refusal("SBX221" if is_number(value) else "SBX206")
    return value


def _value(p: Parameter, value: Any) -> Any:
    if not isinstance(value, SymTensor) and not is_number(value):
        raise Refusal("SBX206")
    return value


def _scalar(p: Parameter, value: Any) -> Any:
    if isinstance(value, SymTensor):
        raise Refusal("SBX207")
    if not is_number(value):
        raise Refusal("SBX206")
    return value if isinstance(value, SymNumber) else checked_number(value)


def _tensors(p: Parameter, value: Any) -> Any:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 64:
        raise Refusal("SBX206")
    if not all(isinstance(v, SymTensor) for v in value):
        raise Refusal("SBX221")
    return value


def _fixed(p: Parameter, value: Any) -> Any:
    if type(value) is not type(p.default) or value != p.default:
        raise Refusal("SBX208" if p.name == "out" else "SBX206")
    return value


def _dtype(p: Parameter, value: Any) -> DType:
    if not isinstance(value, DType) or value.name not in ("float", "int", "bool"):
        raise Refusal("SBX231")
    return value


_CHECKS: Mapping[str, Any] = {
    "tensor": _tensor,
    "value": _value,
    "scalar": _scalar,
    "number": _number,
    "int": _int,
    "flag": _instance(bool),
    "text": _instance(str),
    "axis": _int,
    "axes": lambda p, value: axes(_constant(value)),
    "shape": lambda p, value: value,
    "tensors": _tensors,
    "dtype": _dtype,
    "fixed": _fixed,
    "any": lambda p, value: value,
}

__all__ = [
    "Device",
    "Function",
    "InPlace",
    "Namespace",
    "NamespaceClass",
    "Partial",
    "PartialClass",
    "Reduce",
    "SelfFacade",
    "Sequential",
    "SequentialClass",
    "TensorClass",
    "apply",
    "attribute",
    "invoke",
    "layer_of",
    "named",
]
