"""What a step asks for: chosen from what it had seen, so the same again whenever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from histories import ROLES, History, history

from evo.proposing.propose import messages
from evo.proposing.reply.reply import ReplyFormat
from evo.proposing.request import Request, request_for
from sandbox import known


@pytest.fixture
def run(tmp_path: Path) -> Iterator[History]:
    with history(tmp_path, search={"islands": 1}) as run:
        yield run


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[History]:
    with history(tmp_path, search={"mode": "chat"}) as run:
        yield run


def begun(run: History) -> History:
    """Two seed losses with scores, and a proposal with a better one."""
    run.scored(run.seed("cross_entropy"), 0.5)
    run.scored(run.seed("mse"), 0.4)
    run.scored(run.accepted(run.bred(1, "refine", [1])), 0.6)
    return run


def request(run: History, step: int, seen: int | None = None) -> Request:
    return request_for(run.population(seen), step, run.reader)


def first_of(run: History, operator: str) -> Request:
    """The request of the first step from now on that is this operator's."""
    return next(asked for step in range(2, 400) if (asked := request(run, step)).operator == operator)


@pytest.mark.parametrize("step", range(2, 9))
def test_what_was_recorded_since_changes_nothing_in_the_request_of_a_step(run: History, step: int) -> None:
    begun(run)
    seen = run.archive.last_event()
    asked = request(run, step)
    run.scored(1, 0.9, number=1)
    run.failed(1, "full")
    run.failed(2, "full")
    run.refused(run.bred(2, "combine", [1, 2]))
    run.scored(run.accepted(run.bred(3, "refine", [3])), 0.99)
    assert request(run, step, seen) == asked
    assert messages(request(run, step, seen), ReplyFormat.JSON) == messages(asked, ReplyFormat.JSON)
    assert asked.seen_event == seen


def test_each_operator_tells_its_parents_in_its_own_role(run: History) -> None:
    begun(run)
    run.refused(run.bred(2))
    for operator, role in ROLES.items():
        asked = first_of(run, operator)
        assert asked.parents and {p.role for p in asked.parents} == {role}
        assert asked.template == operator
        assert asked.references == {"island": 0, "parents": [{"id": p.id, "role": role} for p in asked.parents]}


def test_a_baseline_is_named_once_as_a_parent_or_as_a_landmark(run: History) -> None:
    begun(run)
    for step in range(2, 30):
        asked = request(run, step)
        parents, landmarks = {p.id for p in asked.parents}, {p.id for p in asked.landmarks}
        assert not parents & landmarks and {1, 2} <= parents | landmarks


def test_a_seed_loss_that_the_sandbox_refused_is_no_landmark(run: History) -> None:
    run.scored(run.seed("cross_entropy"), 0.5)
    run.refused(run.seed("mse", vetted=False))
    asked = request(run, 1)
    assert {p.id for p in (*asked.parents, *asked.landmarks)} == {1}


def test_a_parent_comes_with_its_scores_and_a_repair_with_what_is_to_be_mended(run: History) -> None:
    begun(run)
    broken = run.refused(run.bred(2))
    (parent,) = first_of(run, "repair").parents
    assert parent.id == broken and parent.graph is None and parent.score is None
    assert [f.rule for f in parent.findings] == ["SBX103"] and "return 2 * logits.sum(1)" in parent.source
    best = next(p for step in range(2, 400) for p in request(run, step).parents if p.id == 3)
    assert best.graph == known.graph("mse") and best.thought == "thought 1"
    assert best.score is not None and (best.score[0], best.score[1].mean) == ("short", 0.6)


def test_a_refused_loss_whose_graph_was_made_is_shown_as_that_graph(run: History) -> None:
    begun(run)
    run.refused(run.bred(2), "SBX304", known.graph("focal"))
    (parent,) = first_of(run, "repair").parents
    assert parent.graph == known.graph("focal")


def test_a_parent_comes_with_how_its_training_failed(chat: History) -> None:
    chat.failed(chat.seed("cross_entropy"))
    (parent,) = request(chat, 1).parents
    assert [(f.reason, f.detail) for f in parent.failures] == [("diverged", "the loss became nan")]


def test_only_an_exploring_step_aims_at_what_nobody_has_together(run: History) -> None:
    for name, convex, tail in (("cross_entropy", True, "linear"), ("mse", False, "flat")):
        candidate = run.seed(name, vetted=False)
        run.accepted(candidate, descriptors={"convex": convex, "left_tail": tail})
        run.scored(candidate, 0.5)
    explored = first_of(run, "explore")
    assert explored.wanted in ({"convex": "True", "left_tail": "flat"}, {"convex": "False", "left_tail": "linear"})
    assert first_of(run, "refine").wanted == {}


