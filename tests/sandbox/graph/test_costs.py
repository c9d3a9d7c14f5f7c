"""The cost of testing a loss is bounded before anything is computed, and published losses are far below the limit."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from costly import SHAPES, most_costly, repeated

from sandbox import known
from sandbox.execute.evaluate import Evaluator, Points
from sandbox.execute.interpreter import Context, tensor_kernel
from sandbox.graph.costs import price
from sandbox.graph.loss_graph import MAX_COST, MAX_OPERATIONS
from sandbox.graph.nodes import GraphError
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.shapes import ShapeError

COMPUTING = [name for name, operation in OPERATIONS.items() if operation.arity[1]]


def test_published_losses_cost_at_most_a_twentieth_of_the_limit():
    assert max(known.graph(name).cost for name in known.names()) * 20 < MAX_COST


def test_a_loss_of_quantiles_only_is_refused_and_the_message_names_them():
    with pytest.raises(
        GraphError, match=r"at most 2,500 are allowed; \d+% of them are for quantile, which occurs 70"
    ) as error:
        repeated("quantile", "B", 70)
    assert error.value.code == "SBX217"


@pytest.mark.parametrize("name", ["quantile", "stack", "logcumsumexp", "binary_cross_entropy_with_logits", "matmul"])
def test_no_operation_can_be_repeated_beyond_the_cost_limit(name):
    for shape in SHAPES:
        for chained in (False, True):
            graph = most_costly(name, shape, chained=chained)
            if graph is None:
                continue
            assert 0 < graph.cost <= MAX_COST and graph.operations <= MAX_OPERATIONS
            with pytest.raises(GraphError):
                repeated(name, shape, graph.operations + 1, chained=chained)


def test_the_maximum_number_of_simple_operations_is_within_the_cost_limit():
    graph = most_costly("add", "B", chained=True)
    assert graph is not None and graph.operations == MAX_OPERATIONS


@pytest.mark.parametrize(
    ("name", "few", "many"), [("stack", "B,B", "B"), ("sort", "B", "B,64"), ("matmul", "B", "B,B")]
)
def test_an_operation_that_reads_more_costs_more(name, few, many):
    assert _largest_cost(name, few) < _largest_cost(name, many)


def _largest_cost(name, shape):
    """The largest cost of one operation of this name on operands of this shape."""
    graph = repeated(name, shape, 1)
    operands = [tuple(graph.types[a] for a in node.args) for node in graph.nodes]
    steps = zip(graph.nodes, operands, graph.types, strict=True)
    return max(price(name, given, result).cost for node, given, result in steps if node.op == name)


def test_inputs_sizes_and_constants_cost_nothing_and_every_operation_something():
    for name in OPERATIONS:
        graph = known.graph("dpo")
        assert (price(name, (graph.types[0],) * 2, graph.types[0]).cost == 0) == (name in ("input", "size", "const"))


@pytest.mark.parametrize("name", COMPUTING)
def test_every_operation_is_computed_for_all_batches_at_once(name, monkeypatch):
    """If torch.vmap falls back to one batch at a time, an operation costs ten times its value in the table."""
    monkeypatch.setattr("sandbox.execute.batched.warnings.simplefilter", lambda *a, **k: None)
    rng = np.random.default_rng(1)
    points = Points(tuple(-np.exp(rng.normal(3, 1, (4, 24)))), np.full((1, 24), 0.1), (8, 8, 8))
    tensors = [torch.from_numpy(t.reshape(3, 8)) for t in points.tensors]
    for shape in ("B", "B,B", "B,64"):
        try:
            graph = repeated(name, shape, 1)
            evaluator = Evaluator(graph)
        except (GraphError, ShapeError):
            continue
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*performance drop.*")
            (value,) = evaluator._stacked((graph.output,), tensors, [[0.1] * 3])
        assert value.shape == (3, 8)


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "nearest", "midpoint"])
def test_a_quantile_is_torchs_own_bit_for_bit(how):
    rng = torch.Generator().manual_seed(4)
    context, kernel = Context(torch.float32, torch.device("cpu"), {}), tensor_kernel("quantile")
    for dtype, q in itertools.product((torch.float32, torch.float64), (0.0, 0.1, 1 / 3, 0.5, 1.0)):
        for dim, keepdim in ((None, False), (None, True), (0, False), (-1, True)):
            x = torch.randn((5, 7), generator=rng, dtype=dtype)
            if q == 0.1:
                x[2, 3] = float("nan")
            x.requires_grad_()
            ours = kernel(context, {"q": q, "dim": dim, "keepdim": keepdim, "interpolation": how}, x)
            theirs = torch.quantile(x, q, dim=dim, keepdim=keepdim, interpolation=how)
            assert ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=0, atol=0, equal_nan=True)
            gradients = [torch.autograd.grad(v.sum(), x)[0] for v in (ours, theirs)]
            assert torch.allclose(*gradients, equal_nan=True)
