"""Moves: declared operator, measured operator, outcome and gain of each proposal."""

from dataclasses import replace

import pytest
from make_archive import blend, hinge, ipo, logistic, lrml

from analysis.lineage import moves
from analysis.lineage.moves import Move, MoveOutcome
from archive.records import Operator


def measured(child, *parents):
    own = moves.expressions(child)
    theirs = [moves.expressions(parent) for parent in parents]
    reuse = [len(own & part) / len(own) for part in theirs]
    alone = [
        len((own & part).difference(*(p for j, p in enumerate(theirs) if j != i))) / len(own)
        for i, part in enumerate(theirs)
    ]
    return moves.measured_operator(reuse, alone)


def test_a_retuned_constant_is_a_refinement():
    assert measured(logistic(1.7), logistic(1.0)) is Operator.REFINE
    assert moves.edit_size(logistic(1.7), logistic(1.0)) == 2
    assert moves.edit_size(logistic(), logistic()) == 0


def test_parts_of_two_parents_are_a_combination(exponential_and_logistic):
    assert measured(blend(0.5), *exponential_and_logistic) is Operator.COMBINE


@pytest.fixture
def exponential_and_logistic():
    from make_archive import exponential

    return logistic(), exponential()


def test_a_loss_without_reused_parts_is_an_exploration():
    assert measured(ipo(), hinge()) is Operator.EXPLORE
    assert measured(lrml(), ipo(), hinge()) is Operator.EXPLORE


def test_the_margin_that_all_losses_share_does_not_count_as_reuse():
    assert not moves.expressions(hinge()) & moves.expressions(ipo())


def test_behaviour_distance_ignores_scale_but_not_direction():
    assert moves.behaviour_distance({"vector": [1.0, 2.0]}, {"vector": [2.0, 4.0]}) == pytest.approx(0)
    assert moves.behaviour_distance({"vector": [1.0, 2.0]}, {"vector": [-1.0, -2.0]}) == pytest.approx(2)
    assert moves.behaviour_distance({"vector": [1.0, 0.0]}, {"vector": [0.0, 3.0]}) == pytest.approx(1)
    assert moves.behaviour_distance(None, {"vector": [1.0]}) is None
    assert moves.behaviour_distance({"vector": [0.0]}, {"vector": [1.0]}) is None


def test_shape_distance_compares_shared_descriptors():
    ours = {"convex": True, "slope": -1.0, "tail": "linear", "only": 1}
    theirs = {"convex": True, "slope": -3.0, "tail": "flat", "missing": None}
    assert moves.shape_distance(ours, theirs) == pytest.approx((0 + 0.5 + 1) / 3)
    assert moves.shape_distance({"a": 1}, {"b": 1}) is None


def test_invalid_numbers_in_an_archive_raise_no_error():
    assert moves.shape_distance({"a": 10**400, "b": [1]}, {"a": 1.0, "b": "inf"}) == 1
    assert moves.behaviour_distance({"vector": [10**400, "x", 1]}, {"vector": [1, 1, 1]}) is not None


def test_very_large_gradients_have_a_direction():
    far = {"vector": [1e300, -1e300, 0.5]}
    assert moves.behaviour_distance(far, far) == pytest.approx(0)
    assert moves.behaviour_distance(far, {"vector": [-1e300, 1e300, 1e300]}) == pytest.approx(1 + 2 / 6**0.5)
    assert moves.behaviour_distance(far, {"vector": [1.7e308, -1.7e308, 0.0]}) == pytest.approx(0)
    assert moves.behaviour_distance(far, {"vector": [5e-324, 0.0, 0.0]}) == pytest.approx(1 - 0.5**0.5)
    assert moves.shape_distance({"slope": 1.7e308}, {"slope": -1.7e308}) == 1


def test_every_proposal_is_a_move_and_outcomes_add_up(snapshot):
    found = moves.moves(snapshot)
    assert len(found) == len(snapshot.proposals)
    assert {MoveOutcome.SCORED, MoveOutcome.DUPLICATE, MoveOutcome.REFUSED, MoveOutcome.LOST, MoveOutcome.UNUSABLE} <= {
        m.outcome for m in found
    }
    for summary in moves.summaries(found):
        assert sum(summary.outcomes.values()) == summary.proposals
        assert summary.significant <= summary.improved <= summary.compared <= summary.accepted <= summary.proposals
    assert sum(s.proposals for s in moves.summaries(found)) == len(found)
    assert sum(s.proposals for s in moves.summaries(found, by_model=True)) == len(found)


def test_the_gain_is_the_paired_difference_to_the_best_parent(snapshot):
    for move in moves.moves(snapshot):
        if move.gain is None:
            continue
        rung = next(
            r for r in reversed(snapshot.rungs)
            if snapshot.arms(move.candidate, r) and any(snapshot.arms(p, r) for p in move.parents)
        )  # fmt: skip
        (own,) = snapshot.arms(move.candidate, rung).values()
        above = [scores for p in move.parents for scores in snapshot.arms(p, rung).values()]
        best = max(above, key=lambda scores: sum(scores.values()) / len(scores))
        shared = own.keys() & best.keys()
        assert move.gain == pytest.approx(sum(own[s] - best[s] for s in shared) / len(shared))


def proposals(*operators):
    return [
        Move(i, i, name, MoveOutcome.SCORED, parents=(parent,)) for i, (name, parent) in enumerate(operators, start=1)
    ]


def test_phases_follow_the_leading_operator_and_name_the_main_parent():
    found = moves.phases(
        proposals(*[("explore", i) for i in range(12)], *[("refine", 5)] * 10, *[("combine", i) for i in range(11)])
    )
    assert [phase.operator for phase in found] == [Operator.EXPLORE, Operator.REFINE, Operator.COMBINE]
    assert [(phase.first, phase.last) for phase in found] == [(1, 12), (13, 22), (23, 33)]
    assert [phase.focus for phase in found] == [None, 5, None]


def test_a_single_proposal_of_another_operator_makes_no_phase():
    found = moves.phases(proposals(*[("refine", 1)] * 8, ("explore", 2), *[("refine", 1)] * 8))
    assert len(found) == 1
    assert found[0].share == pytest.approx(16 / 17)


def test_no_proposals_no_phases():
    assert moves.phases([]) == []


def test_an_added_operator_follows_the_built_in_ones_and_its_move_is_not_judged():
    made = [replace(move, measured=Operator.REFINE) for move in proposals(*[("robustify", 1)] * 9, ("refine", 2))]
    rows = {row.label: row for row in moves.summaries(made)}
    assert list(rows) == ["refine", "robustify"]
    assert (rows["refine"].measured, rows["robustify"].measured) == (1, 0)
    assert [phase.operator for phase in moves.phases(made)] == ["robustify"]
