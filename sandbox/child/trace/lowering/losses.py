"""Lowerings of the losses of torch.nn.functional."""

from __future__ import annotations

from typing import Any

from sandbox.child.trace.lowering.registry import floating, lowering, misfit
from sandbox.child.trace.symbols import Recorder, SymNumber


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


for _name in ("mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
    _loss(_name)
_loss("soft_margin_loss")
_loss("cross_entropy", "label_smoothing")
_loss("nll_loss")


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


@lowering("margin_ranking_loss")
def _margin_ranking(r: Recorder, a: dict[str, Any]) -> Any:
    apart = r.add("mul", (r.add("neg", (a["target"],)), r.add("sub", (a["input1"], a["input2"]))))
    return reduced(r, r.add("clamp_min", (r.add("add", (apart, a["margin"])), 0)), a["reduction"])
