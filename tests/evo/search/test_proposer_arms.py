"""The bandit over proposers: rewards per cost, weights as priors, and proposers that cannot be asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from evo.search.operators import BY_NAME
from evo.search.selection.bandit import arm_name, draw_proposer, proposer_rewards, rewards
from evo.search.selection.columns import Members
from evo.search.selection.members import Member, ProposerArm, SelectionSettings
from evo.search.selection.replies import Answer, Replies
from evo.search.selection.select import choose

ARMS = ProposerArm("a", 1.0, (0.5,)), ProposerArm("b", 1.0, (0.2, 0.9)), ProposerArm("builtin")
SETTINGS = SelectionSettings(islands=1, priors={"refine": 1.0}, proposers=ARMS)


def crowd(good: str = "", of: tuple[str, ...] = ("a", "b", "builtin"), times: int = 12) -> Members:
    """A seed loss and children of it; those of the proposer `good` are better than it, the others worse."""
    members = [Member(1, 0, None, (), True, 0.0, 0.1, 0.0)]
    for i in range(times * len(of)):
        name = of[i % len(of)]
        fitness = (0.5 if name == good else -0.5) if good else 0.0
        members.append(
            Member(i + 2, 0, "refine", (1,), True, fitness, 0.1, fitness, arm=arm_name(name, 0.5), proposer=name)
        )
    return Members.of(members)


def drawn(members: Members, settings: SelectionSettings = SETTINGS, unavailable: tuple[str, ...] = ()) -> Counter[str]:
    return Counter(choose(members, Random(i), 0, settings, unavailable).proposer for i in range(400))


@pytest.mark.parametrize("good", ["a", "b", "builtin"])
def test_the_proposer_whose_losses_are_better_is_chosen_more_often(good: str) -> None:
    counts = drawn(crowd(good))
    assert all(counts[good] > 2 * counts[arm.name] > 0 for arm in ARMS if arm.name != good)


def test_of_equally_good_proposers_the_cheaper_is_chosen_more_often() -> None:
    members = crowd()
    members.replies.answered.extend(
        Answer(name, len(members), usd, 1.0) for name, usd in (("a", 0.001), ("b", 0.1), ("builtin", 0.0))
    )
    counts = drawn(members)
    assert counts["builtin"] > counts["b"] and counts["a"] > 2 * counts["b"] > 0


def test_costs_are_usd_only_where_all_have_a_price() -> None:
    priced, mixed = Replies(), Replies()
    priced.answered.extend([Answer("a", 0, 3.0, 1.0), Answer("b", 0, 1.0, 9.0), Answer("builtin", 0, 0.0, 0.0)])
    mixed.answered.extend([Answer("a", 0, None, 1.0), Answer("b", 0, 1.0, 3.0)])
    names = ("a", "b", "builtin")
    assert priced.costs(names, 0, 1.0) == {"a": 2.5, "b": 1.5, "builtin": 1.0}
    assert mixed.costs(names, 0, 1.0) == {"a": 1.5, "b": 2.5, "builtin": 2.0}


def test_replies_without_a_loss_lower_the_reward() -> None:
    members = crowd("a", of=("a",))
    before = proposer_rewards(rewards(members, SETTINGS), SETTINGS)
    members.replies.without_loss.extend(Answer("a", len(members), None, 1.0) for _ in range(8))
    after = proposer_rewards(rewards(members, SETTINGS), SETTINGS)
    assert after["a"].mean < before["a"].mean - 0.2


def test_weights_are_the_shares_before_anything_is_known_and_without_the_bandit() -> None:
    heavy = ProposerArm("a", 8.0), ProposerArm("b", 1.0)
    for settings, members in (
        (SelectionSettings(islands=1, proposers=heavy), Members()),
        (SelectionSettings(islands=1, proposers=heavy, bandit=False), crowd("b", of=("a", "b"))),
    ):
        counts = drawn(members, settings)
        assert 5 < counts["a"] / counts["b"] < 14


def test_a_proposer_that_cannot_be_asked_is_left_out_unless_all_are() -> None:
    assert drawn(crowd(), unavailable=("a",)).keys() == {"b", "builtin"}
    assert drawn(crowd(), unavailable=("a", "b", "builtin")).keys() == {"a", "b", "builtin"}


def test_the_temperature_is_one_of_the_proposer_s() -> None:
    for i in range(100):
        choice = choose(crowd(), Random(i), 0, SETTINGS)
        assert choice.temperature in next(arm.temperatures for arm in ARMS if arm.name == choice.proposer)


def test_own_code_proposes_where_no_model_can_be_asked() -> None:
    own = replace(BY_NAME["refine"], prompt=None)
    outcomes = rewards(crowd("a"), SETTINGS)
    assert {draw_proposer(Random(i), outcomes, own, SETTINGS, ()).name for i in range(50)} == {"builtin"}
