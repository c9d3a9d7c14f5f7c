"""Betas at which a loss changes abruptly are found in its arithmetic on beta."""

import pytest
from written import written

from sandbox import known
from sandbox.execute.evaluate import Evaluator
from sandbox.graph.loss_graph import verify
from sandbox.numeric.edges.beta_edges import MOST, beta_edges

EDGES = {
    "a bump": (0.3, "F.softplus(-(1 - 2 * math.exp(-1e4 * (beta - 0.3) ** 2)) * x)"),
    "a narrower bump": (0.37, "F.softplus(-x) * (1 - 4 / (1 + 1e10 * (beta - 0.37) ** 2))"),
    "a kink": (0.3, "s = 100 * abs(beta - 0.3)\nF.softplus(-x) + s * rho"),
    "one value": (0.25, "F.softplus(-x if beta != 0.25 else x)"),
    "a condition": (1.2, "F.softplus(-x * (1 if beta < 1.2 else -1))"),
    "a condition on a tensor": (1.2, "F.softplus(-x * torch.where(torch.full_like(x, beta) > 1.2, -1.0, 1.0))"),
    "beta plus nothing": (0.109, "b = pc - pc + beta\nF.softplus(torch.where((b > 0.109) & (b < 0.1091), x, -x))"),
    "beta times one": (
        0.109,
        "b = torch.exp(pc - pc) * beta\nF.softplus(torch.where((b > 0.109) & (b < 0.1091), x, -x))",
    ),
    "a number of the batch": (
        0.109,
        "b = (x - x).mean() + beta\nF.softplus(torch.where((b > 0.109) & (b < 0.1091), x, -x))",
    ),
    "a logarithm that some betas lack": (
        0.109,
        "b = torch.log(pc - pc + beta - 0.05)\nF.softplus(torch.where(b > math.log(0.059), x, -x))",
    ),
    "a ratio": (
        0.109,
        "b = (x * x + 1) / (rho * rho + 1 / (beta * beta))\nF.softplus(torch.where(b.sqrt() > 0.109, x, -x))",
    ),
    "a bound": (0.05, "F.softplus(-max(beta, 0.05) * rho)"),
    "a steep step": (0.4, "F.softplus(-x * torch.sigmoid(torch.full_like(x, 1e5 * (beta - 0.4))))"),
    "rounding": (0.5, "F.softplus(-x * (2 - 3 * math.floor(2 * beta)))"),
}


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_in_beta_is_found(name: str) -> None:
    beta, expression = EDGES[name]
    assert any(abs(found - beta) < 1e-3 * beta for found in beta_edges(Evaluator(verify(written(expression)))))


@pytest.mark.parametrize("name", known.names("preference"))
def test_published_losses_have_none(name: str) -> None:
    assert beta_edges(Evaluator(known.graph(name))) == ()


VECTORS = {
    "constants": "F.softplus(-x) * ((beta * rc).unsqueeze(1) > torch.tensor([-1.0, -2.0, -3.5, -4.0])).float().mean(1)",
    "constants and pairs": "torch.relu(torch.tensor([0.5, 1.0, 1.5, 2.0]) - x.unsqueeze(1)).mean(1)",
    "all pairs": "F.softplus(-x) * (1 + (x.unsqueeze(0) < x.unsqueeze(1) + beta).float().mean(1))",
    "a statistic": "F.softplus(-x) * torch.where(x < x.mean() * beta, 1.0, 1.1)",
}


@pytest.mark.parametrize("name", VECTORS)
def test_conditions_of_any_shape_are_computed(name: str) -> None:
    assert beta_edges(Evaluator(verify(written(VECTORS[name])))) == ()


def test_a_wave_in_beta_gives_few_edges() -> None:
    edges = beta_edges(Evaluator(verify(written("F.softplus(-x * math.cos(400 * beta))"))))
    assert MOST <= len(edges) < 2 * MOST  # those between two that are close included
