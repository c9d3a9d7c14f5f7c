"""What the events of people mean, also where an archive holds nonsense in them."""

import pytest

from analysis.steering import Provenance, Steering, provenance_in, shown_value
from archive.records import EventKind, EventRow


def event(kind, candidate=None, payload=None, id=1):
    return EventRow(id, "2026-01-01T00:00:00+00:00", kind, candidate, None, None, payload)


def test_the_last_command_on_a_candidate_holds():
    steering = Steering.of([
        event(EventKind.PINNED, 3), event(EventKind.PINNED, 4), event(EventKind.UNPINNED, 3), event(EventKind.BANNED, 5),
        event(EventKind.BANNED, 6), event(EventKind.UNBANNED, 6), event(EventKind.NOTED, 5, {"text": "no"}),
        event(EventKind.NOTED, None, {"text": "the run"}),
    ])  # fmt: skip
    assert (steering.pinned, steering.banned) == ({4}, {5})
    assert [(note.candidate, note.text) for note in steering.notes] == [(5, "no"), (None, "the run")]


def test_a_descriptor_is_banned_by_the_value_that_show_prints():
    banned = event(EventKind.BANNED, None, {"descriptor": "convex", "value": "no"})
    steering = Steering.of([banned])
    assert steering.bans(9, {"convex": False}) and not steering.bans(9, {"convex": True}) and not steering.bans(9, {})
    steering.take(event(EventKind.UNBANNED, None, {"descriptor": "convex", "value": "no"}))
    assert not steering.bans(9, {"convex": False})


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "yes"), (0.123456, "0.123"), ("Flat", "flat"), (None, "none"), (2, "2")]
)
def test_a_value_has_one_form(value, shown):
    assert shown_value(value) == shown


@pytest.mark.parametrize(
    "payload", [None, [], {"text": 3}, {"descriptor": ["x"]}, {"given": 1}, {"given": {"candidate": "x"}}]
)
def test_a_payload_of_another_person_s_archive_may_hold_anything(payload):
    steering = Steering.of([event(kind, None, payload) for kind in EventKind])
    assert not steering.pinned and not steering.banned
    assert not steering.bans(1, {"convex": True})
    provenance_in(event(EventKind.CANDIDATE_ADDED, 1, payload))


def test_a_provenance_is_read_back():
    for given in (Provenance("sha256:1", "mine.py"), Provenance("hash:2", run="other, seed 1", candidate=12)):
        assert provenance_in(event(EventKind.CANDIDATE_ADDED, 1, given.to_json())) == given
