"""VerifiedGraph -> callable on torch tensors. An interpreter over a table; no source text is ever compiled or executed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sandbox.contracts.contract import Argument, contract_named
from sandbox.execute.at_once import kl_div, quantile
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, verify
from sandbox.graph.operations import OPERATIONS, computes_in_floats
from sandbox.graph.scalars import compute
from sandbox.graph.types import ONE, Type


@dataclass(frozen=True, slots=True)
class Context:
    """What an evaluation knows beside its operands."""

    dtype: torch.dtype
    device: torch.device
    sizes: Mapping[str, int]

    def shape(self, shape: Sequence[int | str]) -> tuple[int, ...]:
        return tuple(self.sizes[s] if isinstance(s, str) else s for s in shape)


Kernel = Callable[..., Any]


def compile_loss(graph: LossGraph) -> Callable[..., Tensor]:
    """A function of the contract's arguments, in order, that gives the losses, shape (batch,).

    A graph that is not verified yet is verified first. Tensors may be of any floating dtype and device; the computation follows the dtype of
    the first floating one. Raises GraphError for a graph that does not verify.
    """
    return _program(verify(graph), (graph.output,), single=True)


def compile_values(graph: VerifiedGraph, wanted: Sequence[int]) -> Callable[..., tuple[Any, ...]]:
    """Like `compile_loss`, but gives the values of the nodes in `wanted`: the numeric tests look inside comparisons."""
    return _program(graph, tuple(wanted), single=False)


def _program(graph: VerifiedGraph, wanted: tuple[int, ...], *, single: bool) -> Callable[..., Any]:
    if not isinstance(graph, VerifiedGraph):
        raise TypeError("only a VerifiedGraph is run: give the graph to sandbox.graph.verify first")
    contract = contract_named(graph.contract)
    names = [a.name for a in contract.arguments]
    types = graph.types
    steps = [
        (n.op, kernel_of(n.op, types[i], [types[a] for a in n.args]), n.args, n.attrs)
        for i, n in enumerate(graph.nodes)
    ]

    def loss(*arguments: Any) -> Any:
        if len(arguments) != len(names):
            raise TypeError(f"the loss takes {len(names)} arguments ({', '.join(names)}), got {len(arguments)}")
        given = dict(zip(names, arguments, strict=True))
        context = context_of(contract.tensors, given)
        values: list[Any] = []
        for op, kernel, args, attrs in steps:
            if op == "input":
                values.append(given[attrs["name"]])
            else:
                values.append(kernel(context, attrs, *[values[a] for a in args]))
        return values[wanted[0]] if single else tuple(values[i] for i in wanted)

    return loss


def context_of(tensors: Sequence[Argument], given: Mapping[str, Any]) -> Context:
    """Precision, device and sizes of a call, from its tensor arguments. Raises ValueError where they do not agree."""
    sizes: dict[str, int] = {}
    floating = None
    for argument in tensors:
        value = given[argument.name]
        assert argument.shape is not None
        if len(value.shape) != len(argument.shape):
            raise ValueError(f"{argument.name} has shape {tuple(value.shape)}, expected ({', '.join(argument.shape)})")
        for symbol, size in zip(argument.shape, value.shape, strict=True):
            if sizes.setdefault(symbol, size) != size:
                raise ValueError(
                    f"{argument.name} has shape {tuple(value.shape)}, but {symbol} is {sizes[symbol]} elsewhere"
                )
        if floating is None and value.dtype.is_floating_point:
            floating = value
    assert floating is not None
    return Context(floating.dtype, floating.device, sizes)


def kernel_of(op: str, result: Type, operands: Sequence[Type]) -> Kernel:
    """What computes one operation on operands of these types: called with context, attributes, operands."""
    if op in ("input", "const", "size"):
        return _SOURCES[op]
    if operands and all(t.is_number for t in operands) and OPERATIONS[op].scalar:
        return _number_kernel(op)
    kernel = _TENSOR[op]
    needs_cast = computes_in_floats(op, result.dtype) and any(not t.is_number and t.dtype != "float" for t in operands)
    if op == "where":
        return _where_kernel(result)
    if op == "squeeze":
        return _squeeze_kernel(operands[0])
    return _casting(kernel) if needs_cast else kernel


def tensor_kernel(op: str) -> Kernel:
    """What computes one operation on tensors, also where source had numbers. Raises KeyError for sources and `where`."""
    return _TENSOR[op]


def _casting(kernel: Kernel) -> Kernel:
    def cast(context: Context, attrs: Mapping[str, Any], *args: Any) -> Any:
        return kernel(
            context,
            attrs,
            *[a.to(context.dtype) if isinstance(a, Tensor) and not a.dtype.is_floating_point else a for a in args],
        )

    return cast


def _number_kernel(op: str) -> Kernel:
    return lambda context, attrs, *args: compute(op, *args)


def _where_kernel(result: Type) -> Kernel:
    def where(context: Context, _: Mapping[str, Any], condition: Any, a: Any, b: Any) -> Tensor:
        dtype = {"float": context.dtype, "int": torch.int64, "bool": torch.bool}[result.dtype]
        a, b = (
            v.to(dtype) if isinstance(v, Tensor) else torch.tensor(v, dtype=dtype, device=context.device)
            for v in (a, b)
        )
        return torch.where(_tensor(context, condition).to(torch.bool), a, b)

    return where


def _squeeze_kernel(operand: Type) -> Kernel:
    """Squeezes the axes that are known to be of size one: a batch that happens to hold one item keeps its axis."""
    single = [i for i, d in enumerate(operand.dims) if d == ONE]

    def squeeze(_: Context, attrs: Mapping[str, Any], x: Tensor) -> Tensor:
        wanted = attrs["dim"]
        axes = [i for i in single if wanted is None or i == wanted % len(operand.dims)]
        return x.squeeze(tuple(axes)) if axes else x

    return squeeze


_SOURCES: dict[str, Kernel] = {
    "const": lambda c, a: a["value"],
    "size": lambda c, a: c.sizes[a["symbol"]],
    "input": lambda c, a: None,
}


def _unary(function: Callable[[Tensor], Tensor]) -> Kernel:
    return lambda c, a, x: function(x)


def _two_sided(function: Callable[..., Tensor]) -> Kernel:
    """For functions that want tensors on both sides where source may have a number on one."""

    def kernel(c: Context, a: Mapping[str, Any], x: Any, y: Any) -> Tensor:
        return function(_filled(c, x), _filled(c, y))

    return kernel


def _tensor(c: Context, x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=c.dtype, device=c.device)


def _reduction(function: Callable[..., Tensor]) -> Kernel:
    """For functions that reduce over all axes when dim is None."""

    def kernel(c: Context, a: Mapping[str, Any], x: Tensor) -> Tensor:
        if a["dim"] is None:
            out = function(x)
            return out.reshape([1] * x.dim()) if a["keepdim"] else out
        return function(x, dim=a["dim"], keepdim=a["keepdim"])

    return kernel


def _valued(function: Callable[..., Any]) -> Kernel:
    """For functions that give (values, indices) along one axis, and a tensor over all."""

    def kernel(c: Context, a: Mapping[str, Any], x: Tensor) -> Tensor:
        if a["dim"] is None:
            out: Tensor = function(x)
            return out.reshape([1] * x.dim()) if a["keepdim"] else out
        values: Tensor = function(x, dim=a["dim"], keepdim=a["keepdim"]).values
        return values

    return kernel


def _spread(function: Callable[..., Tensor]) -> Kernel:
    return lambda c, a, x: function(x, dim=a["dim"], correction=a["correction"], keepdim=a["keepdim"])


def _elementwise_loss(function: Callable[..., Tensor], *names: str) -> Kernel:
    def kernel(c: Context, a: Mapping[str, Any], x: Any, y: Any) -> Tensor:
        x, y = _tensor(c, x), _tensor(c, y)
        shape = np.broadcast_shapes(x.shape, y.shape)  # torch.broadcast_shapes loads sympy, which takes a second
        return function(x.expand(shape), y.expand(shape), reduction="none", **{n: a[n] for n in names})

    return kernel


def _cast(c: Context, a: Mapping[str, Any], x: Any) -> Tensor:
    kinds = {"float": c.dtype, "int": torch.int64, "bool": torch.bool}
    return _tensor(c, x).to(kinds[a["to"]])


def _norm(c: Context, a: Mapping[str, Any], x: Tensor) -> Tensor:
    out: Tensor = torch.linalg.vector_norm(x, ord=a["p"], dim=a["dim"], keepdim=a["keepdim"])
    return out


def _power(c: Context, a: Mapping[str, Any], x: Any, y: Any) -> Any:
    return torch.pow(x, y)


def _clamp(c: Context, a: Mapping[str, Any], x: Any, y: Any, *, low: bool) -> Tensor:
    x = _filled(c, x)
    return torch.clamp(x, min=y) if low else torch.clamp(x, max=y)


_TENSOR: dict[str, Kernel] = {
    **{
        n: _unary(getattr(torch, n))
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
            "neg",
            "abs",
            "floor",
            "ceil",
            "trunc",
            "sign",
            "round",
            "square",
            "relu",
            "frac",
            "rsqrt",
            "reciprocal",
            "sigmoid",
            "isfinite",
            "isnan",
            "isinf",
            "logical_not",
            "detach",
            "selu",
        )
    },
    **{
        n: _unary(getattr(F, n))
        for n in ("logsigmoid", "relu6", "silu", "mish", "softsign", "tanhshrink", "hardsigmoid", "hardswish")
    },
    "softplus": lambda c, a, x: F.softplus(x, beta=a["beta"], threshold=a["threshold"]),
    "leaky_relu": lambda c, a, x: F.leaky_relu(x, a["negative_slope"]),
    "elu": lambda c, a, x: F.elu(x, a["alpha"]),
    "celu": lambda c, a, x: F.celu(x, a["alpha"]),
    "gelu": lambda c, a, x: F.gelu(x, approximate=a["approximate"]),
    "softshrink": lambda c, a, x: F.softshrink(x, a["lambd"]),
    "hardshrink": lambda c, a, x: F.hardshrink(x, a["lambd"]),
    "hardtanh": lambda c, a, x: F.hardtanh(x, a["min_val"], a["max_val"]),
    "threshold": lambda c, a, x: F.threshold(x, a["threshold"], a["value"]),
    "logit": lambda c, a, x: torch.logit(x, eps=a["eps"]),
    "nan_to_num": lambda c, a, x: torch.nan_to_num(x, nan=a["nan"], posinf=a["posinf"], neginf=a["neginf"]),
    "cast": _cast,
    "tensor": lambda c, a, x: _tensor(c, x).to(c.dtype),
    **{n: (lambda f: lambda c, a, x, y: f(x, y))(getattr(operator, n)) for n in ("add", "sub", "mul")},
    "div": lambda c, a, x, y: x / y,
    "pow": _power,
    "floordiv": lambda c, a, x, y: torch.div(_filled(c, x), y, rounding_mode="floor"),
    "remainder": lambda c, a, x, y: x % y,
    **{
        n: _two_sided(getattr(torch, n))
        for n in (
            "maximum",
            "minimum",
            "logaddexp",
            "logaddexp2",
            "hypot",
            "atan2",
            "logical_and",
            "logical_or",
            "logical_xor",
        )
    },
    "xlogy": lambda c, a, x, y: torch.xlogy(x, y),
    **{n: (lambda f: lambda c, a, x, y: f(x, y))(getattr(operator, n)) for n in ("lt", "le", "gt", "ge", "eq", "ne")},
    "clamp_min": lambda c, a, x, y: _clamp(c, a, x, y, low=True),
    "clamp_max": lambda c, a, x, y: _clamp(c, a, x, y, low=False),
    "where": lambda c, a, *args: None,
    "lerp": lambda c, a, x, y, w: torch.lerp(_tensor(c, x), _tensor(c, y), w),
    "mse_loss": _elementwise_loss(F.mse_loss),
    "l1_loss": _elementwise_loss(F.l1_loss),
    "smooth_l1_loss": _elementwise_loss(F.smooth_l1_loss, "beta"),
    "huber_loss": _elementwise_loss(F.huber_loss, "delta"),
    "binary_cross_entropy": _elementwise_loss(F.binary_cross_entropy),
    "binary_cross_entropy_with_logits": _elementwise_loss(F.binary_cross_entropy_with_logits),
    "soft_margin_loss": _elementwise_loss(lambda x, y, reduction: torch.log1p(torch.exp(-y * x))),
    "kl_div": _elementwise_loss(kl_div, "log_target"),
    "cross_entropy": lambda c, a, x, t: F.cross_entropy(x, t, reduction="none", label_smoothing=a["label_smoothing"]),
    "nll_loss": lambda c, a, x, t: F.nll_loss(x, t, reduction="none"),
    "sum": _reduction(torch.sum),
    "mean": _reduction(torch.mean),
    "prod": _reduction(torch.prod),
    "var": _spread(torch.var),
    "std": _spread(torch.std),
    "amax": lambda c, a, x: torch.amax(
        x, dim=a["dim"] if a["dim"] is not None else tuple(range(x.dim())), keepdim=a["keepdim"]
    ),
    "amin": lambda c, a, x: torch.amin(
        x, dim=a["dim"] if a["dim"] is not None else tuple(range(x.dim())), keepdim=a["keepdim"]
    ),
    "max": _valued(torch.max),
    "min": _valued(torch.min),
    "median": _valued(torch.median),
    "logsumexp": lambda c, a, x: torch.logsumexp(x, dim=a["dim"], keepdim=a["keepdim"]),
    "norm": _norm,
    "quantile": lambda c, a, x: quantile(x, **a),
    "any": _reduction(torch.any),
    "all": _reduction(torch.all),
    "argmax": lambda c, a, x: torch.argmax(x, dim=a["dim"], keepdim=a["keepdim"]),
    "argmin": lambda c, a, x: torch.argmin(x, dim=a["dim"], keepdim=a["keepdim"]),
    "softmax": lambda c, a, x: torch.softmax(x, dim=a["dim"]),
    "log_softmax": lambda c, a, x: torch.log_softmax(x, dim=a["dim"]),
    "cumsum": lambda c, a, x: torch.cumsum(x, dim=a["dim"]),
    "logcumsumexp": lambda c, a, x: torch.logcumsumexp(x, dim=a["dim"]),
    "normalize": lambda c, a, x: F.normalize(x, p=a["p"], dim=a["dim"], eps=a["eps"]),
    "sort": lambda c, a, x: torch.sort(x, dim=a["dim"], descending=a["descending"]).values,
    "argsort": lambda c, a, x: torch.argsort(x, dim=a["dim"], descending=a["descending"], stable=True),
    "flip": lambda c, a, x: torch.flip(x, (a["dim"],)) if x.dim() else x,
    "roll": lambda c, a, x: torch.roll(x, a["shift"], a["dim"]),
    "unsqueeze": lambda c, a, x: x.unsqueeze(a["dim"]),
    "squeeze": lambda c, a, x: x,
    "reshape": lambda c, a, x: x.reshape(c.shape(a["shape"])),
    "expand": lambda c, a, x: x.expand(c.shape(a["shape"])),
    "transpose": lambda c, a, x: x.transpose(a["dim0"], a["dim1"]) if x.dim() else x,
    "slice": lambda c, a, x: x[(slice(None),) * (a["dim"] % x.dim()) + (slice(a["start"], a["stop"]),)],
    "select": lambda c, a, x: x.select(a["dim"], a["index"]),
    "gather": lambda c, a, x, i: torch.gather(x, a["dim"], i),
    "one_hot": lambda c, a, x: F.one_hot(x, c.sizes[a["symbol"]]),
    "cat": lambda c, a, *xs: torch.cat(xs, dim=a["dim"]),
    "stack": lambda c, a, *xs: torch.stack(xs, dim=a["dim"]),
    "triu": lambda c, a, x: torch.triu(x, a["diagonal"]),
    "tril": lambda c, a, x: torch.tril(x, a["diagonal"]),
    "diagonal": lambda c, a, x: torch.diagonal(x),
    "outer": lambda c, a, x, y: torch.outer(x, y),
    "dot": lambda c, a, x, y: torch.dot(x, y),
    "matmul": lambda c, a, x, y: torch.matmul(x, y),
    "full": lambda c, a, x: _filled(c, x).expand(c.shape(a["shape"])),
    "full_like": lambda c, a, x, v: _filled(c, v).to(x.dtype).expand(x.shape),
    "arange": lambda c, a: torch.arange(c.sizes[a["symbol"]], device=c.device),
    "eye": lambda c, a: torch.eye(c.sizes[a["symbol"]], dtype=c.dtype, device=c.device),
}


def _filled(c: Context, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    dtype = torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else c.dtype
    return torch.tensor(value, dtype=dtype, device=c.device)


_missing = OPERATIONS.keys() - _TENSOR.keys() - _SOURCES.keys()
assert not _missing, f"operations without a kernel: {sorted(_missing)}"
