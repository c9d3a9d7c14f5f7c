"""The operations a loss graph may contain, as data: operands, attributes, and how type and shape follow.

What source code may *say* is in `sandbox.child.allowlist`; what a graph may *do* is here. The verifier, the
interpreter, the printers and
the genetic operators all read this one table. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

AttrKind = Literal["number", "int", "bool", "axis", "axes", "shape", "name", "symbol", "value", "choice"]
"""Kinds of attributes: `axis` an int, `axes` None, an int or a list of ints, `shape` a list of ints and symbols (-1 for one
inferred entry), `value` a finite or infinite number or a bool, `number` a finite float."""


@dataclass(frozen=True, slots=True)
class Attr:
    """An attribute of an operation: what it may be, its default (`...` where it must be given), its range or choices."""

    kind: AttrKind
    default: object = ...
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `arity` counts operands (least, most); `rule` names the shape rule; `result` the kind of number that
    comes out: `float`, `bool`, `int`, `promote` (the widest operand's) or `same` (the first operand's)."""

    name: str
    arity: tuple[int, int]
    rule: str
    result: str
    attrs: Mapping[str, Attr]
    scalar: bool = False
    """True where the operation is defined on Python numbers too (arithmetic on beta and on sizes)."""
    commutative: bool = False
    differentiable: bool = True


def _op(
    name: str,
    arity: int | tuple[int, int],
    rule: str = "elementwise",
    result: str = "float",
    attrs: Mapping[str, Attr] | None = None,
    *,
    scalar: bool = False,
    commutative: bool = False,
    differentiable: bool = True,
) -> Operation:
    span = (arity, arity) if isinstance(arity, int) else arity
    return Operation(name, span, rule, result, MappingProxyType(dict(attrs or {})), scalar, commutative, differentiable)


_KEEPDIM = Attr("bool", False)
_AXES = Attr("axes", None)
_AXIS = Attr("axis")

_SOURCES = [
    _op("input", 0, "input", "input", {"name": Attr("name")}),
    _op("size", 0, "size", "int", {"symbol": Attr("symbol")}, differentiable=False),
    _op("const", 0, "const", "const", {"value": Attr("value")}, differentiable=False),
]

_UNARY = [
    *(
        _op(n, 1, scalar=True)
        for n in (
            "exp",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
            "exp2",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "tanh",
            "sinh",
            "cosh",
            "asinh",
            "atan",
            "erf",
            "erfc",
        )
    ),
    *(_op(n, 1, result="same", scalar=True) for n in ("neg", "abs")),
    *(_op(n, 1, result="same", scalar=True, differentiable=False) for n in ("floor", "ceil", "trunc")),
    *(_op(n, 1, result="same", differentiable=False) for n in ("sign", "round")),
    _op("square", 1, result="sum"),
    *(_op(n, 1, result="same") for n in ("relu", "frac")),
    *(
        _op(n, 1)
        for n in (
            "rsqrt",
            "reciprocal",
            "sigmoid",
            "logsigmoid",
            "relu6",
            "selu",
            "silu",
            "mish",
            "softsign",
            "tanhshrink",
            "hardsigmoid",
            "hardswish",
        )
    ),
    _op("softplus", 1, attrs={"beta": Attr("number", 1.0, low=1e-6, high=1e6), "threshold": Attr("number", 20.0)}),
    _op("leaky_relu", 1, attrs={"negative_slope": Attr("number", 0.01)}),
    _op("elu", 1, attrs={"alpha": Attr("number", 1.0)}),
    _op("celu", 1, attrs={"alpha": Attr("number", 1.0, low=1e-6)}),
    _op("gelu", 1, attrs={"approximate": Attr("choice", "none", choices=("none", "tanh"))}),
    _op("softshrink", 1, attrs={"lambd": Attr("number", 0.5, low=0.0)}),
    _op("hardshrink", 1, attrs={"lambd": Attr("number", 0.5)}),
    _op("hardtanh", 1, attrs={"min_val": Attr("number", -1.0), "max_val": Attr("number", 1.0)}),
    _op("threshold", 1, attrs={"threshold": Attr("number"), "value": Attr("number")}),
    _op("logit", 1, attrs={"eps": Attr("number", 1e-6, low=0.0, high=0.5)}),
    _op(
        "nan_to_num",
        1,
        attrs={
            "nan": Attr("number", 0.0),
            "posinf": Attr("number", 3.4028234663852886e38),
            "neginf": Attr("number", -3.4028234663852886e38),
        },
    ),
    _op("isfinite", 1, result="bool", differentiable=False),
    _op("isnan", 1, result="bool", differentiable=False),
    _op("isinf", 1, result="bool", differentiable=False),
    _op("logical_not", 1, result="bool", differentiable=False),
    _op("detach", 1, "same", "same", differentiable=False),
    _op("cast", 1, "same", "cast", {"to": Attr("choice", choices=("float", "int", "bool"))}),
    _op("tensor", 1, "tensor", "float"),
]

