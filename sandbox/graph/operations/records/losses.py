"""The losses of torch.nn.functional, without reduction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sandbox.graph.operations.parts import edges, kernels, latex, python
from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.operations.parts.bounds import unbounded
from sandbox.graph.operations.parts.calls import REDUCTION, WEIGHT, WEIGHTS, P, X, call
from sandbox.graph.operations.parts.edges import Kind
from sandbox.graph.operations.parts.shapes import ShapeError
from sandbox.graph.operations.record import (
    FLOWS,
    NOT_PROPOSED,
    Cost,
    Genetic,
    Gradient,
    Operation,
    TypeCheck,
)
from sandbox.graph.types import Type


def _float_scores(name: str) -> TypeCheck:
    def check(operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
        if operands[0].dtype != "float":
            raise ShapeError(f"{name} needs a float tensor, got {operands[0]}")

    return check


_loss = partial(
    Operation,
    arity=(2, 2),
    attrs={},
    rule="elementwise",
    result="float",
    gradient=FLOWS,
    python=python.elementwise_loss,
    latex=latex.NAMED,
)

RECORDS: Final = (
    _loss(
        name="mse_loss",
        calls=(call("F.mse_loss", X, P("target", "tensor"), *REDUCTION, WEIGHT, by="mse_loss", layers="MSELoss"),),
        kernel=kernels.elementwise_loss(kernels.loss_of_f("mse_loss")),
        bound=unbounded,
        edges=edges.smooth(edges.squared),
        cost=Cost(24, 24),
        genetic=Genetic(replaced_by=("huber_loss", "smooth_l1_loss")),
        commutative=True,
    ),
    _loss(
        name="l1_loss",
        calls=(call("F.l1_loss", X, P("target", "tensor"), *REDUCTION, by="l1_loss", layers="L1Loss"),),
        kernel=kernels.elementwise_loss(kernels.loss_of_f("l1_loss")),
        bound=unbounded,
        edges=edges.difference(Kind.KINK),
        cost=Cost(24, 24),
        genetic=NOT_PROPOSED,
        commutative=True,
    ),
    _loss(
        name="smooth_l1_loss",
        calls=(
            call(
                "F.smooth_l1_loss",
                X,
                P("target", "tensor"),
                *REDUCTION,
                P("beta", "scalar", 1.0),
                by="smooth_l1_loss",
                layers="SmoothL1Loss",
            ),
        ),
        attrs={"beta": Attr("number", 1.0, low=0.0)},
        kernel=kernels.elementwise_loss(kernels.loss_of_f("smooth_l1_loss"), "beta"),
        bound=unbounded,
        edges=edges.attribute_kinks("beta", both_signs=True),
        cost=Cost(24, 24),
        genetic=Genetic(replaced_by=("huber_loss", "mse_loss"), tunable={"beta": (0.05, 5.0)}),
        commutative=True,
    ),
    _loss(
        name="huber_loss",
        calls=(
            call(
                "F.huber_loss",
                X,
                P("target", "tensor"),
                P("reduction", "text", "mean"),
                P("delta", "scalar", 1.0),
                WEIGHT,
                by="huber_loss",
                layers="HuberLoss",
            ),
        ),
        attrs={"delta": Attr("number", 1.0, low=1e-06)},
        kernel=kernels.elementwise_loss(kernels.loss_of_f("huber_loss"), "delta"),
        bound=unbounded,
        edges=edges.attribute_kinks("delta", both_signs=True),
        cost=Cost(24, 24),
        genetic=Genetic(replaced_by=("smooth_l1_loss", "mse_loss"), tunable={"delta": (0.05, 5.0)}),
        commutative=True,
    ),
    _loss(
        name="binary_cross_entropy",
        calls=(
            call(
                "F.binary_cross_entropy",
                X,
                P("target", "tensor"),
                WEIGHTS,
                *REDUCTION,
                by="binary_cross_entropy",
                layers="BCELoss",
            ),
        ),
        kernel=kernels.elementwise_loss(kernels.loss_of_f("binary_cross_entropy")),
        bound=unbounded,
        edges=edges.entropy,
        cost=Cost(24, 42),
        genetic=NOT_PROPOSED,
    ),
    _loss(
        name="binary_cross_entropy_with_logits",
        calls=(
            call(
                "F.binary_cross_entropy_with_logits",
                X,
                P("target", "tensor"),
                WEIGHTS,
                *REDUCTION,
                P("pos_weight", "tensor", None),
                by="binary_cross_entropy_with_logits",
                layers="BCEWithLogitsLoss",
            ),
        ),
        kernel=kernels.elementwise_loss(kernels.loss_of_f("binary_cross_entropy_with_logits")),
        bound=unbounded,
        edges=edges.operand(Kind.STEEP),
        cost=Cost(34, 65),
        genetic=NOT_PROPOSED,
    ),
    _loss(
        name="soft_margin_loss",
        calls=(
            call(
                "F.soft_margin_loss",
                X,
                P("target", "tensor"),
                *REDUCTION,
                by="soft_margin_loss",
                layers="SoftMarginLoss",
            ),
        ),
        kernel=kernels.elementwise_loss(kernels.soft_margin_loss),
        bound=unbounded,
        edges=edges.all_operands(Kind.STEEP),
        gradient=Gradient(undefined=(1,), undefined_name="the target of soft_margin_loss"),
        cost=Cost(24, 42),
        genetic=NOT_PROPOSED,
    ),
    _loss(
        name="kl_div",
        calls=(
            call(
                "F.kl_div",
                X,
                P("target", "tensor"),
                *REDUCTION,
                P("log_target", "flag", False),
                by="kl_div",
                layers="KLDivLoss",
            ),
        ),
        attrs={"log_target": Attr("bool", False)},
        kernel=kernels.elementwise_loss(kernels.kl_div, "log_target"),
        bound=unbounded,
        edges=edges.divergence,
        cost=Cost(24, 42),
        genetic=NOT_PROPOSED,
    ),
    _loss(
        name="cross_entropy",
        calls=(
            call(
                "F.cross_entropy",
                X,
                P("target", "tensor"),
                WEIGHTS,
                P("size_average", "fixed", None),
                P("ignore_index", "fixed", -100),
                P("reduce", "fixed", None),
                P("reduction", "text", "mean"),
                P("label_smoothing", "number", 0.0),
                by="cross_entropy",
                layers="CrossEntropyLoss",
            ),
        ),
        attrs={"label_smoothing": Attr("number", 0.0, low=0.0, high=1.0)},
        rule="per_row",
        kernel=lambda torch: (
            lambda c, a, x, t: torch.nn.functional.cross_entropy(
                x, t, reduction="none", label_smoothing=a["label_smoothing"]
            )
        ),
        bound=unbounded,
        edges=edges.along(Kind.STEEP, alone=1),
        cost=Cost(24),
        genetic=Genetic(tunable={"label_smoothing": (0.005, 0.4)}),
        check=_float_scores("cross_entropy"),
        keeps_operands=True,
    ),
    _loss(
        name="nll_loss",
        calls=(
            call(
                "F.nll_loss",
                X,
                P("target", "tensor"),
                WEIGHTS,
                P("size_average", "fixed", None),
                P("ignore_index", "fixed", -100),
                P("reduce", "fixed", None),
                P("reduction", "text", "mean"),
                by="nll_loss",
                layers="NLLLoss",
            ),
        ),
        rule="per_row",
        kernel=lambda torch: lambda c, a, x, t: torch.nn.functional.nll_loss(x, t, reduction="none"),
        bound=unbounded,
        edges=edges.smooth(edges.as_operands),
        cost=Cost(24),
        genetic=NOT_PROPOSED,
        check=_float_scores("nll_loss"),
        keeps_operands=True,
    ),
)