def test_islands_take_turns(tmp_path: Path) -> None:
    with history(tmp_path, search={"islands": 3}) as run:
        begun(run)
        assert [request(run, step).island for step in range(6)] == [0, 1, 2, 0, 1, 2]


# ---- proposals without parents ------------------------------------------------------------------------------------------


def test_a_sampled_proposal_is_shown_nothing_of_the_run(tmp_path: Path) -> None:
    """The prompts of all steps are one text, whatever was found before: so best of N is of independent draws."""
    with history(tmp_path, search={"mode": "sample"}) as run:
        empty = request(run, 1)
        begun(run)
        run.refused(run.bred(2))
        later = [request(run, step) for step in range(2, 30)]
        assert {(r.operator, r.template, r.parents, r.landmarks, r.turns, r.noise) for r in later} == {
            ("explore", "sample", (), (), (), None)
        }
        texts = {tuple(messages(r, ReplyFormat.JSON)) for r in (empty, *later)}
        assert len(texts) == 1
        assert all(r.wanted == {} and r.references == {"island": 0, "parents": []} for r in later)
        assert {r.temperature for r in later} == set(run.config.llm.temperatures)
        assert "cross_entropy" not in "".join(m.content for m in next(iter(texts))[1:])


# ---- the paper's chat ---------------------------------------------------------------------------------------------------


def test_the_chat_begins_with_the_baselines_and_has_no_other_parents(chat: History) -> None:
    begun(chat)
    asked = request(chat, 2)
    assert asked.operator == "explore" and asked.template == "chat" and asked.wanted == {}
    assert [p.id for p in asked.parents] == [1, 2] and asked.landmarks == ()


def test_the_chat_tells_each_reply_in_its_order_with_what_came_of_it(chat: History) -> None:
    chat.scored(chat.seed("cross_entropy"), 0.5)
    chat.scored(chat.accepted(chat.bred(1)), 0.6)
    chat.archive.fail_proposal(chat.asked(2), "timeout: no answer | wait")  # a call without a reply is no turn
    chat.archive.fail_proposal(chat.replied(2, attempt=2), "no code in the reply")
    chat.refused(chat.bred(3))
    chat.duplicate(chat.bred(4), of=2)
    chat.failed(chat.accepted(chat.bred(5)))
    turns = request(chat, 6).turns
    said = [turn.reply if isinstance(turn.reply, str) else turn.reply.name for turn in turns]
    assert said == ["loss_1", "the reply of step 2", "loss_3", "loss_4", "loss_5"]
    assert [turn.fitness for turn in turns] == [0.6, None, None, None, None]
    assert [turn.failure for turn in turns] == [
        "", "no code in the reply", "the message of SBX103", "this is the same loss as loss_1", "diverged: the loss became nan",
    ]  # fmt: skip


def test_a_turn_of_the_chat_stays_as_it_was_seen(chat: History) -> None:
    chat.scored(chat.seed("cross_entropy"), 0.5)
    chat.accepted(chat.bred(1))
    seen = chat.archive.last_event()
    before = request(chat, 2).turns
    chat.scored(2, 0.6)
    chat.refused(chat.bred(2))
    assert request(chat, 2, seen).turns == before and before[0].fitness is None


def test_a_refined_parent_comes_with_its_children_for_the_built_in_proposer(tmp_path: Path) -> None:
    with history(tmp_path, search={"islands": 1}, proposer="builtin") as run:
        for name in ("cross_entropy", "mse"):
            run.seed(name)
            for number in (0, 1, 2):
                run.scored(1 if name == "cross_entropy" else 2, 0.5 + 0.01 * number * len(name), number=number)
        run.scored(run.accepted(run.bred(1, "refine", [1]), known.graph("focal")), 0.1)
        run.scored(run.accepted(run.bred(2, "refine", [1]), known.graph("label_smoothing")), 0.5)
        run.duplicate(run.bred(3, "refine", [1]), of=2)
        run.refused(run.bred(4, "refine", [1]))  # without a graph
        steps = (request(run, step) for step in range(5, 400))
        asked = next(r for r in steps if r.operator == "refine" and r.parents[0].id == 1)
        told = [(child.name, child.is_lower, child.graph) for child in asked.parents[0].children]
        assert told == [
            ("loss_3", False, known.graph("mse")),
            ("loss_2", False, known.graph("label_smoothing")),
            ("loss_1", True, known.graph("focal")),
        ]


def test_a_language_model_has_the_children_in_its_context_alone(tmp_path: Path) -> None:
    with history(
        tmp_path, search={"islands": 1}, llm={"model": "m", "usd_per_million_in": 0, "usd_per_million_out": 0}
    ) as run:
        begun(run)
        asked = first_of(run, "refine")
        assert asked.proposer == "openai" and all(parent.children == () for parent in asked.parents)
