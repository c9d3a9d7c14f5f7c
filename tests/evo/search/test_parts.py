"""The parts of selection: each has a key of its own, and one that is off has no effect at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from evo.config.schema import ConfigError, parse_config
from evo.proposing.request import selection_settings
from evo.search.selection.bandit import arm_name
from evo.search.selection.grid import gap
from evo.search.selection.members import Member, SelectionSettings
from evo.search.selection.select import Choice, choose

STEPS = range(60)


def settings(**search: Any) -> SelectionSettings:
    return selection_settings(parse_config({"search": {"islands": 1, **search}, "llm": {"temperatures": [0.5, 1.0]}}))


def crowd() -> list[Member]:
    """Members that differ in all that selection may look at; some bred from others, some refused."""
    rng = Random(3)
    found = []
    for i in range(1, 41):
        operator = None if i < 4 else rng.choice(["explore", "refine", "combine"])
        usable = i < 4 or rng.random() < 0.8
        fitness = rng.gauss(0.0, 1.0) if usable else None
        found.append(
            Member(
                candidate_id=i,
                island=i % 2,
                operator=operator,
                parents=() if operator is None else (rng.randint(1, i - 1),),
                usable=usable,
                fitness=fitness,
                first=fitness,
                standard_error=rng.uniform(0.2, 0.9) if usable else None,
                descriptors={"convex": rng.random() < 0.5, "left_tail": rng.choice(["linear", "flat", "exp"])},
                uses=rng.randint(0, 9),
                arm="" if operator is None else arm_name("builtin", rng.choice([0.5, 1.0])),
            )
        )
    return found


def choices(members: list[Member], given: SelectionSettings) -> list[Choice]:
    return [choose(members, Random(step), step, given) for step in STEPS]


def _other_shapes(members: list[Member]) -> list[Member]:
    return [replace(m, descriptors={"convex": True, "left_tail": "linear"}) for m in members]


def _no_children(members: list[Member]) -> list[Member]:
    return [replace(m, uses=0) for m in members]


def _other_arms(members: list[Member]) -> list[Member]:
    """With refine as the operator of all that did well."""
    good = [m.operator is not None and m.usable and (m.fitness or 0.0) > 0 for m in members]
    return [
        replace(m, operator="refine", arm=arm_name("builtin", 1.0)) if well else m
        for m, well in zip(members, good, strict=True)
    ]


def _other_errors(members: list[Member]) -> list[Member]:
    return [replace(m, standard_error=None if m.standard_error is None else 0.01 * m.candidate_id) for m in members]


@pytest.mark.parametrize(
    ("off", "changed"),
    [
        ({"grid": False}, _other_shapes),
        ({"use_penalty": False}, _no_children),
        ({"bandit": False}, _other_arms),
        # Standard errors serve both, so both must be off for them to have no effect; the bandit reads them too.
        ({"thompson": False, "shrinkage": False, "bandit": False}, _other_errors),
    ],
    ids=["grid", "use_penalty", "bandit", "thompson and shrinkage"],
)
def test_what_only_a_part_looks_at_has_no_effect_when_the_part_is_off(off: dict[str, bool], changed: Any) -> None:
    members = crowd()
    assert choices(members, settings(**off)) == choices(changed(members), settings(**off))
    on = dict.fromkeys(off, True)
    assert choices(members, settings(**on)) != choices(changed(members), settings(**on))


def test_without_a_grid_there_is_no_target_for_exploring() -> None:
    members = [
        replace(crowd()[0], descriptors={"convex": True, "left_tail": "linear"}),
        replace(crowd()[1], descriptors={"convex": False, "left_tail": "flat"}),
    ]
    assert gap(members, Random(0), settings(grid=True)) and not gap(members, Random(0), settings(grid=False))


def test_elites_of_other_islands_are_parents_only_while_they_are_on() -> None:
    """Odd members live on island 1, which is not that of the even steps."""
    members = [m for m in crowd() if m.operator is not None and m.usable]
    plain: dict[str, Any] = {"islands": 2, "migration_every": None, "grid": False}
    parents = {
        on: Counter(
            p % 2
            for step in range(0, 400, 2)
            if (c := choose(members, Random(step), step, settings(elites=on, **plain))).operator != "explore"
            for p in c.parents
        )
        for on in (True, False)
    }
    assert parents[True][1] > 0 and parents[False][1] == 0 < parents[False][0]


def test_without_migration_no_member_of_another_island_is_a_parent() -> None:
    members = [m for m in crowd() if m.operator is not None and m.usable]
    plain: dict[str, Any] = {"islands": 2, "grid": False, "elites": False}

    def foreign(every: int | None) -> int:
        given = settings(migration_every=every, **plain)
        chosen = [choose(members, Random(step), step, given) for step in range(0, 200, 2)]
        return sum(p % 2 for c in chosen if c.operator != "explore" for p in c.parents)

    assert foreign(4) > 0 and foreign(None) == 0


def test_without_thompson_draws_and_penalty_the_best_parent_is_the_likeliest() -> None:
    members = [Member(i, 0, "refine", (), True, float(i), 3.0, uses=50 * (i == 5)) for i in range(1, 6)]
    given = replace(settings(thompson=False, use_penalty=False, grid=False, elites=False), priors={"refine": 1.0})
    drawn = Counter(choose(members, Random(step), step, given).parents[0] for step in range(300))
    assert [i for i, _ in drawn.most_common()] == sorted(drawn, reverse=True)


@pytest.mark.parametrize("key", ["grid", "elites", "use_penalty", "reversals", "bandit", "thompson", "shrinkage"])
def test_a_key_that_is_no_switch_is_refused_with_its_name(key: str) -> None:
    with pytest.raises(ConfigError, match=f"search.{key}"):
        parse_config({"search": {key: 7}})


def test_an_interval_of_zero_is_no_way_to_switch_migration_off() -> None:
    with pytest.raises(ConfigError, match=r"search\.migration_every"):
        parse_config({"search": {"migration_every": 0}})
