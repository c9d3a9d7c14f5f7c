"""What is proved of a graph without computing holds when it is computed."""

import random

import numpy as np
import pytest
import torch
from random_graphs import random_graph
from written import written

from sandbox import known
from sandbox.execute.evaluate import CannotCompute, Evaluator
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.dataflow import is_pointwise, learning, lift_scalars, touched
from sandbox.graph.printers import to_python
from sandbox.numeric.measure import inputs

torch.set_num_threads(1)


@pytest.mark.parametrize("name", known.names("preference"))
def test_the_losses_that_look_across_the_batch_are_known(name):
    coupled = name in {"aot", "aot_unpaired", "aql", "aqfl", "dbaql", "kto_pair"}
    assert is_pointwise(known.graph(name)) is not coupled


@pytest.mark.parametrize(
    ("expression", "pointwise"),
    [
        ("torch.stack([x, -x]).mean(0)", True),
        ("torch.stack([x, -x], dim=1).logsumexp(dim=1)", True),
        ("x.unsqueeze(1).squeeze(1)", True),
        ("torch.where(x > 0, x, torch.full_like(x, beta))", True),
        ("x - x.mean() + x.mean()", False),
        ("x / x.shape[0]", False),
        ("x.flip(0)", False),
        ("x * torch.arange(x.shape[0])", False),
        ("(x.unsqueeze(0) - x.unsqueeze(1)).diagonal()", False),
        ("torch.cat([x, x]).mean() + x", False),
    ],
)
def test_pointwise(expression, pointwise):
    assert is_pointwise(written(expression)) is pointwise


def test_pointwise_graphs_do_not_mix_items():
    rng = random.Random(11)
    points = inputs.preference_probes(3).groups["odd"]
    order = np.random.default_rng(0).permutation(len(points))
    proven = 0
    for _ in range(300):
        graph = random_graph(rng, operations=8)
        if not is_pointwise(graph):
            continue
        proven += 1
        try:
            evaluator = Evaluator(graph)
            whole, shuffled, alone = (evaluator(p) for p in (points, points.take(order), points.take(slice(2, 3))))
        except CannotCompute:
            continue
        np.testing.assert_allclose(whole.loss[order], shuffled.loss, rtol=1e-9, err_msg=to_python(graph))
        np.testing.assert_allclose(whole.loss[2:3], alone.loss, rtol=1e-9, err_msg=to_python(graph))
    assert proven > 50


def test_a_beta_for_each_item_gives_what_one_beta_gives():
    rng = random.Random(12)
    points = inputs.preference_probes(5).only(("near", "sharp", "odd")).points
    lifted = 0
    for _ in range(300):
        graph = random_graph(rng, operations=8)
        if lift_scalars(graph) is None:
            continue
        lifted += 1
        together = Evaluator(graph)
        loss = compile_loss(graph)
        try:
            one = together(points).loss
        except CannotCompute:
            continue
        for span in points.spans:
            batch = points.take(span)
            other = loss(*map(torch.from_numpy, batch.tensors), float(batch.scalars[0, 0])).detach().numpy()
            np.testing.assert_allclose(one[span], other, rtol=1e-7, atol=1e-12, err_msg=to_python(graph))
    assert lifted > 50


def test_learning_and_touched():
    graph = written("x.detach() * (rc - rr) + F.softplus(-x) * (x > 0)")
    learns, depends = learning(graph), touched(graph)
    for node, learnt, dependent in zip(graph.nodes, learns, depends, strict=True):
        if node.op == "detach":
            assert dependent and not learnt
        if node.op == "softplus":
            assert dependent and learnt
    assert learns[graph.output] and depends[graph.output]
