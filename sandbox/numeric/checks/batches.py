"""Check of shape, type and finite values, calling the loss as training does (torch).

Batches have 1, 2, 3, 7 and 64 items; beta is a Python float; everything is float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch

from sandbox.contracts.contract import contract_named
from sandbox.execute.evaluate import FAILURES, Array, Evaluation, Points
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.finite import require_finite
from sandbox.verdicts.verdict import Finding

BATCHES = (2, 3, 7, 64)
"""Batch sizes at which shape and type must be right: the smallest, two odd ones, a large one."""


def check_batches(graph: VerifiedGraph, points: Points, *, proven: bool) -> list[Finding]:
    """Check shape, type and finite values at every size of BATCHES, and note if a batch of one item is undefined.

    `points` are 64 items or more. `proven` says that each item's loss provably depends on this item only. Otherwise the gradients
    are checked too: other tests compute several batches together, and some operations use other formulas then. Raises NotFinite.
    """
    loss = compile_loss(graph)
    for size in BATCHES:
        arguments = _arguments(graph, points, size)
        try:
            with torch.set_grad_enabled(not proven):
                value = loss(*arguments)
        except FAILURES as error:
            reason = str(error).splitlines()[0][:200]
            return [
                numeric_finding("SBX301", f"the loss cannot be computed on {size} items: {reason}", {"batch": size})
            ]
        if not isinstance(value, torch.Tensor) or value.shape != (size,):
            shape = tuple(getattr(value, "shape", ()))
            message = f"the loss has shape {shape} for a batch of {size}, expected ({size},): one loss per item"
            return [numeric_finding("SBX302", message, {"batch": size})]
        if value.dtype != torch.float32:
            return [numeric_finding("SBX303", f"the loss is {value.dtype}, expected torch.float32", {"batch": size})]
        try:
            gradients = _gradients(value, arguments)
        except FAILURES as error:
            reason = str(error).splitlines()[0][:200]
            return [
                numeric_finding("SBX301", f"the gradient cannot be computed on {size} items: {reason}", {"batch": size})
            ]
        seen = Evaluation(value.detach().numpy(), gradients, value.requires_grad)
        require_finite(graph.contract, points.take(slice(-size, None)), seen, torch.float32)
    return _alone(loss, _arguments(graph, points, 1))


def _gradients(value: torch.Tensor, arguments: Sequence[torch.Tensor | float]) -> tuple[Array, ...]:
    """The gradients of the sum of `value`; an empty tuple where it requires no gradient."""
    if not value.requires_grad:
        return ()
    learning = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    found = torch.autograd.grad(value.sum(), learning, materialize_grads=True)
    return tuple(g.numpy() for g in found)


def _arguments(graph: VerifiedGraph, points: Points, size: int) -> list[torch.Tensor | float]:
    vectors, numbers = iter(points.tensors), iter(points.scalars)
    out: list[torch.Tensor | float] = []
    for argument in contract_named(graph.contract).arguments:
        if argument.shape is None:
            out.append(float(next(numbers)[0]))
        else:
            tensor = torch.from_numpy(next(vectors)[-size:])
            tensor = tensor.to(torch.float32) if argument.dtype == "float" else tensor
            out.append(tensor.clone().requires_grad_() if argument.learns else tensor)
    return out


def _alone(loss: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor | float]) -> list[Finding]:
    """A note if a batch of one item is undefined. The trainer then never forms such a batch."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of the unbiased variance of a single item
            value = loss(*arguments)
        if value.shape != (1,):
            return [_undefined(f"the loss has shape {tuple(value.shape)}")]
        gradients = _gradients(value, arguments)
    except FAILURES as error:
        return [_undefined(f"it cannot be computed: {str(error).splitlines()[0][:200]}")]
    if not bool(value.isfinite().all()):
        return [_undefined(f"the loss is {shown(value.item())}")]
    bad = [float(v) for g in gradients for v in g.ravel() if not np.isfinite(v)]
    return [_undefined(f"the gradient is {shown(bad[0])}")] if bad else []


def _undefined(what: str) -> Finding:
    return numeric_finding("SBX322", f"for a batch of one, {what}", {"batch": 1})
