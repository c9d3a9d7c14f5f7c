"""Selection: repeats from its snapshot, breeds from the able and the less used, and learns which operators pay."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.search.selection.bandit import Outcomes, arm_name, change_weights, operator_rewards, rewards
from evo.search.selection.beliefs import fitness_posteriors, ranked
from evo.search.selection.columns import Members
from evo.search.selection.grid import gap, grid
from evo.search.selection.members import Member, ProposerArm, SelectionSettings
from evo.search.selection.select import Choice, choose, repairable, residents

SETTINGS = SelectionSettings()


def arm(*temperatures: float, name: str = "builtin", weight: float = 1.0) -> ProposerArm:
    return ProposerArm(name, weight, temperatures)


def member(candidate_id: int, fitness: float | None = None, **given: Any) -> Member:
    defaults: dict[str, Any] = {"island": 0, "operator": "refine", "parents": (), "usable": True, "first": fitness}
    return Member(candidate_id=candidate_id, fitness=fitness, **{**defaults, **given})


@st.composite
def populations(draw: st.DrawFn) -> tuple[Member, ...]:
    found: list[Member] = []
    for i in range(draw(st.integers(0, 30))):
        usable = draw(st.booleans())
        operator = None if i < 3 else draw(st.sampled_from(["explore", "refine", "combine", "repair"]))
        older = [m.candidate_id for m in found]
        found.append(
            member(
                i + 1,
                draw(st.none() | st.floats(-5, 5)) if usable else None,
                island=draw(st.integers(0, 3)),
                operator=operator,
                parents=tuple(draw(st.lists(st.sampled_from(older), max_size=2, unique=True)) if older else ()),
                usable=usable,
                standard_error=draw(st.none() | st.floats(0, 2)),
                descriptors={"convex": draw(st.booleans()), "left_tail": draw(st.sampled_from(["linear", "flat"]))},
                rules=("SBX304",) if not usable and draw(st.booleans()) else (),
                uses=draw(st.integers(0, 9)),
                arm=arm_name("builtin", 1.0),
            )
        )
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(populations(), st.integers(0, 2**32), st.integers(0, 100), st.integers(1, 4))
def test_choices_repeat_and_their_parents_are_able(
    members: tuple[Member, ...], seed: int, step: int, islands: int
) -> None:
    chosen = choose(members, Random(seed), step, replace(SETTINGS, islands=islands, proposers=(arm(0.5, 1.0),)))
    again = choose(tuple(members), Random(seed), step, replace(SETTINGS, islands=islands, proposers=(arm(0.5, 1.0),)))
    assert chosen == again
    by_id = {m.candidate_id: m for m in members}
    assert all(by_id[p].usable is (chosen.operator != "repair") for p in chosen.parents)
    assert len(set(chosen.parents)) == len(chosen.parents)
    assert {"repair": 1, "refine": 1, "combine": 2}.get(chosen.operator, len(chosen.parents)) == len(chosen.parents)
    assert chosen.island == step % islands


def test_the_first_step_explores_without_parents() -> None:
    assert choose((), Random(0), 0, SETTINGS) == Choice("explore", 0, (), 1.0, "builtin")


def drawn(members: list[Member], given: SelectionSettings = SETTINGS, times: int = 600) -> Counter[int]:
    """How often each member became a parent."""
    columns = Members.of(members, given.axes)
    return Counter(p for step in range(times) for p in choose(columns, Random(step), step, given).parents)


def only(operator: str, **given: Any) -> SelectionSettings:
    return SelectionSettings(islands=1, priors={operator: 1.0}, **given)


def test_fitter_parents_are_drawn_more_often() -> None:
    members = [member(i, fitness=0.1 * i, standard_error=0.05) for i in range(1, 6)]
    counts = drawn(members, only("refine", grid_share=0.0))
    assert counts[5] > 3 * counts[2] > 0


def test_ruined_losses_do_not_make_the_good_ones_look_alike() -> None:
    good = [member(i, fitness=0.01 * i, standard_error=0.002) for i in range(1, 7)]
    ruined = [member(i, fitness=-0.9, standard_error=0.002) for i in range(10, 13)]
    counts = drawn([*good, *ruined], only("refine", grid=False, grid_share=0.0))
    assert counts[6] > 3 * counts[4] and not any(counts[i] for i in range(10, 13))


def test_parents_with_many_children_are_drawn_less_often() -> None:
    members = [member(i, 0.5, uses=20 * (i == 1), standard_error=0.02) for i in (1, 2)]
    members.append(member(3, 0.0, standard_error=0.02))
    counts = drawn(members, only("refine", grid_share=0.0))
    assert counts[2] > 3 * counts[1]


def test_a_lucky_noisy_member_ranks_behind_a_good_certain_one() -> None:
    crowd = [member(i, fitness=0.02 * i, standard_error=0.02) for i in range(8)]
    lucky, certain = member(20, 0.9, standard_error=0.9), member(21, 0.6, standard_error=0.02)
    members = [*crowd, lucky, certain]
    assert members[ranked(fitness_posteriors(members))[0]] == certain


def test_shrinking_never_turns_the_order_of_equally_certain_members() -> None:
    posteriors = fitness_posteriors([member(i, fitness=i**1.5, standard_error=0.3) for i in range(6)])
    assert sorted(posteriors.mean) == [*posteriors.mean]


def test_what_is_not_measured_yet_is_bred_from_only_while_nothing_is() -> None:
    waiting = [member(1), member(2)]
    assert set(drawn(waiting, only("refine"))) == {1, 2}
    assert set(drawn([*waiting, member(3, 0.1)], only("refine"))) == {3}


def test_each_cell_of_the_grid_keeps_its_best() -> None:
    flat, linear = {"left_tail": "flat"}, {"left_tail": "linear"}
    members = [member(1, 0.1, descriptors=flat), member(2, 0.9, descriptors=linear), member(3, 0.3, descriptors=flat)]
    columns, given = Members.of(members, ("left_tail",)), SelectionSettings(axes=("left_tail",))
    assert [members[at].candidate_id for at in grid(columns, fitness_posteriors(columns), given)] == [2, 3]


def test_a_gap_is_a_pair_of_descriptors_that_nobody_has_together() -> None:
    given = SelectionSettings(axes=("convex", "left_tail"))
    members = [
        member(1, 0.1, descriptors={"convex": True, "left_tail": "linear"}),
        member(2, 0.1, descriptors={"convex": False, "left_tail": "linear"}),
        member(3, 0.1, descriptors={"convex": False, "left_tail": "flat"}),
    ]
    assert gap(members, Random(0), given) == {"convex": "True", "left_tail": "flat"}
    assert gap(members[:2], Random(0), given) == {}
    assert gap((), Random(0), given) == {}


def test_the_grid_gives_unlike_losses_a_chance_but_not_ruined_ones() -> None:
    crowd = [member(i, 1.0 + 0.01 * i, descriptors={"left_tail": "linear"}) for i in range(1, 30)]
    odd = member(40, 1.1, descriptors={"left_tail": "flat"})
    ruined = member(41, -9.0, descriptors={"left_tail": "bounded"})
    with_grid = drawn([*crowd, odd, ruined], only("refine", axes=("left_tail",)))
    without = drawn([*crowd, odd, ruined], only("refine", axes=("left_tail",), grid_share=0.0))
    assert with_grid[40] > 1.5 * without[40] and not with_grid[41]


def test_combine_prefers_parents_of_different_cells() -> None:
    linear = [member(i, 0.5, descriptors={"left_tail": "linear"}) for i in range(1, 4)]
    flat = member(9, 0.5, descriptors={"left_tail": "flat"})
    assert drawn([*linear, flat], only("combine", axes=("left_tail",)))[9] > 300


def test_islands_keep_their_own_until_migration() -> None:
    seeds = [member(1, 0.1, operator=None), member(2, 0.2, operator=None, island=1)]
    bred = [member(i, 0.1 * i, island=i % 2) for i in range(3, 9)]
    apart = SelectionSettings(islands=2, migration_every=100)
    members = Members.of([*seeds, *bred])
    assert [members[at].candidate_id for at in residents(members, 0, apart)] == [1, 2, 4, 6, 8]
    joined = SelectionSettings(islands=2, migration_every=8)
    assert [members[at].candidate_id for at in residents(members, 0, joined)] == [1, 2, 4, 6, 7, 8]


def test_refused_members_are_repaired_once_while_they_are_recent() -> None:
    healthy = [member(i, 0.1, operator=None) for i in (1, 2)]
    refused = member(3, usable=False, rules=("SBX304",))
    mute = member(4, usable=False)
    one = SelectionSettings(islands=1)
    assert repairable(Members.of([*healthy, refused, mute]), 0, one) == (3,)
    assert "repair" in {choose([*healthy, refused], Random(i), i, one).operator for i in range(20)}
    tried = member(5, operator="repair", parents=(3,))
    assert repairable(Members.of([*healthy, refused, tried]), 0, one) == ()
    later = [member(i, 0.1) for i in range(10, 10 + one.repair_window)]
    assert repairable(Members.of([*healthy, refused, *later]), 0, one) == ()


def test_repair_is_never_chosen_without_anything_to_mend() -> None:
    members = [member(1, 0.1, operator=None), member(2, 0.2, operator=None)]
    assert "repair" not in {choose(members, Random(i), i, SETTINGS).operator for i in range(200)}


def history(good: str, bad: str) -> list[Member]:
    seeds = [member(1, 0.0, operator=None, standard_error=0.1), member(2, 0.0, operator=None, standard_error=0.1)]
    bred = []
    for i in range(3, 33):
        if i % 2:
            bred.append(member(i, 1.0, operator=good, parents=(1,), standard_error=0.1))
        else:
            bred.append(member(i, operator=bad, parents=(1,), usable=False))
    return [*seeds, *bred]


def test_an_operator_of_any_name_earns_rewards_and_a_seed_loss_earns_none() -> None:
    members = [member(1, 0.0, operator=None), member(2, 1.0, operator="seed", parents=(1,), standard_error=0.1)]
    assert by_id(rewards(members, SETTINGS)).keys() == {2}


def by_id(outcomes: Outcomes) -> dict[int, float]:
    return dict(zip(outcomes.rows["id"].tolist(), outcomes.reward.tolist(), strict=True))


def test_the_bandit_learns_which_operator_pays() -> None:
    for good, bad in (("refine", "combine"), ("combine", "refine")):
        members = Members.of(history(good, bad))
        counts = Counter(choose(members, Random(i), 0, SelectionSettings(islands=1)).operator for i in range(400))
        assert counts[good] > 5 * counts[bad] > 0


def test_the_bandit_learns_which_temperature_pays() -> None:
    hot, cold = arm_name("builtin", 1.2), arm_name("builtin", 0.4)
    members = Members.of(
        [
            replace(m, operator="refine", arm=hot if m.usable else cold) if m.operator is not None else m
            for m in history("refine", "combine")
        ]
    )
    given = only("refine", proposers=(arm(0.4, 1.2),))
    counts = Counter(choose(members, Random(i), 0, given).temperature for i in range(300))
    assert counts[1.2] > 5 * counts[0.4]


def test_old_outcomes_are_forgotten() -> None:
    old = history("refine", "combine")
    recent = [replace(m, candidate_id=m.candidate_id + 100) for m in history("combine", "refine")[2:]]
    worth = operator_rewards(rewards([*old, *recent], SETTINGS), SETTINGS)
    assert worth["combine"].mean > worth["refine"].mean


def test_rewards_are_zero_for_what_cannot_be_used_and_grow_with_the_improvement() -> None:
    parent = member(1, 0.0, operator=None, standard_error=0.1)
    outcomes = [
        member(2, usable=False, parents=(1,)),
        member(3, usable=False, parents=(1,)),
        member(4, usable=False, parents=(1,)),
        member(5, -0.5, parents=(1,), standard_error=0.1),
        member(6, 0.0, parents=(1,), standard_error=0.1),
        member(7, 0.15, parents=(1,), standard_error=0.1),
        member(8, parents=(1,)),
        member(9, 0.5, parents=(1,), standard_error=0.1),
    ]
    found = by_id(rewards([parent, *outcomes], SETTINGS))
    assert found[2] == found[3] == found[4] == 0.0
    assert SETTINGS.acceptance == found[5] == found[6] < found[7] < found[9] == 1.0, (
        "no gain, half and all of the reward"
    )
    assert 1 not in found and 8 not in found


def test_a_gain_is_measured_where_child_and_parent_were_first_trained() -> None:
    """The fitness of a parent that was promoted is of a higher rung, where all differences may be larger."""
    parent = member(1, 0.9, first=0.2, operator=None, standard_error=0.05)
    better = member(2, 0.4, first=0.4, parents=(1,), standard_error=0.1)
    assert by_id(rewards([parent, better], SETTINGS))[2] == 1.0


def test_kinds_of_changes_that_gained_are_favoured() -> None:
    parent = member(1, 0.0, operator=None, standard_error=0.1)
    children = [member(i, 0.5 * (i % 2), parents=(1,), standard_error=0.1, change="ab"[i % 2]) for i in range(2, 20)]
    found = change_weights(rewards([parent, *children], SETTINGS), ("a", "b", "new"), SETTINGS)
    assert 1.2 < found["b"] < 2 and 0.3 < found["a"] < 0.8 and found["new"] == 1.0
    off = replace(SETTINGS, bandit=False)
    assert change_weights(rewards([parent, *children], off), ("a", "b"), off) == {}


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one island"):
        SelectionSettings(islands=0)


@pytest.mark.filterwarnings("error")
def test_without_noise_a_measured_member_has_no_error_and_an_unmeasured_one_an_unknown_error():
    members = Members()
    members.add(member(1, 0.5), seeds=2)
    members.add(member(2), seeds=0)
    members.set_noise(0.0)
    assert members[0].standard_error == 0.0
    assert members[1].standard_error is None
