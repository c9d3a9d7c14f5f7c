"""Packed values: exact, smaller, and refused where they are damaged or too large."""

import json
import math
import sqlite3
import tracemalloc
import zlib
from contextlib import closing

import pytest

from archive.errors import CorruptArchive
from archive.query import Reader
from archive.sqlite import packed
from archive.sqlite.packed import LARGEST_UNPACKED, pack, pack_like, unpack, unpack_like, unpack_start

FINGERPRINT = {"key": "f1:ab", "vector": [-0.5, 1e-300, -1e300, 5e-324, 0.1 + 0.2, -0.0, 1.7976931348623157e308]}
REQUEST = "\n".join(f"Line {number} of what every request says." for number in range(60))


@pytest.mark.parametrize("text", ["", "{}", json.dumps(FINGERPRINT), '"\U0001f600 é"', "x" * 100_000])
def test_packing_keeps_every_byte(text):
    assert unpack(pack(text), "here") == text


def test_the_beginning_of_a_text_is_unpacked_alone():
    text = json.dumps(FINGERPRINT)
    assert [unpack_start(pack(text), most, "here") for most in (10, 1000)] == [text[:10], text]
    assert unpack_start(pack("x" * 20 + "é"), 30, "here") == "", "the limit is one of bytes, and could cut a character"
    with pytest.raises(CorruptArchive, match="here should hold zlib data"):
        unpack_start(pack(text)[:1] + b"no zlib data", 10, "here")


def test_numbers_of_a_fingerprint_stay_exact(write, reader):
    candidate = write.archive.add_candidate("seed", "dpo", "", "source", "preference")
    verdict = {"status": "accepted", "graph": {"nodes": [0.1]}, "fingerprint": FINGERPRINT, "guarantees": {"a": "b"}}
    write.archive.record_verdict(candidate, verdict)
    row = reader.verdict(candidate)
    assert row.fingerprint == FINGERPRINT and row.guarantees == {"a": "b"}
    assert math.copysign(1.0, row.fingerprint["vector"][5]) == -1.0
    assert row.graph == '{"nodes":[0.1]}'


def test_the_released_form_stays_readable():
    blob = bytes.fromhex("0178F9DD62EEB98369CE56AA0500155A036F")
    assert unpack(blob, "here") == '{"key":"k"}', "the dictionary of a released form never changes"


@pytest.mark.parametrize("blob", [b"", b"\x02abc", b"\x01abc", pack("{}")[:-3], b"\x01" + zlib.compress(b"{}")[:-1]])
def test_a_damaged_value_is_an_error(blob):
    with pytest.raises(CorruptArchive, match="here"):
        unpack(blob, "here")


def test_a_compression_bomb_is_refused():
    with pytest.raises(CorruptArchive, match="complete and at most"):
        unpack(pack("0" * (LARGEST_UNPACKED + 1)), "here")


def test_verdicts_unpack_only_what_is_asked_for_and_keep_nothing(write, reader):
    """However many values unpack to much, only one of them is in memory at a time."""
    size = 2**20
    for number in range(24):
        candidate = write.archive.add_candidate("seed", f"loss{number}", "", "source", "preference")
        write.archive.record_verdict(candidate, {"status": "accepted", "graph": "0" * size})
    tracemalloc.start()
    try:
        verdicts = reader.verdicts()
        assert all(len(verdict.graph or "") == size for verdict in verdicts)
        assert tracemalloc.get_traced_memory()[1] < 8 * size
    finally:
        tracemalloc.stop()


def test_a_text_needs_the_model_that_it_was_packed_with():
    blob = pack_like("one more line", "a model")
    assert unpack_like(blob, "a model", "here") == "one more line"
    with pytest.raises(CorruptArchive, match="here"):
        unpack_like(blob, "another model", "here")


def ask(write, step, user):
    return write.archive.request_proposal(
        step, 0, "refine", "llm", "m", 0.5, "t", {}, 0, [("system", "You invent losses."), ("user", user)]
    )


def test_what_every_request_repeats_is_stored_once(write, reader, path):
    users = [f"{REQUEST}\nThe parent of step {step} is \ud800{step * 7919}." for step in range(30)]
    asked = [ask(write, step, user) for step, user in enumerate(users)]
    assert [reader.prompt(id)[1] for id in asked] == [("user", user) for user in users]
    assert {reader.prompt(id)[0] for id in asked} == {("system", "You invent losses.")}
    with closing(sqlite3.connect(path)) as database:
        sizes = [size for (size,) in database.execute("SELECT length(content) FROM text ORDER BY id")]
    assert len(sizes) == 31, "the system message is stored once"
    assert max(sizes[2:]) < 100 < sizes[1]


def test_the_same_text_is_stored_once_also_after_reopening(write, reader):
    first, second = ask(write, 1, REQUEST), ask(write, 2, REQUEST)
    assert reader.prompt(first) == reader.prompt(second)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE text SET base = 99 WHERE id = 3",
        "UPDATE text SET base = 3 WHERE id = 2",
        "UPDATE text SET base = NULL WHERE id = 3",
        "UPDATE text SET content = x'00' WHERE id = 2",
        'UPDATE proposal SET prompt = \'[["user", "3"]]\'',
        "UPDATE proposal SET prompt = '[[\"user\", true]]'",
    ],
)
def test_a_damaged_text_is_an_error_and_not_another_text(write, path, change):
    ask(write, 1, f"{REQUEST}\none")
    asked = ask(write, 2, f"{REQUEST}\ntwo")
    write.archive.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(change)
        database.commit()
    with Reader.open(path) as reader, pytest.raises(CorruptArchive, match=r"text|prompt"):
        reader.prompt(asked)


def test_the_dictionary_fits_the_window_of_zlib():
    assert all(len(words) < packed._WINDOW for words in packed._FORMS.values())
