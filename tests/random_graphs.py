"""Random verified graphs over all operations, for property tests."""

import math
import random

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import GraphError, Node, make_node
from sandbox.graph.operations import OPERATIONS, Attr
from sandbox.graph.shapes import ShapeError, infer
from sandbox.graph.types import Dim, Type

NUMBERS = (0.0, 0.5, 1.0, -1.0, 2.0, 0.1, 3.0)
SAFE_ON_NUMBERS = ("add", "mul", "neg", "exp", "tensor", "full")
ONLY_FLOATS = ("min", "max", "median", "cross_entropy", "nll_loss")
"""Operations that source must not apply to masks and indices, although graphs may."""


def random_graph(rng: random.Random, contract: str = "preference", operations: int = 12) -> LossGraph:
    """A graph of up to `operations` random operations whose result is one float per item."""
    while True:
        nodes, types = _sources(contract)
        for _ in range(operations):
            _grow(rng, contract, nodes, types)
        finished = _finished(contract, nodes, types)
        if finished is not None:
            return finished


def _sources(contract: str) -> tuple[list[Node], list[Type]]:
    names = [a.name for a in contract_named(contract).arguments]
    nodes = [make_node("input", (), {"name": n}) for n in names]
    nodes += [make_node("const", (), {"value": v}) for v in (1.0, -0.5, 2)]
    nodes += [make_node("size", (), {"symbol": s}) for s in contract_named(contract).symbols]
    return nodes, [infer(OPERATIONS[n.op], [], n.attrs, contract_named(contract)) for n in nodes]


def _grow(rng: random.Random, contract: str, nodes: list[Node], types: list[Type]) -> None:
    """Appends one operation that type-checks, or nothing after several failed attempts."""
    names = [o for o in OPERATIONS if o not in ("input", "const", "size")]
    for _ in range(60):
        op = OPERATIONS[rng.choice(names)]
        count = rng.randint(op.arity[0], min(op.arity[1], 3))
        args = [rng.randrange(len(nodes)) if rng.random() < 0.5 else len(nodes) - 1 for _ in range(count)]
        try:
            node = make_node(op.name, args, {k: _attr(rng, a, contract) for k, a in op.attrs.items()})
            result = infer(op, [types[a] for a in args], node.attrs, contract_named(contract))
        except (GraphError, ShapeError):
            continue
        if args and all(types[a].is_number for a in args) and (op.name not in SAFE_ON_NUMBERS or rng.random() < 0.8):
            continue
        if op.name in ONLY_FLOATS and types[args[0]].dtype != "float":
            continue
        nodes.append(node)
        types.append(result)
        return


def _finished(contract: str, nodes: list[Node], types: list[Type]) -> LossGraph | None:
    batch = (Dim.of("B"),)
    for i in range(len(nodes) - 1, len(contract_named(contract).arguments) + 5, -1):
        if types[i].dtype == "float" and types[i].shape == batch:
            return LossGraph.from_nodes(contract, nodes, i)
        if types[i].dtype == "float" and types[i].shape == ():
            first = make_node("mul", (0, i)) if contract == "preference" else None
            if first is not None:
                return LossGraph.from_nodes(contract, [*nodes, first], len(nodes))
    return None


def _attr(rng: random.Random, spec: Attr, contract: str):
    if spec.default is not ... and rng.random() < 0.5:
        return spec.default
    match spec.kind:
        case "number":
            low = spec.low if spec.low is not None else -2.0
            return rng.choice([v for v in (*NUMBERS, 0.25) if low <= v <= (spec.high if spec.high is not None else 9)])
        case "int":
            return rng.randint(int(spec.low or 0), min(int(spec.high or 1), 2))
        case "axis" | "axes":
            return rng.choice((0, -1, 1))
        case "bool":
            return rng.random() < 0.5
        case "shape":
            return rng.choice((("B",), ("B", 1), (1, "B"), (-1,), ("B", "B"), ()))
        case "symbol":
            return rng.choice(contract_named(contract).symbols)
        case "choice":
            return rng.choice(spec.choices)
    return spec.default


# --- graphs of the whole table ------------------------------------------------------------------------------------------

CONSTANTS = (1.0, -0.5, 2, 0, 0.0, -0.0, True, False, -1, 3, 1e-8, 1e10, 1e300, -1e300, math.inf, -math.inf, 2**53, -3, 0.1, 1 / 3,
             100, 1000.0, -2.0)  # fmt: skip
BOUNDS = (0.3, 1e-6, 1e6, -1e6, 1e-3, -3.25, 20.0, 2.0, 1.0, 0.0)


def any_graph(rng: random.Random, contract: str = "preference", operations: int = 12) -> LossGraph:
    """A verified graph with unusual parts: arithmetic on all kinds of constants, masks and indices as operands, odd attributes."""
    while True:
        terms = contract_named(contract)
        nodes = [make_node("input", (), {"name": a.name}) for a in terms.arguments]
        nodes += [make_node("const", (), {"value": v}) for v in rng.sample(CONSTANTS, 4)]
        nodes += [make_node("size", (), {"symbol": s}) for s in terms.symbols]
        types = [infer(OPERATIONS[n.op], [], n.attrs, terms) for n in nodes]
        for _ in range(operations):
            _grow_anyhow(rng, contract, nodes, types)
        try:
            finished = _finished(contract, nodes, types)
        except GraphError:  # an undefined number, such as log(0)
            continue
        if finished is not None:
            return finished


def _grow_anyhow(rng: random.Random, contract: str, nodes: list[Node], types: list[Type]) -> None:
    names = [o for o in OPERATIONS if o not in ("input", "const", "size")]
    for _ in range(60):
        op = OPERATIONS[rng.choice(names)]
        count = rng.randint(op.arity[0], min(op.arity[1], 3))
        args = [rng.randrange(len(nodes)) if rng.random() < 0.5 else len(nodes) - 1 for _ in range(count)]
        if op.scalar and rng.random() < 0.2:
            args = [rng.choice([i for i, t in enumerate(types) if t.is_number]) for _ in range(count)]
        try:
            node = make_node(op.name, args, {k: _odd_attr(rng, a, contract) for k, a in op.attrs.items()})
            result = infer(op, [types[a] for a in args], node.attrs, contract_named(contract))
        except (GraphError, ShapeError):
            continue
        nodes.append(node)
        types.append(result)
        return


def _odd_attr(rng: random.Random, spec: Attr, contract: str):
    if rng.random() < 0.6:
        return _attr(rng, spec, contract)
    low, high = (-1e6 if spec.low is None else spec.low), (1e6 if spec.high is None else spec.high)
    match spec.kind:
        case "number":
            return rng.choice([v for v in BOUNDS if low <= v <= high])
        case "int":
            return rng.randint(max(int(low), -3), min(int(high), 3))
        case "axis" | "axes":
            return rng.choice(
                (-2, 2, *([None] if spec.default is None else []), *([(0, 1)] if spec.kind == "axes" else []))
            )
    return _attr(rng, spec, contract)
