"""Activations: elementwise functions of torch.nn.functional with one operand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sandbox.graph.operations.parts import edges, kernels, latex, python
from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.operations.parts.bounds import about_twice, at_most, largest_operand, unbounded
from sandbox.graph.operations.parts.calls import (
    INPLACE,
    OUT,
    P,
    X,
    call,
)
from sandbox.graph.operations.parts.edges import Kind
from sandbox.graph.operations.parts.shapes import ShapeError
from sandbox.graph.operations.record import (
    CHEAP,
    FLOWS,
    NOT_PROPOSED,
    PROPOSED,
    Cost,
    Genetic,
    Operation,
)
from sandbox.graph.types import Type


def _ordered_bounds(operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
    if attrs["min_val"] > attrs["max_val"]:
        raise ShapeError("hardtanh needs min_val <= max_val", "SBX212")


_activation = partial(
    Operation,
    arity=(1, 1),
    attrs={},
    rule="elementwise",
    result="float",
    gradient=FLOWS,
    python=python.called("F"),
    latex=latex.NAMED,
)

RECORDS: Final = (
    _activation(
        name="relu",
        calls=(call("torch.relu Tensor.relu", X), call("F.relu", X, INPLACE, layers="ReLU")),
        result="same",
        kernel=kernels.unary("relu"),
        bound=largest_operand,
        edges=edges.operand(Kind.KINK),
        python=python.called(),
        latex=latex.wrapped(r"\max\left(0, ", r"\right)"),
        cost=CHEAP,
        genetic=Genetic(replaced_by=("softplus", "leaky_relu", "elu", "silu")),
        booleans="none",
    ),
    _activation(
        name="sigmoid",
        calls=(
            call("torch.sigmoid Tensor.sigmoid", X, OUT),
            call("F.sigmoid torch.special.expit", X, layers="Sigmoid"),
        ),
        kernel=kernels.unary("sigmoid"),
        bound=at_most(1.0),
        edges=edges.operand(Kind.STEEP),
        python=python.called(),
        latex=latex.named(r"\sigma"),
        cost=CHEAP,
        genetic=Genetic(replaced_by=("hardsigmoid",)),
    ),
    _activation(
        name="logsigmoid",
        calls=(call("F.logsigmoid", X, layers="LogSigmoid"),),
        kernel=kernels.unary("F.logsigmoid"),
        bound=unbounded,
        edges=edges.operand(Kind.STEEP),
        latex=latex.named(r"\log\sigma"),
        cost=Cost(3, 24),
        genetic=PROPOSED,
    ),
    _activation(
        name="relu6",
        calls=(call("F.relu6", X, INPLACE, layers="ReLU6"),),
        kernel=kernels.unary("F.relu6"),
        bound=unbounded,
        edges=edges.operand(Kind.KINK, 0.0, 6.0),
        cost=Cost(6),
        genetic=NOT_PROPOSED,
    ),
    _activation(
        name="selu",
        calls=(call("F.selu", X, INPLACE, layers="SELU"), call("torch.selu", X)),
        kernel=kernels.unary("selu"),
        bound=about_twice,
        edges=edges.operand(Kind.KINK),
        python=python.called(),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
    ),
    _activation(
        name="silu",
        calls=(call("F.silu", X, INPLACE, layers="SiLU"),),
        kernel=kernels.unary("F.silu"),
        bound=largest_operand,
        edges=edges.operand(Kind.STEEP),
        cost=CHEAP,
        genetic=Genetic(replaced_by=("softplus", "relu", "gelu")),
    ),
    _activation(
        name="mish",
        calls=(call("F.mish", X, INPLACE, layers="Mish"),),
        kernel=kernels.unary("F.mish"),
        bound=largest_operand,
        edges=edges.operand(Kind.STEEP),
        cost=Cost(3, 42),
        genetic=Genetic(replaced_by=("softplus", "relu", "silu")),
    ),
    _activation(
        name="softsign",
        calls=(call("F.softsign", X, layers="Softsign"),),
        kernel=kernels.unary("F.softsign"),
        bound=at_most(1.0),
        edges=edges.operand(Kind.STEEP),
        cost=Cost(6, 42),
        genetic=Genetic(replaced_by=("tanh", "atan", "asinh")),
        parity="odd",
    ),
    _activation(
        name="tanhshrink",
        calls=(call("F.tanhshrink", X, layers="Tanhshrink"),),
        kernel=kernels.unary("F.tanhshrink"),
        bound=largest_operand,
        edges=edges.operand(Kind.STEEP),
        cost=Cost(3, 24),
        genetic=NOT_PROPOSED,
        parity="odd",
    ),
    _activation(
        name="hardsigmoid",
        calls=(call("F.hardsigmoid", X, INPLACE, layers="Hardsigmoid"),),
        kernel=kernels.unary("F.hardsigmoid"),
        bound=at_most(1.0),
        edges=edges.operand(Kind.KINK, -3.0, 3.0),
        cost=CHEAP,
        genetic=Genetic(replaced_by=("sigmoid",)),
    ),
    _activation(
        name="hardswish",
        calls=(call("F.hardswish", X, INPLACE, layers="Hardswish"),),
        kernel=kernels.unary("F.hardswish"),
        bound=largest_operand,
        edges=edges.operand(Kind.KINK, -3.0, 3.0),
        cost=Cost(9),
        genetic=NOT_PROPOSED,
    ),
    _activation(
        name="softplus",
        calls=(
            call(
                "F.softplus",
                X,
                P("beta", "scalar", 1.0),
                P("threshold", "number", 20.0),
                by="softplus",
                layers="Softplus",
            ),
        ),
        attrs={"beta": Attr("number", 1.0, low=1e-06, high=1000000.0), "threshold": Attr("number", 20.0)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.softplus(x, beta=a["beta"], threshold=a["threshold"]),
        bound=about_twice,
        edges=edges.softplus,
        cost=CHEAP,
        genetic=Genetic(replaced_by=("relu", "elu", "silu", "mish", "gelu"), tunable={"beta": (0.2, 8.0)}),
    ),
    _activation(
        name="leaky_relu",
        calls=(
            call("F.leaky_relu", X, P("negative_slope", "scalar", 0.01), INPLACE, by="leaky_relu", layers="LeakyReLU"),
        ),
        attrs={"negative_slope": Attr("number", 0.01)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.leaky_relu(x, a["negative_slope"]),
        bound=largest_operand,
        edges=edges.operand(Kind.KINK),
        cost=CHEAP,
        genetic=Genetic(replaced_by=("softplus", "relu", "elu"), tunable={"negative_slope": (0.005, 0.6)}),
    ),
    _activation(
        name="elu",
        calls=(call("F.elu", X, P("alpha", "scalar", 1.0), INPLACE, by="elu", layers="ELU"),),
        attrs={"alpha": Attr("number", 1.0)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.elu(x, a["alpha"]),
        bound=about_twice,
        edges=edges.operand(Kind.KINK),
        cost=Cost(6),
        genetic=Genetic(replaced_by=("softplus", "leaky_relu", "celu"), tunable={"alpha": (0.2, 3.0)}),
    ),
    _activation(
        name="celu",
        calls=(call("F.celu torch.celu", X, P("alpha", "number", 1.0), INPLACE, layers="CELU"),),
        attrs={"alpha": Attr("number", 1.0, low=1e-06)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.celu(x, a["alpha"]),
        bound=about_twice,
        edges=edges.operand(Kind.KINK),
        cost=CHEAP,
        genetic=Genetic(tunable={"alpha": (0.2, 3.0)}),
    ),
    _activation(
        name="gelu",
        calls=(call("F.gelu", X, P("approximate", "text", "none"), layers="GELU"),),
        attrs={"approximate": Attr("choice", "none", choices=("none", "tanh"))},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.gelu(x, approximate=a["approximate"]),
        bound=largest_operand,
        edges=edges.operand(Kind.STEEP),
        cost=Cost(3, 24),
        genetic=Genetic(replaced_by=("softplus", "relu", "silu")),
    ),
    _activation(
        name="softshrink",
        calls=(call("F.softshrink", X, P("lambd", "number", 0.5), layers="Softshrink"),),
        attrs={"lambd": Attr("number", 0.5, low=0.0)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.softshrink(x, a["lambd"]),
        bound=largest_operand,
        edges=edges.attribute_kinks("lambd", both_signs=True),
        cost=Cost(9),
        genetic=NOT_PROPOSED,
        parity="odd",
    ),
    _activation(
        name="hardshrink",
        calls=(call("F.hardshrink torch.hardshrink", X, P("lambd", "number", 0.5), layers="Hardshrink"),),
        attrs={"lambd": Attr("number", 0.5)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.hardshrink(x, a["lambd"]),
        bound=largest_operand,
        edges=edges.attribute_kinks("lambd", both_signs=True),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
    ),
    _activation(
        name="hardtanh",
        calls=(
            call(
                "F.hardtanh",
                X,
                P("min_val", "scalar", -1.0),
                P("max_val", "scalar", 1.0),
                INPLACE,
                by="hardtanh",
                layers="Hardtanh",
            ),
        ),
        attrs={"min_val": Attr("number", -1.0), "max_val": Attr("number", 1.0)},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.hardtanh(x, a["min_val"], a["max_val"]),
        bound=unbounded,
        edges=edges.attribute_kinks("min_val", "max_val"),
        cost=Cost(9),
        genetic=PROPOSED,
        check=_ordered_bounds,
    ),
    _activation(
        name="threshold",
        calls=(
            call(
                "F.threshold torch.threshold",
                X,
                P("threshold", "number"),
                P("value", "number"),
                INPLACE,
                layers="Threshold",
            ),
        ),
        attrs={"threshold": Attr("number"), "value": Attr("number")},
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.threshold(x, a["threshold"], a["value"]),
        bound=unbounded,
        edges=edges.attribute_kinks("threshold"),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
    ),
)