_BINARY = [
    *(_op(n, 2, result="promote", scalar=True, commutative=True) for n in ("add", "mul", "maximum", "minimum")),
    *(_op(n, 2, result="promote", scalar=True) for n in ("sub", "pow")),
    _op("div", 2, scalar=True),
    *(_op(n, 2, result="promote", scalar=True, differentiable=False) for n in ("floordiv",)),
    *(_op(n, 2, result="promote", scalar=True) for n in ("remainder",)),
    *(_op(n, 2, commutative=True) for n in ("logaddexp", "logaddexp2", "hypot")),
    *(_op(n, 2) for n in ("atan2", "xlogy")),
    *(_op(n, 2, result="bool", differentiable=False) for n in ("lt", "le", "gt", "ge")),
    *(
        _op(n, 2, result="bool", commutative=True, differentiable=False)
        for n in ("eq", "ne", "logical_and", "logical_or", "logical_xor")
    ),
    _op("clamp_min", 2, result="promote"),
    _op("clamp_max", 2, result="promote"),
    _op("where", 3, "elementwise", "where"),
    _op("lerp", 3),
]

_LOSSES = [
    _op("mse_loss", 2, commutative=True),
    _op("l1_loss", 2, commutative=True),
    _op("smooth_l1_loss", 2, commutative=True, attrs={"beta": Attr("number", 1.0, low=0.0)}),
    _op("huber_loss", 2, commutative=True, attrs={"delta": Attr("number", 1.0, low=1e-6)}),
    _op("binary_cross_entropy", 2),
    _op("binary_cross_entropy_with_logits", 2),
    _op("soft_margin_loss", 2),
    _op("kl_div", 2, attrs={"log_target": Attr("bool", False)}),
    _op("cross_entropy", 2, "per_row", attrs={"label_smoothing": Attr("number", 0.0, low=0.0, high=1.0)}),
    _op("nll_loss", 2, "per_row"),
]

_REDUCTIONS = [
    _op("sum", 1, "reduce", "sum", {"dim": _AXES, "keepdim": _KEEPDIM}),
    _op("mean", 1, "reduce", "float", {"dim": _AXES, "keepdim": _KEEPDIM}),
    _op("prod", 1, "reduce_one", "sum", {"dim": Attr("axis", None), "keepdim": _KEEPDIM}),
    *(
        _op(n, 1, "reduce", "float", {"dim": _AXES, "keepdim": _KEEPDIM, "correction": Attr("int", 1, low=0, high=8)})
        for n in ("var", "std")
    ),
    *(_op(n, 1, "reduce", "same", {"dim": _AXES, "keepdim": _KEEPDIM}) for n in ("amax", "amin")),
    *(
        _op(n, 1, "reduce_one", "same", {"dim": Attr("axis", None), "keepdim": _KEEPDIM})
        for n in ("max", "min", "median")
    ),
    _op("logsumexp", 1, "reduce", "float", {"dim": Attr("axes"), "keepdim": _KEEPDIM}),
    _op("norm", 1, "reduce", "float", {"p": Attr("number", 2.0, low=0.0), "dim": _AXES, "keepdim": _KEEPDIM}),
    _op(
        "quantile",
        1,
        "reduce_one",
        "float",
        {
            "q": Attr("number", low=0.0, high=1.0),
            "dim": Attr("axis", None),
            "keepdim": _KEEPDIM,
            "interpolation": Attr("choice", "linear", choices=("linear", "lower", "higher", "nearest", "midpoint")),
        },
    ),
    *(
        _op(n, 1, "reduce_one", "bool", {"dim": Attr("axis", None), "keepdim": _KEEPDIM}, differentiable=False)
        for n in ("any", "all")
    ),
    *(
        _op(n, 1, "reduce_one", "int", {"dim": Attr("axis", None), "keepdim": _KEEPDIM}, differentiable=False)
        for n in ("argmax", "argmin")
    ),
]

