"""A shorter graph of the same function, for people and prompts. No torch.

Shared terms once, dead terms gone, arithmetic on constants done, x * 1, x + 0, x / 1, -(-x), a + (-b), a - (-b), x ** 1,
numbers for tensors that are filled with them, detach of what does not learn. Not x * 0 and x - x, which are NaN where x is
infinite.

What is kept: losses in float32 and float64 on a CPU are equal bit for bit, at infinities and NaN too. There are two exceptions:
the sign of a zero and what follows from it (x + 0 is x, though -0 + 0 is 0, which division and atan2 tell apart), and functions
of parts of a matrix, which torch rounds by how they lie in memory: a column that was copied before is not any more. Gradients
are the same sums, of which shared terms change the order: they differ by rounding. The canonical hash is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.contracts.contract import contract_named
from sandbox.graph.dataflow import touched
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node, make_node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.scalars import constant
from sandbox.graph.shapes import broadcast, infer
from sandbox.graph.types import Type

_NUMBERS_DO: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("add", "sub", "mul", "lt", "le", "gt", "ge", "eq", "ne"), (0, 1)),
    **dict.fromkeys(("div", "clamp_min", "clamp_max"), (1,)),
    "pow": (0,),
}
"""Operands in whose place a number serves as well as a tensor that is filled with it. As the numerator of a quotient and as an
exponent it does not: torch rounds 0.1 / x and x ** 3.0 differently."""


_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "pow", "neg"})


def simplify(graph: VerifiedGraph) -> VerifiedGraph:
    """The simplified graph. Linear time."""
    before = graph.pruned()
    builder = _Builder(before)
    output = builder.output()
    return VerifiedGraph.from_nodes(before.contract, builder.nodes, output)


class _Builder:
    def __init__(self, graph: VerifiedGraph) -> None:
        self.graph = graph
        self.contract = contract_named(graph.contract)
        self.nodes: list[Node] = []
        self.types: list[Type] = []
        self.known: dict[Any, int] = {}

    def output(self) -> int:
        """Rebuild node by node; gives the place of the output."""
        place: list[int] = []
        depends = touched(self.graph)
        for i, node in enumerate(self.graph.nodes):
            args = [place[a] for a in node.args]
            place.append(self._rewritten(node, args, self.graph.types[i], depends[i]))
        return place[self.graph.output]

    def _rewritten(self, node: Node, args: list[int], type_: Type, depends: bool) -> int:
        if node.op in _NUMBERS_DO and not all(self._is_filled(a) or self.types[a].is_number for a in args):
            args = self._unfilled(node, args, type_)
        number = self._folded(node.op, args, type_)
        if number is not None:
            return self._const(number)
        same = self._identity(node, args, type_, depends)
        if same is not None:
            return same
        shorter = self._shorter(node.op, args) if type_.dtype == "float" else None
        if shorter is not None:
            op, operands = shorter
            return self._rewritten(make_node(op, range(len(operands))), operands, type_, depends)
        return self._add(node.op, args, node.attrs)

    def _shorter(self, op: str, args: Sequence[int]) -> tuple[str, list[int]] | None:
        """-1 * x as -x, and sums with a negated term as differences, of floating numbers."""
        floating = [self.types[a].dtype == "float" for a in args]
        negated = [
            self.nodes[a].args[0] if self.nodes[a].op == "neg" and is_float else None
            for a, is_float in zip(args, floating, strict=True)
        ]
        match op, negated:
            case "mul", _ if (one := self._other(args, -1)) is not None and self.types[one].dtype == "float":
                return "neg", [one]
            case "add", [_, int() as b]:
                return "sub", [args[0], b]
            case "add", [int() as a, _]:
                return "sub", [args[1], a]
            case "sub", [_, int() as b]:
                return "add", [args[0], b]
        return None

    def _identity(self, node: Node, args: Sequence[int], type_: Type, depends: bool) -> int | None:
        """The operand that the node is equal to, if there is one."""
        found: int | None = None
        if node.op in _ARITHMETIC and type_.dtype != "float":
            return None  # integers stay as they are: the canonical hash does no arithmetic on them
        match node.op:
            case "add":
                found = self._other(args, 0)
            case "mul":
                found = self._other(args, 1)
            case "sub" if self._is(args[1], 0):
                found = args[0]
            case "div" | "pow" if self._is(args[1], 1):
                found = args[0]
            case "neg" if self.nodes[args[0]].op == "neg":
                found = self.nodes[args[0]].args[0]
            case "detach" if not depends or self.nodes[args[0]].op == "detach":
                found = args[0]
            case "where" if args[1] == args[2]:
                found = args[1]
            case "cast" | "tensor" | "reshape" | "expand":
                found = args[0]
        return found if found is not None and self.types[found] == type_ else None

    def _folded(self, op: str, args: Sequence[int], type_: Type) -> Any:
        if not type_.is_number or not args or any(self.nodes[a].op != "const" for a in args):
            return None
        return constant(op, type_.dtype, [self.nodes[a].attrs["value"] for a in args])

    def _unfilled(self, node: Node, args: list[int], type_: Type) -> list[int]:
        """The operands with the numbers in place of filled tensors, where another one alone gives the result its type."""
        out = list(args)
        for i in _NUMBERS_DO[node.op]:
            if not self._is_filled(out[i]):
                continue
            tensors = [self.types[b] for j, b in enumerate(out) if j != i and not self.types[b].is_number]
            if broadcast([t.dims for t in tensors]) == type_.dims and {t.dtype for t in tensors} == {"float"}:
                out[i] = self.nodes[out[i]].args[-1]
        return out

    def _is_filled(self, index: int) -> bool:
        return self.nodes[index].op in ("full", "full_like") and self.types[index].dtype == "float"

    def _other(self, args: Sequence[int], value: float) -> int | None:
        """The operand beside one that is the constant `value`."""
        for mine, other in (args, args[::-1]):
            if self._is(mine, value):
                return other
        return None

    def _is(self, index: int, value: float) -> bool:
        node = self.nodes[index]
        return node.op == "const" and not isinstance(node.attrs["value"], bool) and bool(node.attrs["value"] == value)

    def _const(self, value: Any) -> int:
        return self._add("const", [], {"value": value})

    def _add(self, op: str, args: Sequence[int], attrs: Mapping[str, Any] | None = None) -> int:
        node = make_node(op, args, attrs)
        key = (op, node.args, tuple((k, type(v), v) for k, v in node.attrs.items()))
        if key not in self.known:
            self.known[key] = len(self.nodes)
            self.nodes.append(node)
            self.types.append(infer(OPERATIONS[op], [self.types[a] for a in args], node.attrs, self.contract))
        return self.known[key]
