"""What a prompt tells of the run: paired differences, what was tried, the best losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from histories import History, history

from evo.proposing.briefing import messages
from evo.proposing.context import MOST_TRIED, Context, context_of
from evo.proposing.reply.reply import ReplyFormat
from evo.proposing.request import request_for
from evo.search.selection.members import SelectionSettings
from sandbox import known


@pytest.fixture
def run(tmp_path: Path) -> Iterator[History]:
    """A run with two seed losses, on three seeds each, and what was made from the first: one of each outcome."""
    with history(tmp_path, search={"islands": 1}) as run:
        for name, fitness in (("cross_entropy", 0.5), ("mse", 0.4)):
            loss = run.seed(name)
            for number in range(3):
                run.scored(loss, fitness + 0.01 * number + (0.002 * number if name == "mse" else 0), number=number)
        run.scored(run.accepted(run.bred(1, "refine", [1]), known.graph("focal")), 0.9)
        run.refused(run.bred(2, "refine", [1]))
        run.duplicate(run.bred(3, "refine", [1]), 2)
        run.failed(run.accepted(run.bred(4, "combine", [1, 2]), known.graph("focal")))
        run.archive.fail_proposal(run.replied(5, "refine", [1]), "the reply is prose without a function")
        run.scored(run.accepted(run.bred(6, "refine", [2])), 0.45)
        yield run


def told(run: History, *parents: int) -> Context:
    """The context of a step that refines these parents."""
    population = run.population()
    settings = SelectionSettings(islands=1)
    return context_of(population, settings, "refine", parents, (1, 2), run.reader)


def test_the_context_tells_what_was_made_from_the_parents_most_informative_first(run: History) -> None:
    tried = told(run, 1).tried
    assert [t.name for t in tried] == ["loss_1", "loss_4", "loss_3", "loss_2", "a reply without a loss"]
    assert tried[0].difference is not None and tried[0].difference.mean == pytest.approx(0.4)
    outcomes = [t.outcome for t in tried]
    assert outcomes[1:] == [
        "training failed: diverged: the loss became nan",
        "the same loss as mse",
        "refused: the message of SBX103",
        "the reply is prose without a function",
    ]
    assert "cross_entropy" in tried[0].formula


def test_differences_are_paired_and_have_the_error_of_paired_differences(run: History) -> None:
    context = told(run, 1)
    assert 1 not in context.differences, "the baseline has no difference to itself"
    found = context.differences[2]
    assert (found.mean, found.seeds) == (pytest.approx(-0.098), 3)
    assert found.standard_error == pytest.approx(0.002 / 3**0.5), (
        "0.002 from seed to seed, far below that of the scores"
    )
    request = request_for(run.population(), 9, run.reader, prompted=True)
    text = messages(replace(request, context=context), ReplyFormat.JSON)[1].content
    assert '-0.0980 ± 0.0012 against "cross_entropy" (3 seeds): worse' in text


def test_the_best_losses_come_best_first_as_many_as_configured(run: History) -> None:
    assert [loss.name for loss in told(run, 1).best][:2] == ["loss_1", "cross_entropy"]
    run.config = run.config.model_copy(update={"prompt": run.config.prompt.model_copy(update={"top_k": 0})})
    assert told(run, 1).best == ()


def test_what_was_tried_is_bounded(run: History) -> None:
    for step in range(10, 10 + 3 * MOST_TRIED):
        run.refused(run.bred(step, "refine", [1]))
    context = told(run, 1)
    assert len(context.tried) == MOST_TRIED and context.tried[0].name == "loss_1"


def test_a_request_that_is_not_for_a_prompt_reads_no_context_and_makes_the_same_choice(run: History) -> None:
    population = run.population()
    for step in range(7, 20):
        bare, full = (request_for(population, step, run.reader, prompted=p) for p in (False, True))
        assert bare.context.tried == () and bare.references == full.references
        assert replace(full, context=bare.context) == replace(bare, parents=full.parents, landmarks=full.landmarks)


def test_the_context_is_that_of_the_step_whatever_was_recorded_since(run: History) -> None:
    seen = run.archive.last_event()
    before = request_for(run.population(), 9, run.reader, prompted=True)
    run.scored(run.accepted(run.bred(7, "refine", [1]), known.graph("mse")), 0.99)
    run.archive.fail_proposal(run.replied(8, "refine", [1]), "prose")
    again = request_for(run.population(seen), 9, run.reader, prompted=True)
    assert messages(before, ReplyFormat.JSON) == messages(again, ReplyFormat.JSON)


def test_key_metrics_and_the_margin_at_the_end_come_from_the_recorded_trainings(run: History) -> None:
    loss = run.bred(7, "refine", [1])
    run.accepted(loss, known.graph("mse"))
    run.archive.score_evaluation(run.begun(loss), 0.7, metrics={"cross_entropy": 0.25, "margin": 4.0})
    population = run.population()
    population.info = replace(population.info, beta=0.5)
    context = context_of(population, SelectionSettings(), "refine", (loss,), (loss,), run.reader)
    assert context.metrics[loss] == {"cross-entropy (nats)": 0.25, "beta * rho of unseen pairs": 2.0}
    assert context.scaled_margin is None, "the baseline's trainings measured none"
