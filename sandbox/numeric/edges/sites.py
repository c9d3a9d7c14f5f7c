"""The operations at which a loss can change abruptly, and what decides in each of them. No torch.

`_SMOOTH` names the operations that cannot: sums, products and changes of shape. Every operation of the table is in one of the
lists, so a new one must be thought of here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sandbox.contracts.contract import BATCH
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.types import Dim


class Kind(StrEnum):
    """How an operation treats its deciding quantity, `left - right - offset`."""

    ROUNDING = "rounding"
    """Steps without end."""
    EQUALITY = "equality"
    """Another result at one value: zero."""
    FINITENESS = "finiteness"
    """Another result where the operand is not a number or overflows."""
    CHOICE = "choice"
    """The index of the largest or smallest, or ranks."""
    WAVE = "wave"
    """Back and forth without end."""
    BELOW = "below"
    """Another formula below zero; the result at zero belongs to the other side."""
    ABOVE = "above"
    """Another formula above zero; the result at zero belongs to the other side."""
    KINK = "kink"
    """Another formula on either side of zero, continuous there."""
    STEEP = "steep"
    """A transition around zero, about one wide."""
    POLE = "pole"
    """Changes fast where the quantity is small."""


EDGES: Final = frozenset({Kind.BELOW, Kind.ABOVE, Kind.KINK, Kind.STEEP})
AT_ONCE: Final = frozenset({Kind.ROUNDING, Kind.EQUALITY, Kind.CHOICE, Kind.WAVE})
"""Kinds that single values out wherever their quantity goes."""


@dataclass(frozen=True, slots=True)
class Site:
    """An operation that decides by `left - right - offset`; along an axis by the differences of the entries of `left`."""

    node: int
    kind: Kind
    left: int
    right: int | None = None
    offset: float = 0.0
    axis: int | None = None
    scale: float = 1.0
    """How many times steeper the operation is than its kind says."""


def sites(graph: VerifiedGraph) -> tuple[Site, ...]:
    """All sites of a graph. Comparisons of the batch's items with each other are none."""
    found: dict[Site, None] = {}
    polynomials = degrees(graph, [True] * len(graph.nodes))
    for i, node in enumerate(graph.nodes):
        for site in _of(graph, i, node):
            found[site] = None
        if polynomials[i] > _STEEP_DEGREE and all(polynomials[a] <= _STEEP_DEGREE for a in node.args):
            found[Site(i, Kind.KINK, i, None, 1.0)] = None  # hardly anything below one, and soon beyond all bounds
    return tuple(found)


def ranked_among_values(graph: VerifiedGraph) -> list[int]:
    """The nodes that put the batch's items in order together with other values."""
    return [
        i
        for i, node in enumerate(graph.nodes)
        if node.op in _ORDER and any(d.constant is None and d.divide(_B) is None for d in _lengths(graph, node))
    ]


def degrees(graph: VerifiedGraph, counted: Sequence[bool]) -> list[int]:
    """For each node a bound on its degree as a polynomial of the inputs that count, through nodes that count; what is no
    polynomial counts as one."""
    found: list[int] = []
    for i, node in enumerate(graph.nodes):
        own = [found[a] for a in node.args]
        found.append(min(_degree(graph, node, own), _HIGHEST_DEGREE) if counted[i] else 0)
    return found


_STEEP_DEGREE: Final = 16
_HIGHEST_DEGREE: Final = 1_000


def _degree(graph: VerifiedGraph, node: Node, own: Sequence[int]) -> int:
    if node.op == "input":
        return int(node.attrs["name"] != "beta")
    if node.op in ("mul", "outer", "dot", "matmul", "lerp"):
        return sum(own)
    if node.op in ("square", "mse_loss", "var"):
        return 2 * max(own)
    if node.op == "prod":
        return _HIGHEST_DEGREE * max(own)
    if node.op == "pow":
        exponent = graph.nodes[node.args[1]]
        return own[0] * int(max(abs(exponent.attrs["value"]), 1)) if exponent.op == "const" else max(own)
    return max(own, default=0) if node.op in _SMOOTH else min(max(own, default=0), 1)


