"""Lowerings of the losses of torch.nn.functional that are formulas of other operations: margins and likelihoods."""

from __future__ import annotations

import math
from typing import Any

from sandbox.child.trace.lowering.combined import distance
from sandbox.child.trace.lowering.losses import reduced
from sandbox.child.trace.lowering.registry import LOWERINGS, floating, lowering, misfit
from sandbox.child.trace.symbols import Recorder


@lowering("margin_ranking_loss")
def _margin_ranking(r: Recorder, a: dict[str, Any]) -> Any:
    apart = r.add("mul", (r.add("neg", (a["target"],)), r.add("sub", (a["input1"], a["input2"]))))
    return reduced(r, r.add("clamp_min", (r.add("add", (apart, a["margin"])), 0)), a["reduction"])


@lowering("hinge_embedding_loss")
def _hinge_embedding(r: Recorder, a: dict[str, Any]) -> Any:
    x, y = floating(a["input"]), a["target"]
    beyond = r.add("clamp_min", (r.add("sub", (a["margin"], x)), 0))
    unlike = r.add("where", (r.add("ne", (y, 1)), beyond, 0.0))
    like = r.add("where", (r.add("ne", (y, -1)), x, 0.0))
    return reduced(r, r.add("add", (unlike, like)), a["reduction"])


@lowering("gaussian_nll_loss")
def _gaussian_nll(r: Recorder, a: dict[str, Any]) -> Any:
    x, y, var = floating(a["input"]), floating(a["target"]), floating(a["var"])
    if not x.dims == y.dims == var.dims or a["eps"] <= 0:
        raise misfit()
    # torch raises the variance to eps without changing its gradient
    below = r.add("sub", (r.add("clamp_min", (var, a["eps"])), var))
    var = r.add("add", (var, r.add("detach", (below,))))
    apart = r.add("sub", (x, y))
    losses = r.add("add", (r.add("log", (var,)), r.add("div", (r.add("mul", (apart, apart)), var))))
    losses = r.add("mul", (losses, 0.5))
    if a["full"]:
        losses = r.add("add", (losses, 0.5 * math.log(2 * math.pi)))
    return reduced(r, losses, a["reduction"])


@lowering("poisson_nll_loss")
def _poisson_nll(r: Recorder, a: dict[str, Any]) -> Any:
    x, y = floating(a["input"]), a["target"]
    if a["log_input"]:
        losses = r.add("sub", (r.add("exp", (x,)), r.add("mul", (y, x))))
    else:
        losses = r.add("sub", (x, r.add("mul", (y, r.add("log", (r.add("add", (x, a["eps"])),))))))
    return reduced(r, losses, a["reduction"])


@lowering("multi_margin_loss")
def _multi_margin(r: Recorder, a: dict[str, Any]) -> Any:
    """The mean over all classes of relu(margin - x_y + x_c)^p, where the class y of the label counts as 0."""
    x, y = floating(a["input"]), a["target"]
    if len(x.dims) != 2 or y.dims != x.dims[:1] or y.type.dtype != "int" or a["p"] not in (1, 2):
        raise misfit()
    classes = r.size(x.dims[1])
    own = r.add("gather", (x, r.add("unsqueeze", (y,), {"dim": 1})), {"dim": 1})
    beyond = r.add("relu", (r.add("add", (r.add("sub", (x, own)), a["margin"])),))
    if a["p"] == 2:
        beyond = r.add("mul", (beyond, beyond))
    is_own = r.add("eq", (LOWERINGS["one_hot"](r, {"input": y, "num_classes": classes}), 1))
    others = r.add("where", (is_own, 0.0, beyond))
    losses = r.add("div", (r.add("sum", (others,), {"dim": 1, "keepdim": False}), classes))
    return reduced(r, losses, a["reduction"])


@lowering("multilabel_soft_margin_loss")
def _multilabel_soft_margin(r: Recorder, a: dict[str, Any]) -> Any:
    x, y = floating(a["input"]), a["target"]
    if not x.dims or x.dims != y.dims:
        raise misfit()
    yes = r.add("mul", (r.add("logsigmoid", (x,)), y))
    no = r.add("mul", (r.add("logsigmoid", (r.add("neg", (x,)),)), r.add("sub", (1, y))))
    parts = r.add("neg", (r.add("add", (yes, no)),))
    return reduced(r, r.add("mean", (parts,), {"dim": -1, "keepdim": False}), a["reduction"])


@lowering("triplet_margin_loss")
def _triplet_margin(r: Recorder, a: dict[str, Any]) -> Any:
    near, far = (distance(r, a["anchor"], a[name], a["p"], a["eps"]) for name in ("positive", "negative"))
    losses = r.add("clamp_min", (r.add("add", (r.add("sub", (near, far)), a["margin"])), 0))
    return reduced(r, losses, a["reduction"])
