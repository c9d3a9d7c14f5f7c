"""The running time of a run is that of its sessions: neither pauses nor the time of other commands count."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from archive.records import EventKind, EventRow
from archive.running_time import RunningTime

START = datetime(2026, 1, 1, 10, tzinfo=UTC)


def seconds(*events: tuple[float, str] | tuple[float, str, dict[str, Any]]) -> float:
    """Running time after events, each with its time in seconds, its kind, and its payload if it matters."""
    numbers, time = count(1), RunningTime()
    for at, kind, *payload in events:
        when = (START + timedelta(seconds=at)).isoformat()
        time.take(EventRow(next(numbers), when, kind, None, None, None, payload[0] if payload else {}))
    return time.seconds


SESSION = (10.0, "session_started"), (12.0, "proposal_requested"), (15.0, "evaluation_scored")
LATER = (5000.0, "session_started"), (5003.0, "evaluation_scored")


def test_a_session_counts_from_its_start_to_its_last_event():
    assert seconds((0.0, "run_created"), *SESSION) == 5
    assert seconds((0.0, "run_created"), *SESSION, (16.0, "finished")) == 6


def test_without_recorded_sessions_the_first_event_begins_one():
    assert seconds((0.0, "run_created"), (3.0, "proposal_requested"), (5.0, "evaluation_scored")) == 5


def test_the_pause_between_two_sessions_does_not_count():
    assert seconds(*SESSION, *LATER) == 8
    assert seconds(*SESSION, (16.0, "finished"), *LATER) == 9


@pytest.mark.parametrize("finished", [(), ((15.0, "finished"),)])
@pytest.mark.parametrize(
    "kind", ["autopsy", "evaluate", "baselines", "sweep", "policy_added", "answered", "judge_asked"]
)
def test_what_other_commands_write_between_two_sessions_does_not_count(kind, finished):
    others = (3000.0, kind), (3600.0, "charged"), (3700.0, "variant_added"), (3800.0, "evaluation_scored")
    assert seconds(*SESSION, *finished, *others, *LATER) == 8


def test_trainings_of_an_autopsy_do_not_count_and_those_of_a_study_do():
    ended = EventKind.VARIANT_SCORED
    assert seconds(*SESSION, (3000.0, ended, {"variant": 1, "purpose": "autopsy"}), *LATER) == 8
    assert seconds(*SESSION, (25.0, ended, {"variant": 1, "purpose": "tune"}), *LATER) == 18


def test_people_may_write_while_a_session_runs():
    assert seconds(*SESSION, (16.0, "noted"), (18.0, "proposal_received"), (4000.0, "pinned"), *LATER) == 11


def test_a_clock_that_is_set_back_takes_no_time_away():
    assert seconds(*SESSION, (11.0, "proposal_received"), (14.0, "evaluation_scored")) == 8