_ALONG = [
    *(_op(n, 1, "along", "float", {"dim": _AXIS}) for n in ("softmax", "log_softmax", "logcumsumexp")),
    _op("cumsum", 1, "along", "sum", {"dim": _AXIS}),
    _op(
        "normalize",
        1,
        "along",
        "float",
        {"p": Attr("number", 2.0, low=0.0), "dim": Attr("axis", 1), "eps": Attr("number", 1e-12)},
    ),
    _op("sort", 1, "along", "same", {"dim": Attr("axis", -1), "descending": Attr("bool", False)}),
    _op(
        "argsort", 1, "along", "int", {"dim": Attr("axis", -1), "descending": Attr("bool", False)}, differentiable=False
    ),
    _op("flip", 1, "along", "same", {"dim": _AXIS}),
    _op("roll", 1, "along", "same", {"shift": Attr("int", low=-64, high=64), "dim": _AXIS}),
]

_SHAPES = [
    _op("unsqueeze", 1, "unsqueeze", "same", {"dim": _AXIS}),
    _op("squeeze", 1, "squeeze", "same", {"dim": Attr("axis", None)}),
    _op("reshape", 1, "reshape", "same", {"shape": Attr("shape")}),
    _op("expand", 1, "expand", "same", {"shape": Attr("shape")}),
    _op("transpose", 1, "transpose", "same", {"dim0": _AXIS, "dim1": Attr("axis")}),
    _op("slice", 1, "slice", "same", {"dim": _AXIS, "start": Attr("int", 0), "stop": Attr("axis", None)}),
    _op("select", 1, "select", "same", {"dim": _AXIS, "index": Attr("int")}),
    _op("gather", 2, "gather", "same", {"dim": _AXIS}),
    _op("one_hot", 1, "one_hot", "int", {"symbol": Attr("symbol", "C")}, differentiable=False),
    _op("cat", (1, 64), "cat", "promote", {"dim": Attr("axis", 0)}),
    _op("stack", (1, 64), "stack", "promote", {"dim": Attr("axis", 0)}),
    *(_op(n, 1, "matrix", "same", {"diagonal": Attr("int", 0, low=-8, high=8)}) for n in ("triu", "tril")),
    _op("diagonal", 1, "diagonal", "same"),
    _op("outer", 2, "outer", "promote"),
    _op("dot", 2, "dot", "promote", commutative=True),
    _op("matmul", 2, "matmul", "promote"),
]

_CREATION = [
    _op("full", 1, "full", "same", {"shape": Attr("shape")}),
    _op("full_like", 2, "full_like", "same"),
    _op("arange", 0, "arange", "int", {"symbol": Attr("symbol")}, differentiable=False),
    _op("eye", 0, "eye", "float", {"symbol": Attr("symbol")}, differentiable=False),
]

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        o.name: o
        for group in (_SOURCES, _UNARY, _BINARY, _LOSSES, _REDUCTIONS, _ALONG, _SHAPES, _CREATION)
        for o in group
    }
)
"""Every operation by name."""

_KEEP_THEIR_OPERANDS = frozenset(
    {"cast", "tensor", "full", "full_like", "where", "cross_entropy", "nll_loss", "gather", "one_hot", "argsort"}
)


def computes_in_floats(name: str, dtype: str) -> bool:
    """Whether the operation turns boolean and integer tensors into floats first, for a result of this dtype."""
    return dtype == "float" and name not in _KEEP_THEIR_OPERANDS
