"""Studies as such: which trials they want, and what they conclude from given scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest

from evo.proposing.studies.simplifying import removable, simplifying
from evo.proposing.studies.study import Conclusion, Paired, Study, Trial, study_seeds
from evo.proposing.studies.tuning import tunable, tuning
from sandbox import known
from sandbox.graph.edits.edit import edited
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph
from sandbox.graph.nodes import make_node

SEEDS = study_seeds(3)


def loss(weight: float, scale: float) -> VerifiedGraph:
    """`-log(sigmoid(chosen)) + weight * tanh(scale * rejected) ** 2`."""
    nodes = [
        make_node("input", (), {"name": "policy_chosen_logps"}), make_node("input", (), {"name": "policy_rejected_logps"}),
        make_node("logsigmoid", (0,)), make_node("neg", (2,)), make_node("const", (), {"value": scale}), make_node("mul", (1, 4)),
        make_node("tanh", (5,)), make_node("const", (), {"value": 2}), make_node("pow", (6, 7)),
        make_node("const", (), {"value": weight}), make_node("mul", (8, 9)), make_node("add", (3, 10)),
    ]  # fmt: skip
    return LossGraph.from_nodes("preference", nodes, 11)


def values(graph: VerifiedGraph) -> list[float]:
    return [constant.value for constant in tunable(graph)]


def concluded(study: Study, score: Callable[[Trial], float | None]) -> tuple[Conclusion, list[Trial]]:
    made: list[Trial] = []
    scores: Sequence[float | None] | None = None
    while True:
        try:
            trials = next(study) if scores is None else study.send(scores)
        except StopIteration as ended:
            return ended.value, made
        made += trials
        scores = [score(trial) for trial in trials]


def test_whole_exponents_are_no_constants_to_tune() -> None:
    assert sorted(values(loss(0.25, 1.5))) == [0.25, 1.5]


@pytest.mark.parametrize("trainings", [16, 24, 47, 100])
def test_no_study_takes_more_trainings_than_it_may(trainings: int) -> None:
    graph, rng = loss(0.25, 1.5), Random(1)
    for study in (tuning(graph, 1, SEEDS, trainings), simplifying(graph, SEEDS, trainings)):
        _, made = concluded(study, lambda trial: rng.random())
        assert 0 < len(made) <= trainings


def test_tune_gets_near_the_optimum_of_two_constants_at_once_in_spite_of_noise() -> None:
    graph, rng = loss(0.25, 1.5), Random(5)

    def score(trial: Trial) -> float:
        weight, scale = sorted(values(trial.graph))
        far = math.log(weight / 0.5) ** 2 + math.log(scale / 3) ** 2
        return trial.seed % 7 - far + rng.gauss(0, 0.05)

    found, _ = concluded(tuning(graph, 1, SEEDS, 64), score)
    assert found.edits is not None
    weight, scale = sorted(values(edited(graph, found.edits)))
    assert 0.33 < weight < 0.75 and 2 < scale < 4.5, found.words


def test_tune_proposes_nothing_from_noise_alone_in_most_cases() -> None:
    graph, rng = loss(0.25, 1.5), Random(7)
    runs = [concluded(tuning(graph, number, SEEDS, 24), lambda trial: rng.gauss(0, 1))[0] for number in range(60)]
    assert sum(found.edits is not None for found in runs) < 20


def test_tune_proposes_nothing_if_every_other_form_fails_or_the_loss_itself_does() -> None:
    graph = loss(0.25, 1.5)
    only, _ = concluded(tuning(graph, 1, SEEDS, 24), lambda trial: None if trial.edits else 1.0)
    never, _ = concluded(tuning(graph, 1, SEEDS, 24), lambda trial: 1.0 if trial.edits else None)
    assert only.edits is None and never.edits is None


def test_simplify_drops_a_part_that_costs_nothing_and_keeps_one_that_matters() -> None:
    graph = loss(0.25, 1.5)

    def score(trial: Trial) -> float:
        return any(node.op == "tanh" for node in trial.graph.nodes) + trial.seed % 7

    found, _ = concluded(simplifying(graph, SEEDS, 60), score)
    assert found.edits is not None
    smaller = edited(graph, found.edits)
    assert smaller.operations < graph.operations and "tanh" in {node.op for node in smaller.nodes}


def test_simplify_proposes_nothing_if_every_part_matters() -> None:
    graph = loss(0.25, 1.5)
    found, _ = concluded(simplifying(graph, SEEDS, 60), lambda trial: 0.0 if trial.edits else 1.0)
    assert found.edits is None and removable(graph)


def test_the_same_seed_and_scores_give_the_same_study() -> None:
    graph = known.graph("label_smoothing")
    first, second = (concluded(tuning(graph, 4, SEEDS, 40), lambda trial: float(trial.seed % 11)) for _ in range(2))
    assert first == second
    other = concluded(tuning(graph, 5, SEEDS, 40), lambda trial: float(trial.seed % 11))
    assert other[1] != first[1]


def test_a_paired_difference_needs_every_seed_that_the_loss_itself_has() -> None:
    assert Paired.of([1.0, None, 3.0], [0.5, 0.5, 0.5]) is None
    assert Paired.of([1.0, None], [0.5, None]) is None
    exact = Paired.of([1.0, None, 3.0], [0.5, None, 2.5])
    assert exact is not None and (exact.mean, exact.error) == (0.5, 0.0) and exact.gains and exact.costs_nothing
