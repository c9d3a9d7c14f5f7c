"""The state of a search: built from the archive's events alone, and so the same whenever it is built."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from histories import History, history

from archive.errors import CorruptArchive
from archive.query import Reader
from evo.config.schema import ConfigError, parse_config
from evo.display.screen import best_so_far
from evo.search.population import Population
from evo.search.seed_losses import baseline_of_new_run, require_seed_losses
from evo.search.selection.bandit import rewards
from evo.search.selection.members import SelectionSettings
from evo.search.selection.select import residents
from fitness.task import task_info

INFO = task_info("classification")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[History]:
    with history(tmp_path) as run:
        yield run


def of_every_kind(run: History) -> None:
    """Seed losses, and one proposal of each fate."""
    first, second = run.seed("cross_entropy"), run.seed("mse")
    for rung, fitness in (("short", 0.5), ("full", 0.7)):
        run.scored(first, fitness, rung)
        run.scored(second, fitness - 0.1, rung)
    run.scored(run.accepted(run.bred(1, "refine", [first])), 0.6)
    run.refused(run.bred(2, "explore", [first, second]))
    run.duplicate(run.bred(3, "combine", [first, second]), of=3)
    run.failed(run.accepted(run.bred(4, "refine", [3])))
    run.archive.fail_proposal(run.replied(5), "no code in the reply")
    run.bred(6)


# ---- from events ------------------------------------------------------------------------------------------------------


def test_taking_in_one_event_after_the_other_comes_to_the_same_as_all_at_once(run: History) -> None:
    of_every_kind(run)
    step_by_step = Population(run.config, run.info, 1)
    for event in run.reader.events():
        step_by_step.advance(run.reader, event.id)
    at_once = run.population()
    assert [*step_by_step.members] == [*at_once.members]
    assert step_by_step.entries() == at_once.entries()
    assert step_by_step.spent(0.0) == at_once.spent(0.0) and step_by_step.tally() == at_once.tally()


def test_what_came_after_an_event_is_not_seen_at_it(run: History) -> None:
    run.scored(run.seed("cross_entropy"), 0.5)
    before, event = [*run.population().members], run.archive.last_event()
    run.scored(1, 0.9, number=1)
    run.accepted(run.bred(1))
    assert [*run.population(upto=event).members] == before != [*run.population().members]


def test_taking_in_the_same_events_again_changes_nothing(run: History) -> None:
    of_every_kind(run)
    population = run.population()
    before = [*population.members], population.spent(1.0), population.tally()
    population.advance(run.reader)
    assert ([*population.members], population.spent(1.0), population.tally()) == before


def test_the_baseline_is_that_of_the_run_whatever_the_configuration_says_by_now(run: History) -> None:
    run.config = parse_config({"task": "classification", "seeds": ["mse"]})
    assert Population(run.config, run.info, 1).baseline_name == "mse"
    assert run.population().baseline_name == "cross_entropy"


def test_a_verdict_on_a_candidate_that_was_never_added_is_a_damaged_archive(run: History, tmp_path: Path) -> None:
    run.seed("cross_entropy")
    run.archive.close()
    with closing(sqlite3.connect(tmp_path / "archive.db")) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("DELETE FROM event WHERE kind = 'candidate_added'")
        database.commit()
    with (
        Reader.open(tmp_path / "archive.db") as reader,
        pytest.raises(CorruptArchive, match="before the candidate was added"),
    ):
        Population(run.config, run.info, 1).advance(reader)


def test_the_time_between_two_sessions_counts_for_nobody(run: History, tmp_path: Path) -> None:
    run.seed("cross_entropy")
    run.archive.event("session_started", {"config": {}, "fitness": {}})
    run.seed("mse")
    run.archive.close()
    with closing(sqlite3.connect(tmp_path / "archive.db")) as database:
        (began,) = database.execute("SELECT max(id) FROM event WHERE kind = 'session_started'").fetchone()
        database.execute("UPDATE event SET at = '2026-01-01T10:00:00.000+00:00' WHERE id < ?", (began,))
        database.execute("UPDATE event SET at = '2026-01-05T10:00:00.000+00:00' WHERE id >= ?", (began,))
        database.execute("UPDATE event SET at = '2026-01-05T10:00:07.000+00:00' WHERE id > ?", (began,))
        database.commit()
    with Reader.open(tmp_path / "archive.db") as reader:
        assert Population(run.config, run.info, 1).advance(reader).recorded_seconds == pytest.approx(7.0)


# ---- what became of a candidate ---------------------------------------------------------------------------------------


def test_what_was_refused_failed_or_is_a_duplicate_is_no_parent_and_what_is_not_vetted_no_member(run: History) -> None:
    of_every_kind(run)
    members = run.population().members
    assert {m.candidate_id: m.usable for m in members} == {1: True, 2: True, 3: True, 4: False, 5: False, 6: False}
    assert [m.candidate_id for m in members if m.rules] == [4], "what may be repaired"


def test_only_what_may_be_trained_is_in_the_race(run: History) -> None:
    of_every_kind(run)
    assert [entry.candidate_id for entry in run.population().entries()] == [1, 2, 3, 6]


def test_replies_are_counted_by_what_came_of_them_and_seed_losses_are_no_replies(run: History) -> None:
    of_every_kind(run)
    tally = run.population().tally()
    assert (tally.accepted, tally.refused, tally.duplicate, tally.failed, tally.unusable) == (2, 1, 1, 1, 1)


def test_a_call_that_failed_is_no_reply_without_a_loss_unless_its_step_is_over(run: History) -> None:
    run.archive.fail_proposal(run.asked(1), "server_error: 503 | wait")
    assert run.population().tally().unusable == 0
    run.archive.fail_proposal(run.asked(2), "malformed: a web page | correct the address", ends_step=True)
    assert run.population().tally().unusable == 1


def test_a_loss_is_used_by_those_that_were_made_from_it_and_not_by_those_that_were_shown_it(run: History) -> None:
    run.seed("cross_entropy")
    run.bred(1, "explore", [1])
    run.bred(2, "refine", [1])
    run.bred(3, "combine", [1, 2])
    uses = {m.candidate_id: m.uses for m in run.population().members}
    assert uses == {1: 2}


def test_one_failed_training_fails_a_loss_for_good_whatever_it_scored_elsewhere(run: History) -> None:
    run.scored(run.seed("cross_entropy"), 0.5)
    child = run.accepted(run.bred(1))
    run.scored(child, 0.9, "short")
    run.failed(child, "full")
    population = run.population()
    member = population.members[-1]
    assert (member.usable, member.fitness) == (False, None)
    assert population.best() is None


# ---- fitness ----------------------------------------------------------------------------------------------------------


def test_fitness_is_the_difference_to_the_baseline_on_shared_seeds_at_the_dearest_rung_that_both_reached(
    run: History,
) -> None:
    run.seed("cross_entropy")
    for number, fitness in enumerate((0.50, 0.60, 0.70)):
        run.scored(1, fitness, "short", number)
    run.scored(1, 0.8, "full", 0)
    child = run.accepted(run.bred(1))
    run.scored(child, 0.55, "short", 0)
    run.scored(child, 0.75, "short", 1)
    population = run.population()
    assert population.advantage(population.individuals[child]) == (pytest.approx(0.10), 2)
    run.scored(child, 0.7, "full", 0)
    population = run.population()
    assert population.advantage(population.individuals[child]) == (pytest.approx(-0.1), 1)


def test_a_loss_that_shares_no_seed_with_the_baseline_has_no_fitness_yet(run: History) -> None:
    run.scored(run.seed("cross_entropy"), 0.5, number=0)
    child = run.scored(run.accepted(run.bred(1)), 0.9, number=1)
    population = run.population()
    assert population.advantage(population.individuals[child]) is None
    assert population.members[-1].fitness is None


def test_the_search_looks_at_no_seed_of_the_final_and_at_no_other_beta_or_learning_rate(run: History) -> None:
    run.scored(run.seed("cross_entropy"), 0.5)
    child = run.scored(run.accepted(run.bred(1)), 0.6)
    before = [*run.population().members]
    run.archive.event("final", {"rung": "held_out", "seeds": [11, 12]})
    for candidate in (1, child):
        for seed in (11, 12):
            run.archive.score_evaluation(run.archive.queue_evaluation(candidate, "classification", "full", seed), 0.99)
        run.scored(candidate, 0.01, learning_rate=0.1)
    population = run.population()
    assert [*population.members] == before
    assert population.measured_in_final == 4 and population.seeds.final == (11, 12)


def test_the_best_is_a_proposal_of_the_dearest_rung_that_any_has_reached(run: History) -> None:
    for rung in ("short", "full"):
        run.scored(1 if rung == "full" else run.seed("cross_entropy"), 0.5, rung)
    assert run.population().best() is None and best_so_far(run.population()) == "none yet"
    high = run.scored(run.accepted(run.bred(1)), 0.9, "short")
    population = run.population()
    assert population.best() is population.individuals[high]
    proven = run.scored(run.scored(run.accepted(run.bred(2)), 0.6, "short"), 0.52, "full")
    population = run.population()
    assert population.best() is population.individuals[proven]
    assert best_so_far(population).startswith("loss_2 (+0.020, error unknown to cross_entropy, 1 seed)")


def test_the_error_of_a_fitness_is_known_once_some_loss_has_several_seeds(run: History) -> None:
    run.scored(run.seed("cross_entropy"), 0.5, number=0)
    child = run.scored(run.accepted(run.bred(1)), 0.6, number=0)
    assert run.population().members[-1].standard_error is None
    run.scored(1, 0.5, number=1)
    run.scored(child, 0.8, number=1)
    error = run.population().members[-1].standard_error
    assert error == pytest.approx(0.2 / 2**0.5 / 2**0.5)  # of the two differences 0.1 and 0.3


# ---- islands and operators ----------------------------------------------------------------------------------------------


def test_seed_losses_are_spread_over_the_islands_and_a_proposal_lives_where_it_was_asked_for(run: History) -> None:
    run.seed("cross_entropy")
    run.seed("mse")
    for step in (1, 2, 3):
        run.accepted(run.bred(step, island=1))
    members = run.population().members
    assert [m.island for m in members] == [0, 1, 1, 1, 1]
    apart = SelectionSettings(islands=2, migration_every=100)
    assert [members[at].candidate_id for at in residents(members, 0, apart)] == [1, 2], (
        "seed losses live on all of them"
    )


def test_what_the_operators_were_worth_is_the_same_after_a_restart(run: History) -> None:
    of_every_kind(run)
    live = Population(run.config, run.info, 1)
    for event in run.reader.events():
        live.advance(run.reader, event.id)
    settings = SelectionSettings()
    ours, theirs = (rewards(population.members, settings) for population in (live, run.population()))
    assert [*ours.reward] == [*theirs.reward] and [*ours.weight] == [*theirs.weight]
    arms = {m.candidate_id: m.arm for m in run.population().members}
    assert arms[3] == "openai/0.7" and arms[1] == ""


def test_seed_losses_have_begun_once_each_has_a_result_or_was_refused(run: History) -> None:
    run.seed("cross_entropy")
    second = run.seed("mse", vetted=False)
    assert run.population().begun_seed_losses == 0
    run.scored(1, 0.5)
    assert run.population().begun_seed_losses == 1
    run.refused(second)
    assert run.population().begun_seed_losses == 2


# ---- configuration ------------------------------------------------------------------------------------------------------


def test_a_seed_loss_that_nobody_knows_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"seeds: no known loss 'focl'; known: .*did you mean focal\?"):
        Population(parse_config({"task": "classification", "seeds": ["focl"]}), INFO, 1)


def test_a_name_that_two_published_versions_share_is_refused_for_a_new_run_and_continues_an_old_one() -> None:
    old, info = parse_config({"task": "sentiment", "seeds": ["dpo", "aql"]}), task_info("sentiment")
    with pytest.raises(ConfigError, match=r"seeds: 'aql' was published in two versions: aql_found .* aql_repository"):
        require_seed_losses(old, info)
    assert Population(old, info, 1).seed_losses == ("dpo", "aql")


@pytest.mark.parametrize(
    ("settings", "baseline"),
    [
        ({}, "cross_entropy"),
        ({"seeds": ["mse", "cross_entropy"]}, "cross_entropy"),
        ({"seeds": ["mse", "focal"]}, "mse"),
        ({"seeds": ["mse", "focal"], "baseline": "focal"}, "focal"),
        ({"seeds": []}, None),
    ],
    ids=str,
)
def test_the_baseline_is_the_configured_one_or_the_usual_one_or_the_first(
    settings: dict[str, object], baseline: str | None
) -> None:
    assert baseline_of_new_run(parse_config({"task": "classification", **settings}), INFO) == baseline


def test_a_baseline_that_is_no_seed_loss_is_refused() -> None:
    config = parse_config({"task": "classification", "seeds": ["mse"], "baseline": "focal"})
    with pytest.raises(
        ConfigError, match="'focal' is not a seed loss of this run, expected one of mse; add it to seeds"
    ):
        baseline_of_new_run(config, INFO)