def _of(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    if node.op in _SMOOTH:
        return []
    if node.op in _ALONG:
        return _along(graph, i, node)
    return _SITES[node.op](graph, i, node)


_Rule = Callable[[VerifiedGraph, int, Node], list[Site]]


def _operand(kind: Kind, *offsets: float) -> _Rule:
    """A site of the first operand, at each of the offsets."""
    return lambda graph, i, node: [Site(i, kind, node.args[0], None, o) for o in offsets or (0.0,)]


def _difference(kind: Kind) -> _Rule:
    return lambda graph, i, node: [Site(i, kind, node.args[0], node.args[1])]


def _bounded(*names: str, sign: bool = False) -> _Rule:
    """Kinks of the first operand, or of the difference of two, at attributes; with `sign` at their negatives too."""

    def rule(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
        bounds = [node.attrs[n] for n in names]
        right = node.args[1] if len(node.args) > 1 else None
        return [Site(i, Kind.KINK, node.args[0], right, b) for v in bounds for b in ((v, -v) if sign else (v,))]

    return rule


def _each(kind: Kind) -> _Rule:
    """A site of every floating operand by itself."""
    return lambda graph, i, node: [Site(i, kind, a) for a in node.args if graph.types[a].dtype == "float"]


def _truth(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    """A number in place of a condition: it is zero or not."""
    return [Site(i, Kind.EQUALITY, a) for a in node.args[:1] if graph.types[a].dtype == "float"]


def _cast(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    if graph.types[node.args[0]].dtype != "float" or node.attrs["to"] == "float":
        return []
    return [Site(i, Kind.EQUALITY if node.attrs["to"] == "bool" else Kind.ROUNDING, node.args[0])]


def _power(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    base, exponent = (graph.nodes[a] for a in node.args)
    found = []
    if exponent.op != "const":
        size = abs(float(base.attrs["value"])) if base.op == "const" else math.e
        found.append(Site(i, Kind.STEEP, node.args[1], scale=abs(math.log(size)) if size > 0 else 1.0))
    power = float(exponent.attrs["value"]) if exponent.op == "const" else 0.5
    if base.op != "const" and not (power.is_integer() and power >= 1):
        found.append(Site(i, Kind.POLE, node.args[0]))
    if base.op != "const" and abs(power) > _STEEP_DEGREE:
        found += [Site(i, Kind.KINK, node.args[0], None, one) for one in (1.0, -1.0)]
    return found


def _logit(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    """Poles at zero and one, and kinks where it is clamped."""
    eps = node.attrs["eps"]
    kinks = [Site(i, Kind.KINK, node.args[0], None, o) for o in (eps, 1.0 - eps)]
    return [*(Site(i, Kind.POLE, node.args[0], None, o) for o in (0.0, 1.0)), *kinks]


def _softplus(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    """A step about 1 / beta wide, and a jump where torch goes over to the identity, seen where that is early."""
    at, beta = node.attrs["threshold"], node.attrs["beta"]
    steep = Site(i, Kind.STEEP, node.args[0], scale=beta)
    return [steep, Site(i, Kind.KINK, node.args[0], None, at / beta)] if at < _LATE_ENOUGH else [steep]


_LATE_ENOUGH: Final = 10.0


def _itself(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    """A root of a sum of squares: bent where it is zero."""
    return [Site(i, Kind.POLE, i)]


def _entropy(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    return [Site(i, Kind.POLE, node.args[0], None, o) for o in (0.0, 1.0)]


def _divergence(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    return [Site(i, Kind.STEEP if node.attrs["log_target"] else Kind.POLE, node.args[1])]


def _along(graph: VerifiedGraph, i: int, node: Node) -> list[Site]:
    """What compares entries along axes. Along the batch these are items with each other, and nothing is singled out."""
    kind = _ALONG[node.op]
    operand = graph.types[node.args[0]]
    if operand.dtype != "float":
        return []
    found = []
    for axis, length in zip(_axes(graph, node), _lengths(graph, node), strict=True):
        if length.constant is not None and length.constant > _MOST_ENTRIES:
            found.append(Site(i, Kind.CHOICE, node.args[0]))
        elif length.constant is not None and length.constant > 1:
            found.append(Site(i, kind, node.args[0], axis=axis))
    return found


_MOST_ENTRIES: Final = 16
_B: Final = Dim.of(BATCH)


def _axes(graph: VerifiedGraph, node: Node) -> list[int]:
    rank = len(graph.types[node.args[0]].dims)
    if not rank:  # torch lets a single number have an axis 0
        return []
    dim = node.attrs.get("dim", 1 if node.op == "cross_entropy" else None)
    return list(range(rank)) if dim is None else [d % rank for d in (dim if isinstance(dim, tuple) else (dim,))]


def _lengths(graph: VerifiedGraph, node: Node) -> list[Dim]:
    dims = graph.types[node.args[0]].dims
    return [dims[axis] for axis in _axes(graph, node)]


_SITES: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys(("floor", "ceil", "trunc", "round", "frac"), _operand(Kind.ROUNDING)),
    **dict.fromkeys(("floordiv", "remainder"), _each(Kind.ROUNDING)),
    **dict.fromkeys(("eq", "ne"), _difference(Kind.EQUALITY)),
    **dict.fromkeys(("isnan", "isinf", "isfinite", "nan_to_num"), _operand(Kind.FINITENESS)),
    **dict.fromkeys(("logical_not", "logical_and", "logical_or", "logical_xor", "any", "all"), _each(Kind.EQUALITY)),
    "where": _truth,
    "cast": _cast,
    **dict.fromkeys(("sin", "cos", "tan"), _operand(Kind.WAVE)),
    **dict.fromkeys(("lt", "ge"), _difference(Kind.BELOW)),
    **dict.fromkeys(("le", "gt"), _difference(Kind.ABOVE)),
    **dict.fromkeys(("maximum", "minimum", "clamp_min", "clamp_max", "l1_loss"), _difference(Kind.KINK)),
    "sign": lambda graph, i, node: [Site(i, kind, node.args[0]) for kind in (Kind.BELOW, Kind.ABOVE)],
    **dict.fromkeys(("abs", "relu", "leaky_relu", "elu", "selu", "celu"), _operand(Kind.KINK)),
    "relu6": _operand(Kind.KINK, 0.0, 6.0),
    **dict.fromkeys(("hardsigmoid", "hardswish"), _operand(Kind.KINK, -3.0, 3.0)),
    "hardtanh": _bounded("min_val", "max_val"),
    "threshold": _bounded("threshold"),
    **dict.fromkeys(("softshrink", "hardshrink"), _bounded("lambd", sign=True)),
    "smooth_l1_loss": _bounded("beta", sign=True),
    "huber_loss": _bounded("delta", sign=True),
    **dict.fromkeys(
        (
            "expm1", "exp2", "sinh", "cosh", "tanh", "erf", "erfc", "sigmoid", "logsigmoid", "softsign",
            "atan", "asinh", "silu", "mish", "gelu", "tanhshrink", "binary_cross_entropy_with_logits",
        ),
        _operand(Kind.STEEP),
    ),
    "exp": _operand(Kind.STEEP, 0.0, -1.0),  # a bump such as exp(-(k z)^2) is steepest beside its top
    "soft_margin_loss": lambda graph, i, node: [Site(i, Kind.STEEP, a) for a in node.args],
    **dict.fromkeys(("logaddexp", "logaddexp2"), _difference(Kind.STEEP)),
    "kl_div": _divergence,
    "binary_cross_entropy": _entropy,
    "logit": _logit,
    "softplus": _softplus,
    "log1p": _operand(Kind.POLE, -1.0),
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal"), _operand(Kind.POLE)),
    "div": lambda graph, i, node: [Site(i, Kind.POLE, node.args[1])],
    "xlogy": lambda graph, i, node: [Site(i, Kind.EQUALITY, node.args[0]), Site(i, Kind.POLE, node.args[1])],
    "atan2": lambda graph, i, node: [Site(i, Kind.KINK, node.args[0]), Site(i, Kind.POLE, node.args[1])],
    "norm": lambda graph, i, node: [Site(i, Kind.POLE, i) if node.attrs["p"] else Site(i, Kind.EQUALITY, node.args[0])],
    "normalize": lambda graph, i, node: [Site(i, Kind.POLE, i), Site(i, Kind.KINK, node.args[0])],
    **dict.fromkeys(("hypot", "std"), _itself),
    "pow": _power,
    "one_hot": lambda graph, i, node: [],  # its operand was rounded, or chosen, before
}  # fmt: skip
_ALONG: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("argmax", "argmin", "argsort"), Kind.CHOICE),
    **dict.fromkeys(("amax", "amin", "max", "min", "median", "sort", "quantile"), Kind.KINK),
    **dict.fromkeys(("softmax", "log_softmax", "logsumexp", "logcumsumexp", "cross_entropy"), Kind.STEEP),
}
_ORDER: Final = frozenset(name for name, kind in _ALONG.items() if kind is not Kind.STEEP)
_SMOOTH: Final = frozenset(
    {
        "input", "size", "const", "neg", "add", "sub", "mul", "square", "detach", "tensor", "lerp", "mse_loss", "nll_loss",
        "sum", "mean", "prod", "var", "cumsum", "flip", "roll", "unsqueeze", "squeeze", "reshape", "expand", "transpose",
        "slice", "select", "gather", "cat", "stack", "triu", "tril", "diagonal", "outer", "dot", "matmul", "full",
        "full_like", "arange", "eye",
    }
)  # fmt: skip
"""Polynomials of their operands, or the same numbers in another shape."""

assert OPERATIONS.keys() == _SITES.keys() | _ALONG.keys() | _SMOOTH, "an operation is not classified, or does not exist"
