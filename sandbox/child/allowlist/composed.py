"""Exposed calls that are not single operations: a function of `trace.lowering` records each as several operations, as constants,
or as nothing. No torch."""

from __future__ import annotations

from typing import Final

from sandbox.graph.operations.parts.calls import DEVICE, DTYPE, KEEPDIM, KEYWORDS, OUT, REDUCTION, P, Spelling, X, call

_ON_CONSTANTS: Final = {
    ("x",): (
        "acos",
        "asin",
        "acosh",
        "atanh",
        "gamma",
        "lgamma",
        "degrees",
        "radians",
        "isfinite",
        "isinf",
        "isnan",
        "cbrt",
    ),
    ("x", "y"): ("atan2", "copysign", "fmod"),
}
"""Parameters -> functions of `math` that accept constants only."""

COMPOSED: Final[tuple[Spelling, ...]] = (
    call("torch.positive Tensor.positive Tensor.contiguous", X, by="same", layers="Identity"),
    call("torch.clone Tensor.clone", X, P("memory_format", "ignored", None), by="copy"),
    call("F.softmin", X, P("dim", "axis", None), DTYPE, by="softmin", layers="Softmin"),
    call(
        "torch.clamp Tensor.clamp torch.clip Tensor.clip",
        X,
        P("min", "value", None),
        P("max", "value", None),
        KEYWORDS,
        OUT,
        by="clamp",
    ),
    call("torch.heaviside Tensor.heaviside", X, P("values", "tensor"), by="heaviside"),
    call(
        "F.margin_ranking_loss",
        P("input1", "tensor"),
        P("input2", "tensor"),
        P("target", "tensor"),
        P("margin", "scalar", 0.0),
        *REDUCTION,
        by="margin_ranking_loss",
        layers="MarginRankingLoss",
    ),
    call("torch.chunk Tensor.chunk", X, P("chunks", "int"), P("dim", "axis", 0), by="chunk"),
    call("torch.split", P("tensor", "tensor"), P("split_size_or_sections", "any"), P("dim", "axis", 0), by="split"),
    call("Tensor.split", X, P("split_size", "any"), P("dim", "axis", 0), by="split_method"),
    call("torch.unbind Tensor.unbind", X, P("dim", "axis", 0), by="unbind"),
    call("torch.narrow Tensor.narrow", X, P("dim", "axis"), P("start", "int"), P("length", "any"), by="narrow"),
    *(
        call(
            f"torch.{name}_mean",
            X,
            P("dim", "any", None),
            P("unbiased", "flag", None),
            KEEPDIM,
            KEYWORDS,
            P("correction", "int", None),
            by=f"{name}_mean",
        )
        for name in ("var", "std")
    ),
    call(
        "torch.topk Tensor.topk",
        X,
        P("k", "int"),
        P("dim", "axis", -1),
        P("largest", "flag", True),
        P("sorted", "ignored", True),
        by="topk",
    ),
    call("torch.kthvalue Tensor.kthvalue", X, P("k", "int"), P("dim", "axis", -1), KEEPDIM, by="kthvalue"),
    call("Tensor.double Tensor.half Tensor.bfloat16", X, by="to_other_float"),
    call("Tensor.int", X, by="to_small_int"),
    call("Tensor.short Tensor.byte Tensor.char", X, by="unsupported_type"),
    call("Tensor.numel Tensor.nelement torch.numel", X, by="count"),
    call("Tensor.dim Tensor.ndimension", X, by="rank"),
    call("torch.is_tensor", P("obj", "any"), by="is_tensor"),
    call("torch.is_floating_point Tensor.is_floating_point", X, by="is_floating_point"),
    call("torch.finfo", P("type", "dtype", None), by="finfo"),
    call("Tensor.new_tensor", X, P("data", "any"), KEYWORDS, P("dtype", "dtype", None), *DEVICE, by="new_tensor"),
    call("torch.tensor", P("data", "any"), KEYWORDS, P("dtype", "dtype", None), *DEVICE, by="tensor"),
    call("torch.as_tensor", P("data", "any"), P("dtype", "dtype", None), P("device", "ignored", None), by="as_tensor"),
    call("math.factorial", P("x", "int"), by="math_factorial"),
    *(
        call(f"math.{name}", *(P(p, "number") for p in parameters), by=f"math_{name}")
        for parameters, names in _ON_CONSTANTS.items()
        for name in names
    ),
)
