"""The canonical hash: equal for rewritten losses, different for slightly different ones, linear time with shared terms."""

import pytest
from in_process import in_time
from written import written

from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError, make_node
from sandbox.identity.canonical import canonical_hash

REWRITES = {
    "logistic": [
        "F.softplus(-x)",
        "-F.logsigmoid(x)",
        "F.softplus(-1 * x)",
        "0 + F.softplus(-(rho * beta)) * 1.0",
        "F.softplus(-((pc - rc) - (pr - rr)) * beta)",
        "F.softplus(beta * (pr - pc + rc - rr))",
        "F.softplus(rho * -beta)",
        "torch.zeros_like(x) + F.softplus(-x)",
        "torch.ones_like(x) * F.softplus(-x / 1.0)",
        "F.softplus(x.neg().float())",
    ],
    "hinge": ["torch.relu(1 - x)", "F.relu(-x + 1)", "torch.relu(-(x - 1))", "(1 - beta * rho).relu()"],
    "ipo": [
        "(rho - 1 / (2 * beta)) ** 2",
        "torch.square(rho - 0.5 / beta)",
        "(0.5 / beta - rho) * (0.5 / beta - rho)",
        "(rho - 1 / (beta * 2)).pow(2)",
        "F.mse_loss(rho, torch.full_like(rho, 0.5 / beta), reduction='none')",
    ],
    "blend": [
        "0.5 * torch.exp(-x) + 0.5 * F.softplus(-x)",
        "(torch.exp(-x) + F.softplus(-x)) / 2",
        "0.5 * F.softplus(-x) + torch.exp(-x) / 2",
    ],
    "decay": [
        "0.9 * (1 - 0.5 * (rho < 0).float()) * -F.logsigmoid(x)",
        "(0.9 - 0.45 * (0 > rho)) * F.softplus(-x)",
        "-0.9 * F.logsigmoid(x) * (1 - (rho < 0).float() * 0.5)",
    ],
    "weights": ["x.detach() * F.softplus(-x)", "F.softplus(-x) * x.detach().detach()"],
    "reference": ["F.softplus(-x - (rc - rr).detach())", "F.softplus(-x - rc + rr)"],
    "odd": ["torch.tanh(-x)", "-torch.tanh(x)", "torch.tanh(beta * (pr - pc + rc - rr))"],
    "even": ["torch.cos(x) - torch.tanh(x)", "torch.cos(-x) + torch.tanh(-x)"],
    "constants": [
        "F.softplus(-math.sqrt(2.0) * x)",
        "F.softplus(-x * 1.4142135623730951)",
        "F.softplus(-(2**0.5) * x)",
    ],
}


@pytest.mark.parametrize("name", REWRITES)
def test_rewrites_have_one_hash(name):
    assert len({canonical_hash(written(e)) for e in REWRITES[name]}) == 1


NEAR_MISSES = [
    "F.softplus(-x)",
    "F.softplus(-1.02 * x)",
    "F.softplus(x)",
    "1.01 * F.softplus(-x)",
    "F.softplus(-x) + 1",
    "F.softplus(-x) + (x - x)",
    "F.softplus(-x) + 0 * x",
    "F.softplus(-beta * ((pc - rc) - (pr - rr).detach()))",
    "F.softplus(-x.detach())",
    "torch.relu(-x)",
    "(-x).clamp(min=0)",
    "torch.maximum(-x, torch.zeros_like(x))",
    "F.softplus(-rho)",
    "F.softplus(-x, beta=2)",
    "F.softplus(-x.mean()) + 0 * x",
    "torch.where(x < 0, -x, x)",
    "torch.where(x <= 0, -x, x)",
    "torch.where(x < 0, x, -x)",
    "x.var() * x",
    "x.var(correction=0) * x",
    "(x + 1e30) - 1e30",
    "x",
    # float32 rounds the margin to a quarter of a nat
    "F.softplus(-beta * ((rho + 4194303.0) - 4194303.0))",
    "torch.where(((rho + 4000000.0) - 4000000.0) - rho > 0, F.softplus(-x), F.relu(2 - x))",
    "torch.where(rho - rho > 0, F.softplus(-x), F.relu(2 - x))",
    # arithmetic on beta has the digits of a double
    "F.softplus(-x) * (math.sin(beta * 1.0000000000001 * 1e13) * 0.4 + 1)",
    "F.softplus(-x) * (math.sin(beta * 1.0000000000002 * 1e13) * 0.4 + 1)",
    "F.softplus(-(3 * x if beta * 1.0000000000001 > beta * 1.0000000000002 else x))",
    "F.softplus(-(3 * x if beta * 1.0000000000002 > beta * 1.0000000000001 else x))",
]


def test_near_misses_have_other_hashes():
    assert len({canonical_hash(written(e)) for e in NEAR_MISSES}) == len(NEAR_MISSES)


def test_sums_are_not_regrouped_where_float32_would_lose_terms():
    lost = canonical_hash(written("F.softplus(-((torch.exp(-x) + x) - torch.exp(-x)))"))
    assert lost != canonical_hash(written("F.softplus(-((torch.exp(-x) - torch.exp(-x)) + x))"))


def test_known_losses_differ_and_hashes_carry_their_version():
    hashes = [canonical_hash(known.graph(n)) for n in known.names()]
    assert len(set(hashes)) == len(hashes)
    assert all(h.startswith("g1:") for h in hashes)


def test_hash_does_not_depend_on_the_order_of_nodes_or_on_dead_ones():
    graph = known.graph("lrml")
    dead = make_node("exp", (0,))
    nodes = (graph.nodes[0], dead, *_shifted(graph.nodes[1:], 1))
    assert canonical_hash(VerifiedGraph(graph.contract, nodes, graph.output + 1)) == canonical_hash(graph)


def _shifted(nodes, by):
    return tuple(make_node(n.op, (a + by if a > 0 else a for a in n.args), n.attrs) for n in nodes)


@pytest.mark.parametrize("step", ["y = y * y", "y = y + 0.5 * y", "y = torch.logaddexp(y, y + rho)"])
def test_exponential_sharing_takes_linear_time(step):
    graph = written("\n".join(["y = x", *[step] * 60, "y"]))
    with in_time(240):  # doubling at each of 60 steps would take for ever
        canonical_hash(graph)


def test_whole_powers_that_would_fill_memory_are_not_computed():
    nodes = [make_node("const", (), {"value": 7}), make_node("const", (), {"value": 2**40})]
    nodes += [
        make_node("pow", (0, 1)),
        make_node("input", (), {"name": "policy_chosen_logps"}),
        make_node("mul", (3, 2)),
    ]
    with pytest.raises(GraphError, match="no value of type int"):
        VerifiedGraph("preference", tuple(nodes), 4)
