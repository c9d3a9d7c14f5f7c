"""Linear forms: each value of a loss as a function of the log-probabilities, derived from the graph at one beta. No torch.

A value is a set of alternatives. Each is a linear combination of the four log-probabilities, a constant, and values of other
nodes. Conditions, kinks and selections make alternatives: `relu(q)` is 0 or q, `where(c, a, b)` is a or b. So a window on the
reference's values is recognised behind any gates and in any order of the batch.

A value is `keyed` if it changes when policy and reference are shifted together. Statistics of the batch count as constants,
because they do not identify a pair. A value that is neither linear nor invariant is `curved`, and is tested numerically (`lines`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Final

from sandbox.contracts.contract import contract_named
from sandbox.graph.latest import kept_for_latest
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.scalars import NUMBER_OPERATIONS, compute
from sandbox.numeric.edges.lookup.linear import Linear, Value, compared, distinct, number, settled
from sandbox.numeric.edges.sites import Site

MOST_ALTERNATIVES: Final = 96


@dataclass(frozen=True, eq=False)
class Forms:
    """The forms of all nodes of a graph. `curved`: for each node, whether its value is keyed and not linear; `follows`: whether
    its value may change along shifts at all, which includes masks."""

    graph: VerifiedGraph
    values: Sequence[Value]
    curved: Sequence[bool]
    follows: Sequence[bool]
    scaled: Sequence[bool]
    """For each node, whether it depends on beta."""
    changes: Sequence[bool]
    """For each node, whether `keyed` holds for its value."""
    statistics: Sequence[bool]
    """For each node, whether it is a statistic of the batch of a value that identifies pairs: in a batch of one, that value."""
    same: Sequence[int]
    """For each node, the first one that computes the same from the same operands."""
    _deciding: dict[Site, Value] = field(default_factory=dict)

    def keyed(self, value: Value) -> bool:
        """Whether the value changes along shifts, other than in steps."""
        return any(any(v.shift) or not v.finite or self.bent(v) for v in value)

    def bent(self, linear: Linear) -> bool:
        """Whether the form contains the value of a curved node."""
        return any(self.curved[n] for n, _ in linear.others)

    def cases(self, site: Site) -> int:
        """The number of alternatives that `deciding` has at most."""
        left = len(self.values[site.left])
        if site.axis is not None:
            return left * (left - 1) // 2
        return left * (len(self.values[site.right]) if site.right is not None else 1)

    def deciding(self, site: Site) -> Value:
        """The forms of the quantity that decides at a site."""
        if site not in self._deciding:
            self._deciding[site] = self._derived(site)
        return self._deciding[site]

    def _derived(self, site: Site) -> Value:
        left = self.values[site.left]
        if site.axis is not None:
            return distinct(a.plus(b.times(-1.0)) for a, b in combinations(left, 2))
        right = self.values[site.right] if site.right is not None else (number(0.0),)
        bounds = [b.plus(number(site.offset)) for b in right]
        return distinct(compared(a, b) for a, b in product(left, bounds) if not settled(a, b))


def forms_of(graph: VerifiedGraph, beta: float, known: Forms | None = None) -> Forms:
    """The forms of all values of a preference loss at this beta. `known` are those at another beta: from them come the values that
    do not depend on beta."""
    tensors = [a.name for a in contract_named(graph.contract).tensors]
    scaled, same = (reads_scalar(graph), _same_as(graph)) if known is None else (known.scaled, known.same)
    made = _Maker(graph, tensors, beta, same)
    for i, node in enumerate(graph.nodes):
        if known is not None and not scaled[i]:
            made.take(i, known)
        else:
            made.add(i, node)
    return Forms(graph, made.values, made.curved, made.follows, scaled, made.keyed, made.statistics, same)


def _same_as(graph: VerifiedGraph) -> list[int]:
    """For each node, the first one that computes the same from the same operands."""
    first: dict[object, int] = {}
    found: list[int] = []
    for i, node in enumerate(graph.nodes):
        attrs = tuple((name, type(value), value) for name, value in node.attrs.items())
        found.append(first.setdefault((node.op, tuple(found[a] for a in node.args), attrs), i))
    return found


@kept_for_latest
def reads_scalar(graph: VerifiedGraph) -> tuple[bool, ...]:
    """For each node, whether it depends on an argument that is a Python number: beta."""
    tensors = {a.name for a in contract_named(graph.contract).tensors}
    found: list[bool] = []
    for node in graph.nodes:
        own = node.op == "input" and node.attrs["name"] not in tensors
        found.append(own or any(found[a] for a in node.args))
    return tuple(found)


class _Maker:
    def __init__(self, graph: VerifiedGraph, names: Sequence[str], beta: float, same: Sequence[int]) -> None:
        self.graph, self.names, self.beta, self.same = graph, names, beta, same
        self.values: list[Value] = []
        self.curved: list[bool] = []
        self.follows: list[bool] = []
        self.keyed: list[bool] = []
        self.statistics: list[bool] = []

    def take(self, i: int, known: Forms) -> None:
        """Take one more node over from the forms at another beta."""
        self.values.append(known.values[i])
        self.curved.append(known.curved[i])
        self.follows.append(known.follows[i])
        self.keyed.append(known.changes[i])
        self.statistics.append(known.statistics[i])

    def add(self, i: int, node: Node) -> None:
        """Derive the form of one more node."""
        self.curved.append(False)
        self.statistics.append(False)
        value = self._value(i, node)
        keyed = self._keyed(value)
        fixed = not any(v.varies for v in value)
        self.values.append(value)
        self.keyed.append(keyed)
        self.follows.append(keyed or (fixed and any(self.follows[a] for a in node.args)))

    def _value(self, i: int, node: Node) -> Value:
        if node.op == "input":
            return self._input(str(node.attrs["name"]))
        if node.op == "const":
            return (number(float(node.attrs["value"])),)
        if node.op == "size":
            return (number(64.0),)
        operands = [self.values[a] for a in node.args]
        if self.graph.types[i].is_number:
            return (number(float(compute(node.op, *(v[0].constant for v in operands)))),)
        rule = _RULES.get(node.op)
        if node.op in _ENTRIES and (self._per_item(i) or not self._over_batch(node)):
            return operands[0]
        value = rule(node, operands) if rule is not None else None
        if value is not None and 0 < len(value) <= MOST_ALTERNATIVES:
            return value
        return self._other(i, node, operands)

    def _input(self, name: str) -> Value:
        if name not in self.names:
            return (number(self.beta),)
        unit = [0.0] * 4
        unit[self.names.index(name)] = 1.0
        return (Linear(tuple(unit)),)  # type: ignore[arg-type]

    def _other(self, i: int, node: Node, operands: Sequence[Value]) -> Value:
        """The form that refers to the node itself."""
        if not operands:
            return (Linear(others=((self.same[i], 1.0),)),)
        keyed = any(self.keyed[a] for a in node.args)
        if keyed and node.op in _STATISTICS and self._over_batch(node) and not self._per_item(i):
            bent = any(self.curved[n] for value in operands for v in value for n, _ in v.others)
            keyed = (bent or any(len(value) > 1 for value in operands)) and node.op in _SELECTING
            self.statistics[i] = not keyed
        self.curved[i] = keyed
        return (Linear(others=((self.same[i], 1.0),)),)

    def _keyed(self, value: Value) -> bool:
        curved = self.curved
        for v in value:
            first, second = v.shift
            if first or second or not v.finite or (v.others and any(curved[n] for n, _ in v.others)):
                return True
        return False

    def _per_item(self, i: int) -> bool:
        """Whether a value has entries for the items of the batch: no statistic of it, but perhaps one of copies of each item."""
        return any(d.constant is None for d in self.graph.types[i].dims)

    def _over_batch(self, node: Node) -> bool:
        dims = self.graph.types[node.args[0]].dims
        if not dims:
            return False
        dim = node.attrs.get("dim")
        axes = range(len(dims)) if dim is None else (d % len(dims) for d in (dim if isinstance(dim, tuple) else (dim,)))
        return any(dims[axis].constant is None for axis in axes)


_Rule = Callable[[Node, Sequence[Value]], Value | None]


def _sums(sign: float) -> _Rule:
    return lambda node, v: distinct(a.plus(b.times(sign)) for a, b in _pairs(v[0], v[1]))


def _pairs(a: Value, b: Value) -> Iterable[tuple[Linear, Linear]]:
    return product(a, b) if len(a) * len(b) <= MOST_ALTERNATIVES**2 else ()


def _constants(value: Value) -> list[float] | None:
    """The numbers that a value may have, if all its alternatives are constants; else None."""
    if any(v.varies for v in value):
        return None
    return [v.constant for v in value]


def _multiplied(node: Node, v: Sequence[Value]) -> Value | None:
    for one, other in ((v[0], v[1]), (v[1], v[0])):
        numbers = _constants(one)
        if numbers is not None:
            return (
                distinct(x.times(k) for x, k in product(other, numbers)) if len(other) * len(numbers) < 2000 else None
            )
    return None


def _divided(node: Node, v: Sequence[Value]) -> Value | None:
    numbers = _constants(v[1])
    if numbers is None or 0.0 in numbers:
        return None
    return distinct(x.times(1.0 / k) for x, k in product(v[0], numbers))


def _with(*constants: float) -> _Rule:
    """The rule of an operation whose result is its operand or one of these constants."""
    return lambda node, v: distinct([*v[0], *map(number, constants)])


def _and_attributes(*names: str) -> _Rule:
    return lambda node, v: distinct([*v[0], *(number(float(node.attrs[n])) for n in names)])


def _shrunk(node: Node, v: Sequence[Value]) -> Value:
    moved = (x.plus(number(s * float(node.attrs["lambd"]))) for x in v[0] for s in (-1.0, 1.0))
    return distinct([number(0.0), *moved])


def _lerped(node: Node, v: Sequence[Value]) -> Value | None:
    numbers = _constants(v[2])
    if numbers is None:
        return None
    return distinct(a.times(1 - w).plus(b.times(w)) for a, b, w in product(v[0], v[1], numbers))


def _united(node: Node, v: Sequence[Value]) -> Value:
    return distinct(x for value in v for x in value)


def _steps(node: Node, v: Sequence[Value]) -> Value:
    return (number(0.0), number(1.0))


def _cast(node: Node, v: Sequence[Value]) -> Value | None:
    if node.attrs["to"] == "float":
        return v[0]
    if node.attrs["to"] == "bool":
        return _steps(node, v)
    numbers = _constants(v[0])
    return None if numbers is None else distinct(number(float(math.trunc(n))) for n in numbers if math.isfinite(n))


def _mapped(node: Node, v: Sequence[Value]) -> Value | None:
    """The operation's results for all combinations of its operands, if they are constants; else None."""
    choices = [_constants(value) for value in v]
    if any(c is None for c in choices) or node.op not in NUMBER_OPERATIONS:
        return None
    made = [float(compute(node.op, *row)) for row in product(*(c or [] for c in choices))]
    return distinct(map(number, made)) if len(made) <= 2000 else None


