"""Kernels: the functions with which the interpreter computes operations.

Torch is not imported here: the kernel in a record is a function that takes the module torch and returns the kernel. The interpreter
calls it once, when it is first loaded. A kernel takes the context, the attributes and the operands. It must work under torch.vmap,
which computes all batches at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.graph.types import ONE, Type

if TYPE_CHECKING:
    import torch

Attrs = Mapping[str, Any]
Kernel = Callable[..., Any]
Torch = Any
"""The module torch."""
KernelMaker = Callable[[Torch], "Kernel | ByTypes"]


class Context(NamedTuple):
    """Dtype, device and sizes of an evaluation."""

    dtype: torch.dtype
    device: torch.device
    sizes: Mapping[str, int]

    def shape(self, shape: Sequence[int | str]) -> tuple[int, ...]:
        """A shape with its symbols replaced by sizes."""
        return tuple(self.sizes[s] if isinstance(s, str) else s for s in shape)


class ByTypes(NamedTuple):
    """A kernel that depends on the types of the result and the operands."""

    of: Callable[[Type, Sequence[Type]], Kernel]


def as_tensor(torch: Torch, c: Context, x: Any) -> Any:
    """x as a tensor; a number becomes one of the dtype that the loss is computed in."""
    return x if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=c.dtype, device=c.device)


def filled(torch: Torch, c: Context, value: Any) -> Any:
    """value as a tensor; a number becomes one of its own type: bool, int64, or the dtype that the loss is computed in."""
    if isinstance(value, torch.Tensor):
        return value
    dtype = torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else c.dtype
    return torch.tensor(value, dtype=dtype, device=c.device)


def unary(name: str) -> KernelMaker:
    """torch.NAME of one tensor. NAME may also be of the form `F.relu` (torch.nn.functional) or `special.erf`."""

    def made(torch: Torch) -> Kernel:
        function = _named(torch, name)
        return lambda c, a, x: function(x)

    return made


def binary(function: Callable[[Any, Any], Any]) -> KernelMaker:
    """A function of two operands, such as `operator.add`."""
    return lambda torch: lambda c, a, x, y: function(x, y)


def two_tensors(name: str) -> KernelMaker:
    """torch.NAME, which requires two tensors; a number is converted to one."""

    def made(torch: Torch) -> Kernel:
        function = _named(torch, name)
        return lambda c, a, x, y: function(filled(torch, c, x), filled(torch, c, y))

    return made


def reduction(name: str) -> KernelMaker:
    """torch.NAME, which reduces over all axes by default."""

    def made(torch: Torch) -> Kernel:
        function = _named(torch, name)

        def kernel(c: Context, a: Attrs, x: Any) -> Any:
            if a["dim"] is None:
                out = function(x)
                return out.reshape([1] * x.dim()) if a["keepdim"] else out
            return function(x, dim=a["dim"], keepdim=a["keepdim"])

        return kernel

    return made


def valued(name: str) -> KernelMaker:
    """The values of torch.NAME, which returns (values, indices) along one axis, and a tensor over all axes."""

    def made(torch: Torch) -> Kernel:
        function = _named(torch, name)

        def kernel(c: Context, a: Attrs, x: Any) -> Any:
            if a["dim"] is None:
                out = function(x)
                return out.reshape([1] * x.dim()) if a["keepdim"] else out
            return function(x, dim=a["dim"], keepdim=a["keepdim"]).values

        return kernel

    return made


def extreme(name: str) -> KernelMaker:
    """torch.NAME, which requires its axes to be named."""

    def made(torch: Torch) -> Kernel:
        function = _named(torch, name)
        return lambda c, a, x: function(
            x, dim=a["dim"] if a["dim"] is not None else tuple(range(x.dim())), keepdim=a["keepdim"]
        )

    return made


def elementwise_loss(function: Callable[[Torch], Callable[..., Any]], *attrs: str) -> KernelMaker:
    """A loss of torch.nn.functional without reduction. Expands the operands to one shape, since torch only warns if they differ."""

    def made(torch: Torch) -> Kernel:
        from numpy import broadcast_shapes  # torch.broadcast_shapes imports sympy, which is slow

        loss = function(torch)

        def kernel(c: Context, a: Attrs, x: Any, y: Any) -> Any:
            x, y = as_tensor(torch, c, x), as_tensor(torch, c, y)
            shape = broadcast_shapes(x.shape, y.shape)
            return loss(x.expand(shape), y.expand(shape), reduction="none", **{n: a[n] for n in attrs})

        return kernel

    return made


def loss_of_f(name: str) -> Callable[[Torch], Callable[..., Any]]:
    """torch.nn.functional.NAME."""
    return lambda torch: getattr(torch.nn.functional, name)


def kl_div(torch: Torch) -> Callable[..., Any]:
    """F.kl_div in operations that torch.vmap supports."""

    def loss(x: Any, y: Any, *, reduction: str, log_target: bool) -> Any:
        return torch.exp(y) * (y - x) if log_target else torch.xlogy(y, y) - y * x

    return loss


def soft_margin_loss(torch: Torch) -> Callable[..., Any]:
    """F.soft_margin_loss in operations that torch.vmap supports."""
    return lambda x, y, reduction: torch.log1p(torch.exp(-y * x))


def quantile(torch: Torch) -> Kernel:
    """torch.quantile in operations that torch.vmap supports: the same sort, rank and interpolation, so bit-identical results."""

    def kernel(c: Context, a: Attrs, x: Any) -> Any:
        q, dim, keepdim = a["q"], a["dim"], a["keepdim"]
        along = 0 if dim is None else dim
        rows = x.reshape(-1) if dim is None else x
        if not rows.dim():
            return rows
        ordered, last = torch.sort(rows, dim=along).values, rows.shape[along] - 1
        rank = float(torch.tensor(q, dtype=x.dtype) * last)
        below, above = ordered.select(along, math.floor(rank)), ordered.select(along, math.ceil(rank))
        match a["interpolation"]:
            case "lower":
                value = below
            case "higher":
                value = above
            case "nearest":
                value = ordered.select(along, round(rank))
            case "midpoint":
                value = torch.lerp(below, above, 0.5)
            case _:
                value = torch.lerp(below, above, rank - math.floor(rank))
        highest = ordered.select(along, last)  # NaN is sorted last, and makes the quantile NaN
        value = torch.where(torch.isnan(highest), highest, value)
        if not keepdim:
            return value
        return value.reshape([1] * x.dim()) if dim is None else value.unsqueeze(dim)

    return kernel


def where(torch: Torch) -> ByTypes:
    """torch.where with both sides converted to the result's dtype."""

    def of(result: Type, operands: Sequence[Type]) -> Kernel:
        def kernel(c: Context, attrs: Attrs, condition: Any, a: Any, b: Any) -> Any:
            dtype = {"float": c.dtype, "int": torch.int64, "bool": torch.bool}[result.dtype]
            a, b = (
                v.to(dtype) if isinstance(v, torch.Tensor) else torch.tensor(v, dtype=dtype, device=c.device)
                for v in (a, b)
            )
            return torch.where(as_tensor(torch, c, condition).to(torch.bool), a, b)

        return kernel

    return ByTypes(of)


def squeeze(torch: Torch) -> ByTypes:
    """torch.squeeze of the axes whose symbolic size is one: a batch of one item keeps its axis."""

    def of(result: Type, operands: Sequence[Type]) -> Kernel:
        rank = len(operands[0].dims)
        single = [i for i, d in enumerate(operands[0].dims) if d == ONE]

        def kernel(c: Context, attrs: Attrs, x: Any) -> Any:
            wanted = attrs["dim"]
            axes = [i for i in single if wanted is None or i == wanted % rank]
            return x.squeeze(tuple(axes)) if axes else x

        return kernel

    return ByTypes(of)


def cast(torch: Torch) -> Kernel:
    """The operand converted to the dtype of the attribute `to`."""

    def kernel(c: Context, a: Attrs, x: Any) -> Any:
        kinds = {"float": c.dtype, "int": torch.int64, "bool": torch.bool}
        return as_tensor(torch, c, x).to(kinds[a["to"]])

    return kernel


def _named(torch: Torch, name: str) -> Callable[..., Any]:
    found = torch
    for part in name.replace("F.", "nn.functional.", 1).split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function
