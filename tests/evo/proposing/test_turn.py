"""Weights turned round, and what a refinement does with a child that a weight made worse."""

from __future__ import annotations

from random import Random

import pytest

from evo.proposing.genetic import Parent, propose
from evo.proposing.genetic.builder import Builder, Value
from evo.proposing.genetic.grammars.preference import margin
from evo.proposing.genetic.proposal import Child
from evo.proposing.genetic.turn import opposite, turned
from sandbox import known
from sandbox.graph.loss_graph import MAX_OPERATIONS, VerifiedGraph, verify
from sandbox.graph.printers import to_formula

DPO = known.graph("dpo")


def weighted(slope: float, *, detached: bool = True) -> VerifiedGraph:
    """DPO with a weight: 0.1 + sigmoid(slope times the log-probability of the chosen completion)."""
    builder = Builder("preference")
    weight = 0.1 + (slope * builder.input("policy_chosen_logps")).sigmoid()
    return builder.finish((weight.detach() if detached else weight) * (-margin(builder)).softplus())


def test_the_sign_is_turned_in_the_constant_of_the_slope_and_twice_is_the_same_loss() -> None:
    once = turned(Random(0), weighted(0.5))
    assert once is not None
    assert "sigmoid(-0.5 * policy_chosen_logps)" in to_formula(verify(once[0])).text and "sigmoid" in once[1]
    twice = turned(Random(0), verify(once[0]))
    assert twice is not None and twice[0].nodes == weighted(0.5).nodes


def test_a_weight_without_a_factor_is_turned_by_a_sign() -> None:
    builder = Builder("preference")
    weight = builder.input("reference_chosen_logps").sigmoid()
    found = turned(Random(0), builder.finish(weight * (-margin(builder)).softplus()))
    assert found is not None and "sigmoid(-reference_chosen_logps)" in to_formula(verify(found[0])).text


def test_only_a_weight_is_turned_and_never_the_loss_itself() -> None:
    def of(build: Value) -> VerifiedGraph:
        return build.builder.finish(build)

    assert turned(Random(0), of((-margin(Builder("preference"))).sigmoid())) is None
    assert turned(Random(0), weighted(0.5, detached=False)) is None, "its gradient is part of the loss"
    assert turned(Random(0), DPO) is None


def test_a_child_that_its_weight_made_worse_is_turned_once() -> None:
    worse = Child(weighted(0.5), "dpo__gated", is_lower=True)
    found = opposite(Random(0), Parent(DPO, "dpo", children=(worse,)))
    assert found is not None and found.graph.nodes == weighted(-0.5).nodes
    assert found.name == "dpo__turned" and found.thought.startswith("From dpo: ") and "dpo__gated" in found.thought
    again = (worse, Child(found.graph, found.name, is_lower=False))
    assert opposite(Random(0), Parent(DPO, "dpo", children=again)) is None


def test_the_weight_of_a_parent_below_the_baseline_is_turned_and_the_one_that_a_child_inherited_is_not() -> None:
    found = opposite(Random(0), Parent(weighted(0.5), "gated", is_lower=True))
    assert found is not None and found.graph.nodes == weighted(-0.5).nodes
    builder = Builder("preference")
    child = builder.finish(2.0 * builder.graft(weighted(0.5))[weighted(0.5).output])
    assert opposite(Random(0), Parent(weighted(0.5), "gated", children=(Child(child, "c", is_lower=True),))) is None


@pytest.mark.parametrize("child", [Child(weighted(0.5), "good", False), Child(known.graph("slic"), "no_weight", True)])
def test_other_children_are_left_alone(child: Child) -> None:
    assert opposite(Random(0), Parent(DPO, "dpo", children=(child,))) is None


def test_refinements_of_its_parent_try_the_opposite_first() -> None:
    parent = Parent(DPO, "dpo", children=(Child(weighted(0.5), "dpo__gated", is_lower=True),))
    made = [propose(Random(seed), "preference", "refine", [parent]).graph.nodes for seed in range(40)]
    assert made.count(weighted(-0.5).nodes) == 40


def test_a_turn_back_to_the_parent_is_not_tried() -> None:
    child = Child(weighted(-0.5), "dpo__turned", is_lower=True)
    assert opposite(Random(0), Parent(weighted(0.5), "dpo__gated", children=(child,))) is None


def test_a_loss_of_the_largest_size_is_left_alone() -> None:
    builder = Builder("preference")
    loss = builder.input("reference_chosen_logps").sigmoid() * (-margin(builder)).softplus()
    for _ in range(MAX_OPERATIONS - builder.finish(loss).operations):
        loss = loss.apply("abs")
    parent = Parent(builder.finish(loss), "large", is_lower=True)
    found = turned(Random(0), parent.graph)
    assert found is not None and found[0].operations > MAX_OPERATIONS
    assert opposite(Random(0), parent) is None
