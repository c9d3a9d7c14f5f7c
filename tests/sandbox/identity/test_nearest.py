"""Rediscovered losses are recognised: published losses unchanged, scaled, at another beta, blended, or slightly varied."""

from __future__ import annotations

from functools import cache

import pytest
from written import written

from sandbox import known
from sandbox.graph.loss_graph import LossGraph
from sandbox.identity.nearest import nearest_known
from sandbox.identity.relation import Kind, Part, Relation
from sandbox.vetting.pool import VetPool

BETA = 0.5


@cache
def graph(expression: str) -> LossGraph:
    return written(expression)


@pytest.mark.parametrize("name", known.names())
def test_a_published_loss_is_itself(name):
    relation = nearest_known(known.graph(name), BETA)
    assert (relation.kind, relation.parts) == (Kind.SAME, (Part(name),))
    assert relation.published and relation.words == f"the published {name}"


def test_losses_are_compared_as_they_are_trained():
    """Float32 takes the other branch than float64: training sees DPO."""
    hidden = "torch.where(torch.exp(0 * x - 150) > 0, torch.relu(1 - x) ** 2, F.softplus(-x))"
    assert nearest_known(graph(hidden), BETA).words == "the published dpo"


@pytest.mark.parametrize(
    ("expression", "kind", "words"),
    [
        ("3 * F.softplus(-x)", Kind.SCALED, "the published dpo times 3"),
        ("F.softplus(-1.7 * x)", Kind.REBETA, "the published dpo at 1.7 × beta"),
        ("F.softplus(-0.3 * rho)", Kind.REBETA, "the published dpo at 0.6 × beta"),  # the constant is 0.6 × this beta
        ("(rho + 1e-6 - 1 / (2 * beta)) ** 2", Kind.SAME, "the published ipo"),
        ("0.6 * F.softplus(-x) + 0.4 * torch.exp(-x)", Kind.BLEND, "a blend of 0.6 dpo and 0.4 exponential"),
        ("0.7 * F.softplus(-x) + 0.3 * torch.relu(1 - x)", Kind.BLEND, "a blend of 0.7 dpo and 0.3 slic"),
    ],
)
def test_a_transformed_published_loss_is_recognised(expression, kind, words):
    relation = nearest_known(graph(expression), BETA)
    assert (relation.kind, relation.words) == (kind, words)


def test_the_position_of_a_kink_is_found():
    relation = nearest_known(graph("torch.relu(1 - 2.5 * x)"), BETA)
    assert relation.kind is Kind.REBETA
    assert relation.parts[0].name == "slic" and relation.parts[0].beta_factor == pytest.approx(2.5, rel=0.05)


def test_a_slight_variation_is_near():
    relation = nearest_known(graph("(1 + 0.03 * torch.tanh(x)) * F.softplus(-x)"), BETA)
    assert relation.kind is Kind.NEAR and not relation.published
    assert relation.parts[0].name == "dpo" and relation.words.startswith("within ")


@pytest.mark.parametrize("expression", ["F.softplus(-x) * (1 + torch.sigmoid(x))", "torch.relu(1 - x) ** 1.5"])
def test_another_loss_is_new(expression):
    relation = nearest_known(graph(expression), BETA)
    assert (relation.kind, relation.words) == (Kind.NEW, "")


@pytest.mark.parametrize("relation", [nearest_known(known.graph("mse")), Relation(Kind.NEW)])
def test_a_relation_survives_json(relation):
    assert Relation.from_json(relation.to_json()) == relation


@pytest.mark.parametrize(
    "data", [None, 3, {}, {"kind": "same", "parts": 3, "distance": 0}, {"kind": "x", "parts": [], "distance": 0}]
)
def test_an_unreadable_relation_is_none(data):
    assert Relation.from_json(data) is None


def test_the_pool_compares_without_torch_in_the_asking_process():
    with VetPool(workers=1) as pool:
        relation = pool.nearest_known(known.graph("slic"), BETA)
    assert relation is not None and relation.words == "the published slic"
