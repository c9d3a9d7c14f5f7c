"""Operations that rearrange, select or join entries, and products of vectors and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sandbox.graph.operations.parts import edges, kernels, latex, python
from sandbox.graph.operations.parts.attributes import Attr
from sandbox.graph.operations.parts.bounds import at_most, largest_operand, unbounded
from sandbox.graph.operations.parts.calls import (
    KEYWORDS,
    OUT,
    P,
    X,
    call,
    rest,
)
from sandbox.graph.operations.parts.printed import Text
from sandbox.graph.operations.parts.shapes import ShapeError
from sandbox.graph.operations.record import (
    CHEAP,
    FLOWS,
    NOT_PROPOSED,
    PROPOSED,
    STOPS,
    Cost,
    Operation,
    TypeCheck,
)
from sandbox.graph.types import Type

AXIS = Attr("axis")
AXIS_OR_ALL = Attr("axis", None)


def _has_an_axis(operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
    if not operands[0].dims:
        raise ShapeError("slice needs a tensor with at least one axis")


def _one_type(name: str) -> TypeCheck:
    def check(operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
        kinds = {t.dtype for t in operands}
        if len(kinds) > 1 and "float" not in kinds:
            raise ShapeError(f"{name} needs operands of one type, got {operands[0]} and {operands[1]}")

    return check


_shaping = partial(
    Operation,
    attrs={},
    gradient=FLOWS,
    latex=latex.NAMED,
)

RECORDS: Final = (
    _shaping(
        name="unsqueeze",
        calls=(call("torch.unsqueeze Tensor.unsqueeze", X, P("dim", "axis")),),
        arity=(1, 1),
        attrs={"dim": AXIS},
        rule="unsqueeze",
        result="same",
        kernel=lambda torch: lambda c, a, x: x.unsqueeze(a["dim"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.called(),
        cost=CHEAP,
        genetic=PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="squeeze",
        calls=(call("torch.squeeze Tensor.squeeze", X, P("dim", "axis", None)),),
        arity=(1, 1),
        attrs={"dim": AXIS_OR_ALL},
        rule="squeeze",
        result="same",
        kernel=kernels.squeeze,
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.called(),
        cost=CHEAP,
        genetic=PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="reshape",
        calls=(
            call("torch.reshape", X, P("shape", "shape"), by="reshape"),
            call("Tensor.reshape Tensor.view", X, rest("shape", "shape"), by="reshape"),
            call("Tensor.view_as Tensor.reshape_as", X, P("other", "tensor"), by="reshape_as"),
            call("torch.flatten Tensor.flatten", X, P("start_dim", "int", 0), P("end_dim", "int", -1), by="flatten"),
            call("torch.ravel Tensor.ravel", X, by="ravel"),
        ),
        arity=(1, 1),
        attrs={"shape": Attr("shape")},
        rule="reshape",
        result="same",
        kernel=lambda torch: lambda c, a, x: x.reshape(c.shape(a["shape"])),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.shaped("reshape"),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="expand",
        calls=(
            call("Tensor.expand", X, rest("shape", "shape"), by="expand"),
            call("torch.broadcast_to Tensor.broadcast_to", X, P("shape", "shape"), by="expand"),
            call("Tensor.expand_as", X, P("other", "tensor"), by="expand_as"),
        ),
        arity=(1, 1),
        attrs={"shape": Attr("shape")},
        rule="expand",
        result="same",
        kernel=lambda torch: lambda c, a, x: x.expand(c.shape(a["shape"])),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.shaped("broadcast_to"),
        cost=Cost(9),
        genetic=NOT_PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="transpose",
        calls=(
            call(
                "torch.transpose Tensor.transpose torch.swapaxes Tensor.swapaxes",
                X,
                P("dim0", "axis"),
                P("dim1", "axis"),
            ),
            call("torch.t Tensor.t", X, by="matrix_transpose"),
        ),
        arity=(1, 1),
        attrs={"dim0": AXIS, "dim1": AXIS},
        rule="transpose",
        result="same",
        kernel=lambda torch: lambda c, a, x: x.transpose(a["dim0"], a["dim1"]) if x.dim() else x,
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.positional("dim0", "dim1"),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="slice",
        calls=(),
        arity=(1, 1),
        attrs={"dim": AXIS, "start": Attr("int", 0), "stop": AXIS_OR_ALL},
        rule="slice",
        result="same",
        kernel=lambda torch: lambda c, a, x: x[(slice(None),) * (a["dim"] % x.dim()) + (slice(a["start"], a["stop"]),)],
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.slices,
        cost=CHEAP,
        genetic=NOT_PROPOSED,
        check=_has_an_axis,
        shares_memory=True,
    ),
    _shaping(
        name="select",
        calls=(call("torch.select Tensor.select", X, P("dim", "axis"), P("index", "int")),),
        arity=(1, 1),
        attrs={"dim": AXIS, "index": Attr("int")},
        rule="select",
        result="same",
        kernel=lambda torch: lambda c, a, x: x.select(a["dim"], a["index"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.positional("dim", "index"),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="gather",
        calls=(
            call(
                "torch.gather Tensor.gather",
                X,
                P("dim", "axis"),
                P("index", "tensor"),
                KEYWORDS,
                P("sparse_grad", "fixed", False),
                OUT,
            ),
        ),
        arity=(2, 2),
        attrs={"dim": AXIS},
        rule="gather",
        result="same",
        kernel=lambda torch: lambda c, a, x, i: torch.gather(x, a["dim"], i),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=lambda w: Text(f"torch.gather({w.texts[0]}, {w.attrs['dim']}, {w.texts[1]})"),
        cost=Cost(9, 65),
        genetic=PROPOSED,
        keeps_operands=True,
    ),
    _shaping(
        name="one_hot",
        calls=(call("F.one_hot", X, P("num_classes", "any", -1), by="one_hot"),),
        arity=(1, 1),
        attrs={"symbol": Attr("symbol", "C")},
        rule="one_hot",
        result="int",
        kernel=lambda torch: lambda c, a, x: torch.nn.functional.one_hot(x, c.sizes[a["symbol"]]),
        bound=at_most(1.0),
        edges=edges.chosen_before,
        gradient=STOPS,
        python=lambda w: Text(f"F.one_hot({w.texts[0]}, {python.size(w, w.attrs['symbol'])})"),
        cost=CHEAP,
        genetic=PROPOSED,
        keeps_operands=True,
    ),
    _shaping(
        name="cat",
        calls=(
            call(
                "torch.cat torch.concat torch.concatenate", P("tensors", "tensors"), P("dim", "axis", 0), KEYWORDS, OUT
            ),
        ),
        arity=(1, 64),
        attrs={"dim": Attr("axis", 0)},
        rule="cat",
        result="promote",
        kernel=lambda torch: lambda c, a, *xs: torch.cat(xs, dim=a["dim"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.listed,
        cost=Cost(operands=2),
        genetic=NOT_PROPOSED,
    ),
    _shaping(
        name="stack",
        calls=(call("torch.stack", P("tensors", "tensors"), P("dim", "axis", 0), KEYWORDS, OUT),),
        arity=(1, 64),
        attrs={"dim": Attr("axis", 0)},
        rule="stack",
        result="promote",
        kernel=lambda torch: lambda c, a, *xs: torch.stack(xs, dim=a["dim"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.listed,
        cost=Cost(operands=2),
        genetic=NOT_PROPOSED,
    ),
    _shaping(
        name="triu",
        calls=(call("torch.triu Tensor.triu", X, P("diagonal", "int", 0)),),
        arity=(1, 1),
        attrs={"diagonal": Attr("int", 0, low=-8, high=8)},
        rule="matrix",
        result="same",
        kernel=lambda torch: lambda c, a, x: torch.triu(x, a["diagonal"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.called(),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
    ),
    _shaping(
        name="tril",
        calls=(call("torch.tril Tensor.tril", X, P("diagonal", "int", 0)),),
        arity=(1, 1),
        attrs={"diagonal": Attr("int", 0, low=-8, high=8)},
        rule="matrix",
        result="same",
        kernel=lambda torch: lambda c, a, x: torch.tril(x, a["diagonal"]),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.called(),
        cost=CHEAP,
        genetic=NOT_PROPOSED,
    ),
    _shaping(
        name="diagonal",
        calls=(
            call("torch.diagonal Tensor.diagonal torch.diag Tensor.diag", X, P("offset", "fixed", 0), by="diagonal"),
        ),
        arity=(1, 1),
        rule="diagonal",
        result="same",
        kernel=lambda torch: lambda c, a, x: torch.diagonal(x),
        bound=largest_operand,
        edges=edges.smooth(edges.as_operands),
        python=python.bare,
        cost=CHEAP,
        genetic=NOT_PROPOSED,
        shares_memory=True,
    ),
    _shaping(
        name="outer",
        calls=(call("torch.outer Tensor.outer torch.ger", X, P("vec2", "tensor")),),
        arity=(2, 2),
        rule="outer",
        result="promote",
        kernel=lambda torch: lambda c, a, x, y: torch.outer(x, y),
        bound=unbounded,
        edges=edges.smooth(edges.product),
        python=python.called(),
        cost=Cost(12),
        genetic=NOT_PROPOSED,
    ),
    _shaping(
        name="dot",
        calls=(call("torch.dot Tensor.dot torch.inner", X, P("other", "tensor")),),
        arity=(2, 2),
        rule="dot",
        result="promote",
        kernel=lambda torch: lambda c, a, x, y: torch.dot(x, y),
        bound=unbounded,
        edges=edges.smooth(edges.product),
        python=python.called(),
        cost=Cost(18),
        genetic=NOT_PROPOSED,
        booleans="not all",
        check=_one_type("dot"),
        commutative=True,
    ),
    _shaping(
        name="matmul",
        calls=(call("torch.matmul Tensor.matmul torch.mm Tensor.mm torch.mv Tensor.mv", X, P("other", "tensor")),),
        arity=(2, 2),
        rule="matmul",
        result="promote",
        kernel=lambda torch: lambda c, a, x, y: torch.matmul(x, y),
        bound=unbounded,
        edges=edges.smooth(edges.product),
        python=python.called(),
        cost=Cost(9, 0.5),
        genetic=NOT_PROPOSED,
        booleans="not all",
        check=_one_type("matmul"),
    ),
)
