"""What today's command means for a directory that an earlier one has used."""

import shlex
from pathlib import Path

import pytest

from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.cli.suggestions import Given, ways_on
from evo.config.rundir import identity
from evo.config.schema import parse_config
from evo.session.earlier_session import FinishedRun, changes, finished, in_words
from fitness.task import task_info

CLASSIFICATION = {"task": "classification", "budget": {"proposals": 0}}


def _archive(folder, settings=CLASSIFICATION, events=(EventKind.SESSION_STARTED, EventKind.FINISHED), before=None):
    config = parse_config(settings)
    info = task_info(config.task, config.fitness)
    recorded = config.model_dump(mode="json") | (before or {})
    row = RunRow(config.name, config.seed, config.task, info.contract, identity(config, info), recorded)
    with Archive.create(folder / "archive.db", row) as archive:
        for kind in events:
            archive.event(kind, {"config": recorded, "reason": "as recorded"})
    return config, info


def test_a_run_whose_final_was_measured_and_whose_budget_is_reached_is_finished(tmp_path):
    config, info = _archive(tmp_path)
    ended = finished(tmp_path, config, info)
    assert ended is not None and ended.reason == "the budget of 0 proposals is reached"
    assert ended.larger == {"budget.proposals": 1}


@pytest.mark.parametrize(
    "events",
    [(), (EventKind.SESSION_STARTED,), (EventKind.SESSION_STARTED, EventKind.FINISHED, EventKind.SESSION_STARTED)],
    ids=["nothing", "begun", "again"],
)
def test_a_run_that_was_killed_is_not_finished_whatever_the_settings(tmp_path, events):
    _, info = _archive(tmp_path, events=events)
    assert finished(tmp_path, parse_config(CLASSIFICATION | {"llm": {"model": "other"}}), info) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"llm": {"model": "other"}},
        {"llm": {"temperatures": [0.2]}},
        {"search": {"islands": 5}},
        {"ladder": {"finalist_seeds": 9}},
        {"seeds": ["mse"]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_finished_run_refuses_settings_under_which_something_else_would_run(tmp_path, settings):
    _, info = _archive(tmp_path)
    with pytest.raises(FinishedRun, match=f"other settings: .*{next(iter(settings))}.* from "):
        finished(tmp_path, parse_config(CLASSIFICATION | settings), info)


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 3, "threads": 2, "timeout_seconds": 9.0},
        {"name": "mine"},
        {"proposer": "builtin"},
        {"llm": {"attempts": 9, "timeout_seconds": 1.0, "usd_per_million_in": 1.0}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_that_change_nothing_of_a_finished_run_are_taken(tmp_path, settings):
    _, info = _archive(tmp_path)
    assert finished(tmp_path, parse_config(CLASSIFICATION | settings), info) is not None


def test_a_run_of_another_identity_is_left_to_the_check_of_identities(tmp_path):
    _archive(tmp_path)
    for change in ({"seed": 4}, {"baseline": "mse"}):
        assert finished(tmp_path, parse_config(CLASSIFICATION | change), task_info("classification")) is None


def test_a_larger_budget_continues_a_finished_run_with_other_settings(tmp_path):
    _, info = _archive(tmp_path)
    assert finished(tmp_path, parse_config({"task": "classification", "search": {"islands": 5}}), info) is None


def test_a_budget_that_is_raised_while_another_one_is_reached_continues_nothing(tmp_path):
    _, info = _archive(tmp_path, CLASSIFICATION | {"budget": {"proposals": 0, "seconds": 60}})
    raised = parse_config(CLASSIFICATION | {"budget": {"proposals": 0, "seconds": 600}})
    assert finished(tmp_path, raised, info) is not None


def test_a_run_that_ended_short_of_a_limit_is_finished_until_that_limit_grows(tmp_path):
    budget = {"proposals": None, "tokens": 900}
    config, info = _archive(tmp_path, CLASSIFICATION | {"budget": budget})
    ended = finished(tmp_path, config, info)
    assert ended is not None and ended.reason == "as recorded" and ended.larger == {"budget.tokens": 1800}
    more = parse_config(CLASSIFICATION | {"budget": budget | {"tokens": 1000}})
    assert finished(tmp_path, more, info) is None


def test_every_budget_that_is_reached_has_to_grow(tmp_path):
    config, info = _archive(tmp_path, CLASSIFICATION | {"budget": {"proposals": 0, "evaluations": 0}})
    ended = finished(tmp_path, config, info)
    assert ended is not None and set(ended.larger) == {"budget.proposals", "budget.evaluations"}


def test_a_key_that_an_older_version_did_not_know_had_its_default():
    config = parse_config({})
    recorded = config.model_dump(mode="json")
    del recorded["search"], recorded["ladder"]["optimism"], recorded["timeout_seconds"]
    assert changes(recorded, config) == []
    assert in_words(changes(recorded, parse_config({"ladder": {"optimism": 3}}))) == "ladder.optimism from 2.0 to 3.0"


def test_auto_is_the_proposer_that_it_chose():
    recorded = parse_config({}).model_dump(mode="json")
    assert changes(recorded, parse_config({"proposer": "builtin"})) == []
    assert [c.key for c in changes(recorded, parse_config({"llm": {"model": "m"}}))] == ["proposer", "llm.model"]


def test_a_change_is_one_safe_line_without_a_password():
    recorded = parse_config({}).model_dump(mode="json")
    changed = changes(
        recorded, parse_config({"llm": {"base_url": "http://me:secret@host/v1", "model": "a\x1b[31m\nb"}})
    )
    assert "secret" not in in_words(changed) and "http://host/v1" in in_words(changed)
    assert "\x1b" not in in_words(changed) and "\n" not in in_words(changed)


def test_the_ways_on_are_commands_that_can_be_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/embedded-2-s3").mkdir(parents=True)
    given = Given("evopo", Path("my file.yaml"), None, ("budget.proposals = 8", "llm.model=a b; rm x"), 3)
    lines = ways_on(given, parse_config({"seed": 3}), Path("runs/embedded-s3"), {"budget.proposals": 16.0}).splitlines()
    assert shlex.split(lines[1]) == [
        "evopo", "run", "my file.yaml", "--set", "budget.proposals = 8", "--set", "llm.model=a b; rm x", "--set",
        "name=embedded-3", "--seed", "3",
    ]  # fmt: skip
    assert shlex.split(lines[3]) == [
        "evopo", "run", "my file.yaml", "--set", "llm.model=a b; rm x", "--set", "budget.proposals=16", "--seed", "3",
    ]  # fmt: skip
    assert lines[5] == "  evopo status runs/embedded-s3"


def test_with_a_directory_of_its_own_the_other_way_is_another_directory(tmp_path):
    given = Given("evopo", directory=tmp_path / "run")
    (tmp_path / "run-2").mkdir()
    assert f"evopo run --dir {tmp_path}/run-3" in ways_on(given, parse_config({}), tmp_path / "run", {})
