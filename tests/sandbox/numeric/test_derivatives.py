"""A loss is refused exactly if torch cannot differentiate it: every operation, printed, with policy values in every operand."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator

import pytest
import torch
from random_graphs import _attr
from written import written

from sandbox.contracts.contract import contract_named
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import GraphError, Node, make_node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.printers.python import to_python
from sandbox.graph.shapes import ShapeError, infer
from sandbox.graph.types import Dim, Type
from sandbox.numeric import run
from sandbox.numeric.checks.derivatives import check_derivatives

CONTRACT = contract_named("preference")
NOT_DIFFERENTIABLE = ("derivative", "differentiable")


class _Pool:
    """Nodes to operate on: vectors, probabilities, a column, matrices, indices, masks, numbers; most of them of the policy."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.types: list[Type] = []
        pc, pr, rc, rr, beta = (self.add("input", name=a.name) for a in CONTRACT.arguments)
        self.x, self.y = self.add("sub", pc, rc), self.add("sub", pr, rr)
        p, q = self.add("sigmoid", self.x), self.add("sigmoid", self.y)
        column, row = self.add("unsqueeze", self.x, dim=1), self.add("unsqueeze", self.y, dim=0)
        others = [self.add("argsort", rc, dim=-1, descending=False), self.add("gt", rc, rr), beta]
        others += [self.add("const", value=v) for v in (2.0, 0.5)] + [self.add("sub", rc, rr)]
        two = [self.add("stack", self.x, self.y, p, dim=1), self.add("sub", column, row)]
        self.all = [self.x, self.y, p, q, column, *two, self.add("mean", self.x, dim=None, keepdim=False), *others]

    def add(self, op: str, *args: int, **attrs: object) -> int:
        node = make_node(op, args, attrs)
        self.types.append(infer(OPERATIONS[op], [self.types[a] for a in args], node.attrs, CONTRACT))
        self.nodes.append(node)
        return len(self.nodes) - 1

    def finished(self, i: int) -> LossGraph:
        """A loss with what node i gives somewhere in it."""
        if self.types[i].dtype != "float":
            i = self.add("cast", i, to="float")
        if self.types[i].shape != (Dim.of("B"),):
            if self.types[i].shape != ():
                i = self.add("sum", i, dim=None, keepdim=False)
            i = self.add("add", self.add("mul", self.add("detach", self.x), self.add("const", value=0.0)), i)
        loss = self.add("softplus", self.add("neg", self.x), beta=1.0, threshold=20.0)
        return LossGraph.from_nodes("preference", self.nodes, self.add("add", i, loss))


def _losses(op: str, count: int) -> Iterator[LossGraph]:
    """Losses with one operation of this name, on operands that fit."""
    rng = random.Random(op)
    operation = OPERATIONS[op]
    for _ in range(count):
        pool = _Pool()
        operands = [rng.choice(pool.all) for _ in range(rng.randint(operation.arity[0], min(operation.arity[1], 3)))]
        try:
            i = pool.add(op, *operands, **{k: _attr(rng, a, "preference") for k, a in operation.attrs.items()})
            if not pool.types[i].is_number:
                yield pool.finished(i)
        except (GraphError, ShapeError):
            continue


def _error(loss) -> str:
    """What torch says as it differentiates a loss at five pairs; "" where it does."""
    drawn = torch.Generator().manual_seed(3)
    tensors = [torch.randn(5, generator=drawn) - 2 for _ in range(4)]
    for tensor in tensors[:2]:
        tensor.requires_grad_()
    try:
        loss(*tensors, 0.3).sum().backward()
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        return str(error)
    return ""


def _printed(graph: LossGraph):
    scope: dict[str, object] = {}
    exec(to_python(graph, name="loss"), scope)
    return scope["loss"]


@pytest.mark.parametrize("op", [o for o in OPERATIONS if o not in ("input", "const", "size")])
def test_a_loss_is_refused_exactly_if_torch_cannot_differentiate_it(op: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for graph in _losses(op, 30):
            error = _error(_printed(graph))
            cannot = any(word in error for word in NOT_DIFFERENTIABLE)
            told = bool(check_derivatives(graph))
            if cannot and not told:  # then computing the graph says so itself
                assert any(word in _error(compile_loss(graph)) for word in NOT_DIFFERENTIABLE), (
                    to_python(graph),
                    error,
                )
            elif told and not error:
                raise AssertionError(f"refused for nothing:\n{to_python(graph)}")


@pytest.mark.parametrize("op", [name for name, o in OPERATIONS.items() if o.gradient.undefined])
def test_each_operation_without_a_derivative_occurs(op: str) -> None:
    found = [graph for graph in _losses(op, 60) if check_derivatives(graph)]
    assert any(any(w in _error(_printed(g)) for w in NOT_DIFFERENTIABLE) for g in found)


@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("F.softplus(-x) + 0.01 * (x // 2)", True),
        ("F.softplus(-x) + 0.01 * torch.floor(x // 2)", True),
        ("F.softplus(-x) + 0.01 * (2 // (x.abs() + 1))", True),
        ("F.softplus(-x) + 0.01 * torch.where(x > 1e9, x // 2, x)", True),
        ("F.softplus(-x) + 0.01 * (x // 2).detach()", False),
        ("F.softplus(-x) + 0.01 * (x.detach() // 2)", False),
        ("F.softplus(-x) + 0.01 * torch.floor(x / 2)", False),
        ("F.softplus(-x) + 0.01 * torch.round(x)", False),
        ("F.softplus(-x) * torch.where((x // 2) > 0, 1.0, 2.0)", False),
        ("F.softplus(-x) + 0.01 * (x // 2).long()", False),
        ("F.softplus(-x) + 0.01 * torch.full_like(x // 2, 1.0)", False),
        ("F.softplus(-x) + 0.001 * (rc // 2)", False),
        ("F.softplus(-x * (1 + beta // 2))", False),
        ("F.soft_margin_loss(torch.ones_like(x), x, reduction='none')", True),
        ("F.soft_margin_loss(x, torch.ones_like(x), reduction='none')", False),
    ],
)
def test_only_operations_on_the_path_of_the_gradient_count(expression: str, refused: bool) -> None:
    graph = written(expression)
    assert bool(check_derivatives(graph)) is refused
    assert bool(_error(_printed(graph))) is refused
    assert ("SBX301" in {f.rule for f in run.run(graph, seed=1).findings}) is refused
