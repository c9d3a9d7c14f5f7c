"""The loss as training calls it: at batches of 1, 2, 3, 7 and 64 items, with a Python float for beta, in float32 (torch)."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from sandbox.contract import contract_named
from sandbox.evaluate import FAILURES, Points
from sandbox.execute import compile_loss
from sandbox.findings import numeric_finding, shown
from sandbox.graph import LossGraph
from sandbox.verdict import Finding

BATCHES = (2, 3, 7, 64)
"""The sizes at which shape and type must be right: the smallest, odd ones, a large one."""


def check_batches(graph: LossGraph, points: Points) -> list[Finding]:
    """Shape and type at every size of BATCHES, and what becomes of a single item. `points`: one batch of 64 items or more."""
    loss = compile_loss(graph)
    for size in BATCHES:
        arguments = _arguments(graph, points, size)
        try:
            with torch.no_grad():
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
    return _alone(graph, points)


def check_finite(graph: LossGraph, points: Points) -> list[Finding]:
    """Whether the loss is finite at every size of BATCHES, computed as training does: nothing else may hide an infinity."""
    loss = compile_loss(graph)
    for size in BATCHES:
        with torch.no_grad():
            value = loss(*_arguments(graph, points, size))
        if not bool(value.isfinite().all()):
            return [numeric_finding("SBX304", f"the loss is not finite for a batch of {size}", {"batch": size})]
    return []


def _arguments(graph: LossGraph, points: Points, size: int) -> list[torch.Tensor | float]:
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


def _alone(graph: LossGraph, points: Points) -> list[Finding]:
    """A batch of one may be undefined: that is noted, and such batches are never formed."""
    arguments = _arguments(graph, points, 1)
    learning = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of the unbiased variance of a single item
            value = compile_loss(graph)(*arguments)
        if value.shape != (1,):
            return [_undefined(f"the loss has shape {tuple(value.shape)}")]
        gradients = torch.autograd.grad(value.sum(), learning, allow_unused=True) if value.requires_grad else ()
    except FAILURES as error:
        return [_undefined(f"it cannot be computed: {str(error).splitlines()[0][:200]}")]
    if not bool(value.isfinite().all()):
        return [_undefined(f"the loss is {shown(value.item())}")]
    for gradient in gradients:
        if gradient is not None and not np.isfinite(gradient.numpy()).all():
            return [_undefined("the gradient is not finite")]
    return []


def _undefined(what: str) -> Finding:
    return numeric_finding("SBX322", f"for a batch of one, {what}", {"batch": 1})
