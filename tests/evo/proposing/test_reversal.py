"""The opposite of a weight that did harm is the next thing that is tried, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from histories import History, history

from archive.records import EventKind
from archive.sqlite.appending import append_event
from evo.proposing.genetic import KINDS
from evo.proposing.genetic.builder import Builder
from evo.proposing.genetic.grammars.classification import margin
from evo.proposing.request import Request, request_for
from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph


def weighted(slope: float) -> VerifiedGraph:
    """Cross-entropy with the weight 0.1 + sigmoid(slope x), detached."""
    builder = Builder("classification")
    weight = (0.1 + (slope * margin(builder)).sigmoid()).detach()
    return builder.finish(weight * (-margin(builder)).softplus())


def begun(run: History) -> History:
    """Two seed losses on three seeds: the difference of a training to the baseline has a standard deviation of 0.01."""
    for name, scores in (("cross_entropy", (0.5, 0.5, 0.5)), ("mse", (0.49, 0.5, 0.51))):
        candidate = run.seed(name)
        for number, score in enumerate(scores):
            run.scored(candidate, score, number=number)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[History]:
    with history(tmp_path, search={"islands": 1}, proposer="builtin") as run:
        yield begun(run)


def added(run: History, step: int, score: float, graph: VerifiedGraph, operator: str = "refine", **more: Any) -> int:
    parents = more.pop("parents", [1])
    return run.scored(run.accepted(run.bred(step, operator, parents, **more), graph), score)


def asked(run: History, step: int) -> Request:
    return request_for(run.population(), step, run.reader)


def is_due(run: History, parent: int) -> bool:
    """Whether each of many steps refines this parent."""
    requests = [asked(run, step) for step in range(10, 40)]
    return all((r.operator, [p.id for p in r.parents]) == ("refine", [parent]) for r in requests)


def test_the_parent_of_a_harmed_loss_is_refined_next_and_only_once(run: History) -> None:
    harmed = added(run, 1, 0.3, weighted(0.5))
    assert is_due(run, 1)
    children = asked(run, 2).parents[0].children
    assert [(child.name, child.is_lower) for child in children] == [("loss_1", True)] and harmed == 3
    added(run, 2, 0.4, weighted(-0.5))
    assert not is_due(run, 1)


def test_a_harmed_loss_that_was_made_from_no_other_is_refined_itself(run: History) -> None:
    harmed = added(run, 1, 0.3, weighted(0.5), "explore", parents=[1, 2])
    assert is_due(run, harmed) and asked(run, 2).parents[0].is_lower


@pytest.mark.parametrize(
    ("score", "graph", "operator", "parents"),
    [
        (0.49, weighted(0.5), "refine", [1]),
        (0.3, known.graph("focal"), "refine", [1]),
        (0.3, weighted(0.5), "combine", [1, 2]),
    ],
    ids=["within the noise", "no weight", "a mixture"],
)
def test_other_losses_are_no_reason(
    run: History, score: float, graph: VerifiedGraph, operator: str, parents: list[int]
) -> None:
    added(run, 1, score, graph, operator, parents=parents)
    assert not is_due(run, 1) and not is_due(run, 3)


def test_a_harm_of_long_ago_is_no_reason(run: History) -> None:
    added(run, 1, 0.3, weighted(0.5))
    for step in range(2, 16):
        added(run, step, 0.5, known.graph("focal"), parents=[2])
    assert not is_due(run, 1)


def test_a_parent_that_failed_since_is_not_refined(run: History) -> None:
    added(run, 1, 0.3, weighted(0.5), parents=[2])
    assert is_due(run, 2)
    run.failed(2, "full")
    assert not is_due(run, 2)


def test_a_banned_parent_is_not_refined(run: History) -> None:
    added(run, 1, 0.3, weighted(0.5), "explore", parents=[2])
    append_event(run.reader.path, EventKind.BANNED, {}, 3)
    assert not is_due(run, 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"search": {"islands": 1, "reversals": False}, "proposer": "builtin"},
        {"search": {"islands": 1}, "llm": {"model": "m", "usd_per_million_in": 0, "usd_per_million_out": 0}},
    ],
    ids=["off", "no built-in proposer"],
)
def test_without_the_part_or_the_built_in_proposer_steps_are_ordinary(tmp_path: Path, settings: dict[str, Any]) -> None:
    with history(tmp_path, **settings) as run:
        added(begun(run), 1, 0.3, weighted(0.5))
        assert not is_due(run, 1)


def test_the_kinds_of_changes_that_gained_are_told_to_the_built_in_proposer_alone(run: History) -> None:
    for step, (kind, score) in enumerate([("weight", 0.6), ("temperature", 0.5)] * 3, start=1):
        reply = json.dumps({"name": "loss", "thought": "", "change": kind, "graph": "{}"})
        added(run, step, score, known.graph("focal"), reply=reply, proposer="builtin")
    favoured = asked(run, 10).favoured
    assert favoured["weight"] > 1 > favoured["temperature"] and favoured["term"] == 1
    assert set(favoured) == {*KINDS}


def test_each_island_follows_its_own_losses(tmp_path: Path) -> None:
    with history(tmp_path, search={"islands": 2}, proposer="builtin") as run:
        added(begun(run), 1, 0.3, weighted(0.5), island=1)
        steps = range(10, 60)
        due = {step % 2 for step in steps if asked(run, step).parents and asked(run, step).parents[0].children}
        assert 1 in due and all(asked(run, step).parents[0].id == 1 for step in steps if step % 2)
