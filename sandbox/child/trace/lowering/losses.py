"""Lowerings of the losses of torch.nn.functional."""

from __future__ import annotations

from typing import Any

from sandbox.child.trace.lowering.registry import floating, lowering, misfit
from sandbox.child.trace.symbols import Recorder, SymNumber, SymTensor


def reduced(r: Recorder, losses: Any, reduction: str) -> Any:
    """The losses after torch's `reduction`: none, mean or sum. Raises Refusal for any other."""
    match reduction:
        case "none":
            return losses
        case "mean" | "sum":
            return r.add(reduction, (losses,))
    raise misfit()


def _loss(op: str, *attrs: str) -> None:
    def made(r: Recorder, a: dict[str, Any]) -> Any:
        floating(a["input"])
        losses = r.add(op, (a["input"], a["target"]), {n: a[n] for n in attrs})
        return reduced(r, losses, a["reduction"])

    lowering(op)(made)


for _name in ("mse_loss", "l1_loss", "soft_margin_loss"):
    _loss(_name)


def _times(r: Recorder, losses: SymTensor, weight: SymTensor | None) -> Any:
    """The losses times a weight, which may not be larger than they are. Raises Refusal."""
    if weight is None:
        return losses
    product = r.add("mul", (losses, weight))
    if product.dims != losses.dims or product.type.dtype != "float":
        raise misfit()
    return product


@lowering("binary_cross_entropy")
def _binary_cross_entropy(r: Recorder, a: dict[str, Any]) -> Any:
    losses = r.add("binary_cross_entropy", (floating(a["input"]), a["target"]))
    return reduced(r, _times(r, losses, a["weight"]), a["reduction"])


@lowering("binary_cross_entropy_with_logits")
def _with_logits(r: Recorder, a: dict[str, Any]) -> Any:
    x, target, positive = floating(a["input"]), a["target"], a["pos_weight"]
    losses = r.add("binary_cross_entropy_with_logits", (x, target))
    if positive is not None:  # those of a positive target, y softplus(-x), count `pos_weight` times
        more = r.add("mul", (r.add("logsigmoid", (x,)), target))
        losses = r.add("sub", (losses, _times(r, more, r.add("sub", (positive, 1)))))
    return reduced(r, _times(r, losses, a["weight"]), a["reduction"])


@lowering("cross_entropy")
def _cross_entropy(r: Recorder, a: dict[str, Any]) -> Any:
    x, target, smoothing = floating(a["input"]), a["target"], a["label_smoothing"]
    if target.type.dtype != "float":
        if a["weight"] is not None and smoothing:
            raise misfit()
        return _of_labels(r, r.add("cross_entropy", (x, target), {"label_smoothing": smoothing}), a)
    if len(x.dims) != 2 or target.dims != x.dims or not 0.0 <= smoothing <= 1.0:
        raise misfit()
    if smoothing:
        classes = r.size(x.dims[1])
        share = r.add("div", (smoothing, classes)) if isinstance(classes, SymNumber) else smoothing / classes
        target = r.add("add", (r.add("mul", (target, 1 - smoothing)), share))
    parts = _times(r, r.add("mul", (r.add("log_softmax", (x,), {"dim": 1}), target)), a["weight"])
    return reduced(r, r.add("neg", (r.add("sum", (parts,), {"dim": 1, "keepdim": False}),)), a["reduction"])


@lowering("nll_loss")
def _nll_loss(r: Recorder, a: dict[str, Any]) -> Any:
    return _of_labels(r, r.add("nll_loss", (floating(a["input"]), a["target"])), a)


def _of_labels(r: Recorder, losses: SymTensor, a: dict[str, Any]) -> Any:
    """The losses of labels, each times the weight of its label; their mean is divided by the sum of these weights."""
    weight = a["weight"]
    if weight is None:
        return reduced(r, losses, a["reduction"])
    if weight.type.dtype != "float" or weight.dims != a["input"].dims[1:]:
        raise misfit()
    rows = r.add("mul", (r.add("full_like", (a["input"], -1.0)), weight))
    each = r.add("nll_loss", (rows, a["target"]))
    losses = r.add("mul", (losses, each))
    if a["reduction"] == "mean":
        return r.add("div", (r.add("sum", (losses,)), r.add("sum", (each,))))
    return reduced(r, losses, a["reduction"])


@lowering("kl_div")
def _kl_div(r: Recorder, a: dict[str, Any]) -> Any:
    losses = r.add("kl_div", (a["input"], a["target"]), {"log_target": a["log_target"]})
    if a["reduction"] == "batchmean":
        dims = a["input"].dims
        if not dims:
            raise misfit()
        return r.add("div", (r.add("sum", (losses,)), r.size(dims[0])))
    return reduced(r, losses, a["reduction"])


@lowering("smooth_l1_loss")
def _smooth_l1(r: Recorder, a: dict[str, Any]) -> Any:
    x, y, beta = floating(a["input"]), a["target"], a["beta"]
    if isinstance(beta, SymNumber):
        size = r.add("abs", (r.add("sub", (x, y)),))
        inner = r.add("div", (r.add("mul", (r.add("mul", (size, size)), 0.5)), beta))
        outer = r.add("sub", (size, r.add("mul", (beta, 0.5))))
        return reduced(r, r.add("where", (r.add("lt", (size, beta)), inner, outer)), a["reduction"])
    return reduced(r, r.add("smooth_l1_loss", (x, y), {"beta": beta}), a["reduction"])


@lowering("huber_loss")
def _huber(r: Recorder, a: dict[str, Any]) -> Any:
    x, y, delta = floating(a["input"]), a["target"], a["delta"]
    if isinstance(delta, SymNumber):
        size = r.add("abs", (r.add("sub", (x, y)),))
        inner = r.add("mul", (r.add("mul", (size, size)), 0.5))
        outer = r.add("mul", (r.add("sub", (size, r.add("mul", (delta, 0.5)))), delta))
        return reduced(r, r.add("where", (r.add("le", (size, delta)), inner, outer)), a["reduction"])
    return reduced(r, r.add("huber_loss", (x, y), {"delta": delta}), a["reduction"])
