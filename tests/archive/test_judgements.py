"""Judged policies, their answers and judgements: recorded once, read back, paid for once."""

import sqlite3
from contextlib import closing

import pytest

from archive.errors import CorruptArchive, MissingRow, WrongState
from archive.judgements import AnswerRow, JudgementRow, open_requests
from archive.query import Reader
from archive.records import EventKind, Usage


@pytest.fixture
def judged(archive):
    return archive.judgements


def answer(policy: int, text: str = "good film", *, seed: int = 0, key: str = "k") -> AnswerRow:
    return AnswerRow(0, policy, "mt-bench", "81", "writing", (text, "second"), seed, 7, {"kl": 0.5}, key)


def judgement(
    first: int, second: int | None = None, *, grade: float | None = 6.5, usage=None, key: str = "q"
) -> JudgementRow:
    return JudgementRow(
        0, "mt-bench", "81", "writing", 1, "single", "ab" * 32, "judge-1", first, second, grade,
        "Rating: [[6.5]] \ud800", usage, key, {"m": -0.5},
    )  # fmt: skip


def test_rows_are_read_back_as_they_were_recorded(judged, reader):
    policy = judged.add_policy("dpo, seed 3", "trained", "d1", loss="dpo", seed=3, recipe={"beta": 0.05})
    reference = judged.add_policy("reference", "reference", "d0")
    (id,) = judged.add_answers([answer(policy)])
    judged.add_judgement(judgement(id, usage=Usage(100, 20, 0.01)), judged.ask("q", Usage(200, 50, 0.02)))
    assert [(row.id, row.name, row.kind, row.loss, row.seed, row.recipe) for row in reader.policies()] == [
        (policy, "dpo, seed 3", "trained", "dpo", 3, {"beta": 0.05}), (reference, "reference", "reference", None, None, {}),
    ]  # fmt: skip
    (row,) = reader.answers("mt-bench")
    assert (row.turns, row.tokens, row.metrics, row.key) == (("good film", "second"), 7, {"kl": 0.5}, "k")
    (row,) = reader.judgements("mt-bench")
    assert (row.first, row.second, row.grade, row.usage) == (id, None, 6.5, Usage(100, 20, 0.01))
    assert row.reply == "Rating: [[6.5]] \ud800" and row.alternatives == {"m": -0.5}
    assert reader.answers("tldr") == reader.judgements("tldr") == []


def test_a_policy_of_the_same_content_is_recorded_once(judged, reader):
    assert judged.add_policy("a", "model", "same") == judged.add_policy("b", "model", "same")
    assert [row.name for row in reader.policies()] == ["a"]


def test_an_answer_and_a_judgement_are_recorded_once(judged):
    policy = judged.add_policy("reference", "reference", "d0")
    first, second = judged.add_answers([answer(policy), answer(policy, seed=1)])
    with pytest.raises(WrongState):
        judged.add_answers([answer(policy, key="new"), answer(policy)])
    judged.add_judgement(judgement(first, second))
    judged.add_judgement(judgement(second, first))
    with pytest.raises(WrongState):
        judged.add_judgement(judgement(first, second))
    with pytest.raises(MissingRow):
        judged.add_answers([answer(99)])


def test_answers_of_one_batch_are_recorded_together_or_not_at_all(judged, reader):
    policy = judged.add_policy("reference", "reference", "d0")
    with pytest.raises(WrongState):
        judged.add_answers([answer(policy), answer(policy)])
    assert reader.answers() == []


def test_a_request_is_paid_for_once_and_an_open_one_is_known(judged, archive, reader):
    most = Usage(200, 50, 0.02)
    policy = judged.add_policy("reference", "reference", "d0")
    (id,) = judged.add_answers([answer(policy)])
    answered, cut_off, refused = (judged.ask(key, most) for key in ("q", "r", "s"))
    judged.add_judgement(judgement(id, usage=Usage(100, 20, 0.01)), answered)
    judged.settle(refused, Usage(0, 0, 0.0))
    left = open_requests(reader.events(kind=EventKind.JUDGE_ASKED), reader.events(kind=EventKind.CHARGED))
    assert left == {cut_off: most}
    judged.settle(cut_off, most, possibly_paid=True)
    assert not open_requests(reader.events(kind=EventKind.JUDGE_ASKED), reader.events(kind=EventKind.CHARGED))
    spent = reader.spending()
    assert (spent.judge_tokens_in, spent.judge_tokens_out, spent.judge_possibly_paid) == (300, 70, 1)
    assert spent.judge_usd == pytest.approx(0.03)


def test_a_copied_reply_costs_nothing(judged, reader):
    policy = judged.add_policy("reference", "reference", "d0")
    first, second = judged.add_answers([answer(policy), answer(policy, seed=1)])
    judged.add_judgement(judgement(first, usage=Usage(100, 20)), judged.ask("q", Usage(200, 50)))
    judged.add_judgement(judgement(second))
    assert [row.usage for row in reader.judgements()] == [Usage(100, 20), None]
    assert reader.spending().judge_tokens_in == 100


def test_an_earlier_state_lacks_what_came_later(judged, archive, reader):
    policy = judged.add_policy("reference", "reference", "d0")
    then = archive.last_event()
    (id,) = judged.add_answers([answer(policy)])
    judged.add_judgement(judgement(id))
    past = reader.as_of(then)
    assert past.policies() and not past.answers() and not past.judgements()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE answer SET turns = '[1]'", "answer.turns"),
        ("UPDATE answer SET turns = '[\"a\"'", "answer.turns"),
        ("UPDATE answer SET tokens = -1", "answer.tokens"),
        ("UPDATE answer SET policy_id = 'x'", "answer.policy_id"),
        ("UPDATE judgement SET grade = 'good'", "judgement.grade"),
        ("UPDATE judgement SET first = -1", "judgement.first"),
        ("UPDATE judgement SET reply = x'0101'", "judgement.reply"),
        ("UPDATE policy SET recipe = '3'", "policy.recipe"),
        ("UPDATE policy SET kind = 'other'", "policy.kind"),
    ],
)
def test_a_changed_value_is_a_corrupt_archive(judged, archive, path, change, named):
    policy = judged.add_policy("reference", "reference", "d0")
    (id,) = judged.add_answers([answer(policy)])
    judged.add_judgement(judgement(id))
    archive.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(change)
        connection.commit()
    with Reader.open(path) as reader, pytest.raises(CorruptArchive, match=named):
        reader.policies(), reader.answers(), reader.judgements()
