"""Variants and their trainings: recorded once, read back, and seen by nothing that does not ask for them."""

import math
import sqlite3
from contextlib import closing

import pytest

from archive.errors import CorruptArchive, MissingRow, WrongState
from archive.query import Reader
from archive.records import NOT_FINITE, EventKind, Items, Usage


@pytest.fixture
def variant(write):
    """The id of a variant of candidate 1."""
    return write.archive.variants.add(write.seed(), "autopsy", [["drop", 3, 0]], "{}", "g1:a")


def test_a_variant_is_read_back_as_it_was_recorded(write, reader, variant):
    (row,) = reader.variants()
    assert (row.id, row.candidate_id, row.purpose, row.edit) == (variant, 1, "autopsy", [["drop", 3, 0]])
    assert (row.graph, row.hash, row.status, row.rules) == ("{}", "g1:a", None, ())
    write.archive.variants.vet(variant, "refused", ["SBX301", "SBX312"])
    (row,) = reader.variants(1)
    assert (row.status, row.rules) == ("refused", ("SBX301", "SBX312"))
    assert reader.variants(2) == []


def test_the_same_edit_for_the_same_purpose_is_one_variant(write, reader, variant):
    assert write.archive.variants.add(1, "autopsy", [["drop", 3, 0]], "{}", "g1:a") == variant
    assert write.archive.variants.add(1, "tune", [["drop", 3, 0]], "{}", "g1:a") != variant
    assert [row.purpose for row in reader.variants()] == ["autopsy", "tune"]


def test_a_training_is_read_back_and_recorded_once(write, reader, variant):
    items = Items((0.25, 0.75), ("a", "b"))
    write.archive.variants.score(variant, "full", 7, 0.5, {"kl": 2.0}, 3.0, items=items)
    (row,) = reader.variant_evaluations()
    assert (row.variant_id, row.rung, row.seed, row.fitness, row.metrics, row.seconds) == (
        variant,
        "full",
        7,
        0.5,
        {"kl": 2.0},
        3.0,
    )
    assert (row.beta, row.learning_rate, row.reason, row.items) == (None, None, None, items)
    with pytest.raises(WrongState):
        write.archive.variants.score(variant, "full", 7, 0.6)
    write.archive.variants.score(variant, "full", 7, 0.6, beta=0.2)
    assert [row.beta for row in reader.variant_evaluations(1)] == [None, 0.2]


@pytest.mark.parametrize("fitness", [math.nan, math.inf, 1e200])
def test_a_fitness_that_is_not_finite_is_a_failed_training(write, reader, variant, fitness):
    write.archive.variants.score(variant, "full", 7, fitness)
    (row,) = reader.variant_evaluations()
    assert (row.fitness, row.reason) == (None, NOT_FINITE)


def test_a_failed_training_has_its_reason_and_what_its_judge_was_paid(write, reader, variant):
    before = reader.spending()
    write.archive.variants.fail(variant, "full", 7, "diverged", "the loss became infinite", judged=Usage(10, 5, 0.25))
    (row,) = reader.variant_evaluations()
    assert (row.fitness, row.reason, row.detail) == (None, "diverged", "the loss became infinite")
    after = reader.spending()
    assert (after.judge_tokens_in, after.judge_tokens_out, after.judge_usd) == (10, 5, before.judge_usd + 0.25)


def test_the_past_has_no_later_variants_and_trainings(write, reader, variant):
    events = [reader.last_event()]
    write.archive.variants.vet(variant, "accepted", [])
    events.append(reader.last_event())
    write.archive.variants.score(variant, "full", 7, 0.5)
    then = [reader.as_of(event) for event in (events[0] - 1, *events)]
    assert [[row.status for row in view.variants()] for view in then] == [[], [None], ["accepted"]]
    assert [len(view.variant_evaluations()) for view in then] == [0, 0, 0]
    assert [event.kind for event in reader.events(after=events[0] - 1)] == [
        EventKind.VARIANT_ADDED, EventKind.VARIANT_VETTED, EventKind.VARIANT_SCORED,
    ]  # fmt: skip


def test_nothing_else_in_the_archive_sees_them(write, reader, variant):
    write.score(1, 0.4)
    before = (reader.standings(), reader.evaluations(), reader.candidates(), reader.spending())
    write.archive.variants.score(variant, "full", 0, 0.9)
    assert (reader.standings(), reader.evaluations(), reader.candidates(), reader.spending()) == before
    with closing(sqlite3.connect(reader.path)) as database:
        assert database.execute("SELECT count(*), max(fitness) FROM leaderboard").fetchone() == (1, 0.4)


def test_a_variant_or_candidate_that_is_not_there_is_named(write, reader, variant):
    with pytest.raises(MissingRow, match="no variant 9"):
        write.archive.variants.score(9, "full", 0, 0.5)
    with pytest.raises(MissingRow):
        write.archive.variants.add(77, "autopsy", [], "{}", "g1:b")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE variant SET edit = '{'",
        "UPDATE variant SET vetted_event = 1, status = 'accepted', rules = '[1]'",
        "UPDATE variant_evaluation SET fitness = 'high'",
        "UPDATE variant_evaluation SET items = x'00'",
    ],
)
def test_damage_is_found_on_reading(write, variant, path, change):
    write.archive.variants.score(variant, "full", 0, 0.5)
    write.archive.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(change)
        database.commit()
    with Reader.open(path) as reader, pytest.raises(CorruptArchive, match="variant"):
        (reader.variants(), reader.variant_evaluations())
