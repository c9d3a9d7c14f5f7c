"""Where a graph's behaviour can change abruptly: comparisons, clamps, kinks, steep steps, poles. No torch.

Each site is a quantity whose zero is the edge: both sides of it, and the edge itself, have to be probed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.contract import BATCH, contract_named
from sandbox.dims import Dim
from sandbox.graph import LossGraph, Node


@dataclass(frozen=True, slots=True)
class Site:
    """The edge lies where node `left` equals node `right` + `offset` (`right` None: equals `offset`).

    kind: `compare` and `kink` change the formula, `equal` does so at single values, `pole` may be infinite, `steep` is a
    step if its argument is large.
    """

    kind: str
    left: int
    right: int | None
    offset: float = 0.0


_COMPARE: Final = frozenset({"lt", "le", "gt", "ge"})
_TWO_SIDED: Final = frozenset({"clamp_min", "clamp_max", "maximum", "minimum", "l1_loss"})
_KINKS: Final[Mapping[str, tuple[float, ...]]] = {
    **dict.fromkeys(("relu", "abs", "sign", "leaky_relu", "elu", "selu"), (0.0,)),
    "relu6": (0.0, 6.0),
    "hardsigmoid": (-3.0, 3.0),
    "hardswish": (-3.0, 3.0),
}
_POLES: Final[Mapping[str, tuple[float, ...]]] = {
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal"), (0.0,)),
    "log1p": (-1.0,),
    "logit": (0.0, 1.0),
}
_STEEP: Final = frozenset({"sigmoid", "logsigmoid", "tanh", "erf", "softsign", "atan"})
STEEP_TAIL: Final = 15.0
"""Arguments beyond this are on the flat part of a step."""


def sites(graph: LossGraph) -> tuple[Site, ...]:
    """The sites whose quantity is one number per item and depends on the items. Without repetitions."""
    moving = _moving(graph)
    vector = (Dim.of(BATCH),)
    found: dict[Site, None] = {}
    for node in graph.nodes:
        for site in _of(graph, node):
            nodes = [i for i in (site.left, site.right) if i is not None]
            shapes = [graph.types[i].dims for i in nodes if graph.types[i].dims]
            if any(moving[i] for i in nodes) and all(s == vector for s in shapes) and shapes:
                found[site] = None
    return tuple(found)


def _moving(graph: LossGraph) -> list[bool]:
    """For each node, whether its value depends on a floating tensor argument."""
    contract = contract_named(graph.contract)
    out: list[bool] = []
    for node in graph.nodes:
        argument = contract.argument(node.attrs["name"]) if node.op == "input" else None
        own = argument is not None and argument.shape is not None and argument.dtype == "float"
        out.append(own or any(out[a] for a in node.args))
    return out


def _of(graph: LossGraph, node: Node) -> list[Site]:
    op, args = node.op, node.args
    if op in _COMPARE:
        return [Site("compare", args[0], args[1])]
    if op in ("eq", "ne"):
        return [Site("equal", args[0], args[1])]
    if op in _TWO_SIDED:
        return [Site("kink", args[0], args[1])]
    if op in _KINKS:
        return [Site("kink", args[0], None, offset) for offset in _KINKS[op]]
    if op in _POLES:
        return [Site("pole", args[0], None, offset) for offset in _POLES[op]]
    if op in _STEEP:
        return [Site("steep", args[0], None)]
    return _special(graph, op, args, node.attrs)


def _special(graph: LossGraph, op: str, args: tuple[int, ...], attrs: Mapping[str, Any]) -> list[Site]:
    match op:
        case "div":
            return [Site("pole", args[1], None)]
        case "xlogy" | "atan2":
            return [Site("pole", args[1], None)]
        case "pow" if not _whole(graph, args[1]):
            return [Site("pole", args[0], None)]
        case "hardtanh":
            return [Site("kink", args[0], None, attrs[a]) for a in ("min_val", "max_val")]
        case "threshold":
            return [Site("kink", args[0], None, attrs["threshold"])]
        case "softshrink" | "hardshrink":
            return [Site("kink", args[0], None, sign * attrs["lambd"]) for sign in (-1, 1)]
        case "exp":
            # A bump such as exp(-(k z)^2) is flat but for the place where its argument comes near zero.
            return [Site("steep", args[0], None, -1.0)]
    return []


def _whole(graph: LossGraph, node: int) -> bool:
    """Whether the exponent is a constant whole number that is not negative: then there is no pole."""
    if graph.nodes[node].op != "const":
        return False
    value = graph.nodes[node].attrs["value"]
    return bool(value == int(value) and value >= 1) if abs(value) < 1e6 else False
