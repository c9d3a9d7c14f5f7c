"""Properties that static analysis proves of a graph hold when the graph is computed."""

import random

import numpy as np
import pytest
import torch
from random_graphs import random_graph
from written import written

from sandbox import known
from sandbox.execute.evaluate import CannotCompute, Evaluator
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.dataflow import depends_on_trainable, is_pointwise, lift_scalars
from sandbox.graph.printers import to_python
from sandbox.numeric.measure import inputs


@pytest.mark.parametrize("name", known.names("preference"))
def test_the_known_losses_that_are_not_pointwise(name):
    coupled = name in {"aot", "aot_unpaired", "aql_found", "aql_repository", "aqfl", "dbaql", "kto_pair"}
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


def test_a_beta_per_item_gives_the_same_as_one_beta():
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


def test_depends_on_trainable_counts_detached_terms_too():
    graph = written("x.detach() * (rc - rr) + F.softplus(-x) * (x > 0)")
    depends = dict(zip((node.op for node in graph.nodes), depends_on_trainable(graph), strict=True))
    assert depends["detach"] and depends["softplus"] and depends["gt"] and not depends["const"]
    reference = [graph.nodes.index(n) for n in graph.nodes if n.attrs.get("name") == "reference_chosen_logps"]
    assert not any(depends_on_trainable(graph)[i] for i in reference)
