"""The policy for non-finite numbers, text and JSON."""

import json
import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import CorruptArchive
from archive.sqlite import values
from archive.sqlite.values import (
    compress,
    decompress,
    dump_json,
    dump_metrics,
    finite_or_null,
    load_json,
    load_metrics,
    number,
    storable_text,
)

ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(ANY_TEXT, st.floats()))
def test_metrics_are_read_back_exactly(metrics):
    text = dump_metrics(metrics)
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    text.encode("utf-8")
    back = load_metrics(text, "here")
    assert set(back) == set(metrics)
    for name, value in metrics.items():
        assert back[name] == value or (math.isnan(back[name]) and math.isnan(value))


@given(PLAIN)
def test_json_is_read_back_exactly(value):
    text = dump_json(value)
    text.encode("utf-8")
    assert load_json(text, "here") == value


@given(ANY_TEXT)
def test_replies_are_read_back_exactly(text):
    assert decompress(compress(text), "here") == text


@given(ANY_TEXT)
def test_all_text_can_be_stored(text):
    stored = storable_text(text)
    stored.encode("utf-8")
    assert stored == text or any("\ud800" <= character <= "\udfff" for character in text)


def test_non_finite_numbers_are_strings_in_json():
    assert json.loads(dump_json({"a": math.nan, "b": [math.inf, -math.inf]})) == {"a": "nan", "b": ["inf", "-inf"]}
    assert math.isnan(number("nan")) and number("-inf") == -math.inf and number(3) == 3.0


def test_numpy_scalars_are_numbers():
    assert dump_json([np.float64(0.5), np.float32("inf"), np.int64(3), np.bool_(True)]) == '[0.5,"inf",3,true]'


def test_missing_metrics_are_left_out():
    assert load_metrics(dump_metrics({"kl": None, "reward": 0.5}), "here") == {"reward": 0.5}


def test_unknown_costs_are_null():
    assert finite_or_null(math.nan) is None and finite_or_null(None) is None and finite_or_null(2) == 2.0


@pytest.mark.parametrize("value", ["Infinity", "0.5", "", None, True, [1]])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="expected a number"):
        number(value)


@pytest.mark.parametrize("text", ["{", '{"a": "x"}', "[1]", '{"a": null}', "[" * 100_000])
def test_invalid_metrics_are_refused(text):
    with pytest.raises(CorruptArchive, match="run 7"):
        load_metrics(text, "run 7")


def test_a_compression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(values, "LONGEST_REPLY", 1000)
    with pytest.raises(CorruptArchive, match="at most 1000 bytes"):
        decompress(compress("0" * 100_000), "here")


@pytest.mark.parametrize("blob", [b"", b"abc", zlib.compress(b"\xff\xfe"), compress("cut off here")[:-3], "text"])
def test_invalid_blobs_are_refused(blob):
    with pytest.raises(CorruptArchive, match="here should hold"):
        decompress(blob, "here")
