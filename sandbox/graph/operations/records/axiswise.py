"""Operations along one axis that keep its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sandbox.graph.operations.parts import edges, latex, python
from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.operations.parts.bounds import about_twice, at_most, largest_operand, unbounded
from sandbox.graph.operations.parts.calls import (
    DTYPE,
    KEYWORDS,
    OUT,
    P,
    X,
    call,
    rest,
)
from sandbox.graph.operations.parts.edges import Kind
from sandbox.graph.operations.parts.printed import Text
from sandbox.graph.operations.parts.shapes import ShapeError
from sandbox.graph.operations.record import (
    FLOWS,
    NOT_PROPOSED,
    PROPOSED,
    STOPS,
    Cost,
    Operation,
)
from sandbox.graph.types import Type

AXIS = Attr("axis")
_SORTING: Final = (X, P("dim", "axis", -1), P("descending", "flag", False), P("stable", "ignored", False))
"""The parameters of sort and argsort."""


def _has_an_axis(operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
    if not operands[0].dims:
        raise ShapeError("roll needs a tensor with at least one axis")


_along = partial(
    Operation,
    arity=(1, 1),
    rule="along",
    latex=latex.NAMED,
)

RECORDS: Final = (
    _along(
        name="softmax",
        calls=(
            call("F.softmax", X, P("dim", "axis", None), DTYPE, by="implicit_softmax", layers="Softmax"),
            call("torch.softmax Tensor.softmax torch.special.softmax", X, P("dim", "axis"), DTYPE),
        ),
        attrs={"dim": AXIS},
        result="float",
        kernel=lambda torch: lambda c, a, x: torch.softmax(x, dim=a["dim"]),
        bound=at_most(1.0),
        edges=edges.along(Kind.STEEP),
        gradient=FLOWS,
        python=python.called(),
        cost=Cost(9),
        genetic=PROPOSED,
        order="free",
        counts=False,
    ),
    _along(
        name="log_softmax",
        calls=(
            call("F.log_softmax", X, P("dim", "axis", None), DTYPE, by="implicit_log_softmax", layers="LogSoftmax"),
            call("torch.log_softmax Tensor.log_softmax torch.special.log_softmax", X, P("dim", "axis"), DTYPE),
        ),
        attrs={"dim": AXIS},
        result="float",
        kernel=lambda torch: lambda c, a, x: torch.log_softmax(x, dim=a["dim"]),
        bound=about_twice,
        edges=edges.along(Kind.STEEP),
        gradient=FLOWS,
        python=python.called(),
        cost=Cost(6),
        genetic=PROPOSED,
        order="free",
        counts=False,
    ),
    _along(
        name="logcumsumexp",
        calls=(call("torch.logcumsumexp Tensor.logcumsumexp", X, P("dim", "axis")),),
        attrs={"dim": AXIS},
        result="float",
        kernel=lambda torch: lambda c, a, x: torch.logcumsumexp(x, dim=a["dim"]),
        bound=unbounded,
        edges=edges.along(Kind.STEEP),
        gradient=FLOWS,
        python=python.called(),
        cost=Cost(18, 200),
        genetic=NOT_PROPOSED,
        order="place",
        counts=False,
    ),
    _along(
        name="cumsum",
        calls=(call("torch.cumsum Tensor.cumsum", X, P("dim", "axis"), KEYWORDS, DTYPE, OUT),),
        attrs={"dim": AXIS},
        result="sum",
        kernel=lambda torch: lambda c, a, x: torch.cumsum(x, dim=a["dim"]),
        bound=unbounded,
        edges=edges.smooth(edges.as_operands),
        gradient=FLOWS,
        python=python.called(),
        cost=Cost(6),
        genetic=NOT_PROPOSED,
        booleans="none",
        order="place",
        counts=True,
    ),
    _along(
        name="normalize",
        calls=(call("F.normalize", X, P("p", "number", 2.0), P("dim", "axis", 1), P("eps", "number", 1e-12), OUT),),
        attrs={"p": Attr("number", 2.0, low=0.0), "dim": Attr("axis", 1), "eps": Attr("number", 1e-12)},
        result="float",
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.normalize(x, p=a["p"], dim=a["dim"], eps=a["eps"]),
        bound=at_most(1.0),
        edges=edges.normalize,
        gradient=FLOWS,
        python=python.called("F", always=("eps",)),
        cost=Cost(18, 42),
        genetic=NOT_PROPOSED,
        order="free",
        counts=False,
    ),
    _along(
        name="sort",
        calls=(call("torch.sort Tensor.sort", *_SORTING, by="sort"),),
        attrs={"dim": Attr("axis", -1), "descending": Attr("bool", False)},
        result="same",
        kernel=lambda torch: lambda c, a, x: torch.sort(x, dim=a["dim"], descending=a["descending"]).values,
        bound=largest_operand,
        edges=edges.along(Kind.KINK),
        gradient=FLOWS,
        python=python.values_along,
        cost=Cost(9, 24),
        genetic=NOT_PROPOSED,
        order="sorted",
        counts=False,
    ),
    _along(
        name="argsort",
        calls=(call("torch.argsort Tensor.argsort", *_SORTING),),
        attrs={"dim": Attr("axis", -1), "descending": Attr("bool", False)},
        result="int",
        kernel=lambda torch: lambda c, a, x: torch.argsort(x, dim=a["dim"], descending=a["descending"], stable=True),
        bound=unbounded,
        edges=edges.along(Kind.CHOICE),
        gradient=STOPS,
        python=python.called(),
        cost=Cost(6, 42),
        genetic=NOT_PROPOSED,
        order="place",
        counts=False,
        keeps_operands=True,
    ),
    _along(
        name="flip",
        calls=(
            call("torch.flip", X, P("dims", "axes"), by="flip"),
            call("Tensor.flip", X, rest("dims", "axes"), by="flip"),
        ),
        attrs={"dim": AXIS},
        result="same",
        kernel=lambda torch: lambda c, a, x: torch.flip(x, (a["dim"],)) if x.dim() else x,
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        gradient=FLOWS,
        python=lambda w: Text(f"torch.flip({w.texts[0]}, ({w.attrs['dim']},))"),
        cost=Cost(6),
        genetic=NOT_PROPOSED,
        order="place",
        counts=False,
    ),
    _along(
        name="roll",
        calls=(call("torch.roll Tensor.roll", X, P("shifts", "int"), P("dims", "axis", None), by="roll"),),
        attrs={"shift": Attr("int", low=-64, high=64), "dim": AXIS},
        result="same",
        kernel=lambda torch: lambda c, a, x: torch.roll(x, a["shift"], a["dim"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        gradient=FLOWS,
        python=python.positional("shift", "dim"),
        cost=Cost(6),
        genetic=NOT_PROPOSED,
        check=_has_an_axis,
        order="place",
        counts=False,
    ),
)