_FIRST: Final = frozenset(
    {
        "detach", "tensor", "unsqueeze", "squeeze", "reshape", "expand", "transpose", "slice", "select", "flip", "roll",
        "gather", "diagonal", "full", "sort", "nan_to_num",
    }
)  # fmt: skip
"""Operations whose results are entries of their first operand, at other positions."""
_STATISTICS: Final = frozenset(
    {
        "sum", "mean", "var", "std", "median", "quantile", "prod", "norm", "amax", "amin", "max", "min", "logsumexp", "any",
        "all",
    }
)  # fmt: skip
_ENTRIES: Final = frozenset({"amax", "amin", "max", "min", "median"})
_SELECTING: Final = frozenset({"amax", "amin", "max", "min", "logsumexp", "prod", "norm"})
"""Statistics in which one item can outweigh the others."""
_RULES: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys((name for name in NUMBER_OPERATIONS if name in OPERATIONS), _mapped),
    **dict.fromkeys(_FIRST, lambda node, v: v[0]),
    **dict.fromkeys(("cat", "stack", "maximum", "minimum", "clamp_min", "clamp_max"), _united),
    **dict.fromkeys(
        (
            "lt", "le", "gt", "ge", "eq", "ne", "isnan", "isinf", "isfinite", "logical_not", "logical_and", "logical_or",
            "logical_xor", "any", "all", "one_hot",
        ),
        _steps,
    ),
    "add": _sums(1.0),
    "sub": _sums(-1.0),
    "neg": lambda node, v: tuple(x.times(-1.0) for x in v[0]),
    "mul": _multiplied,
    "outer": _multiplied,
    "div": _divided,
    "lerp": _lerped,
    "relu": _with(0.0),
    "relu6": _with(0.0, 6.0),
    "abs": lambda node, v: distinct([*v[0], *(x.times(-1.0) for x in v[0])]),
    "sign": lambda node, v: tuple(map(number, (-1.0, 0.0, 1.0))),
    "leaky_relu": lambda node, v: distinct([*v[0], *(x.times(float(node.attrs["negative_slope"])) for x in v[0])]),
    "hardtanh": _and_attributes("min_val", "max_val"),
    "threshold": _and_attributes("value"),
    "softshrink": _shrunk,
    "hardshrink": _with(0.0),
    "where": lambda node, v: distinct([*v[1], *v[2]]),
    "full_like": lambda node, v: v[1],
    "triu": _with(0.0),
    "tril": _with(0.0),
    "cast": _cast,
}  # fmt: skip
