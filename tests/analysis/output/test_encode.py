"""Each encoder keeps the syntax of its format intact, whatever the text."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from hostile_texts import HOSTILE_NAMES
from hypothesis import given
from hypothesis import strategies as st

from analysis.output import encode

ANY = st.text(alphabet=st.characters(), max_size=40)


@given(ANY)
def test_json_is_exact_and_has_no_markup(text):
    written = encode.json_text({"name": text})
    assert json.loads(written) == {"name": text}
    assert not set("<>&") & set(written)
    assert written.isascii()


@given(ANY)
def test_xml_text_survives_an_xml_parser(text):
    node = ElementTree.Element("n")
    node.text = encode.xml_text(text)
    node.set("a", encode.xml_text(text).replace("\n", " ").replace("\t", " "))
    read = ElementTree.fromstring(ElementTree.tostring(node, "utf-8"))
    assert (read.text or "") == node.text


@given(ANY)
def test_csv_cells_are_read_back_and_start_no_formula(text):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow([encode.csv_text(text), "next"])
    (row,) = csv.reader(io.StringIO(buffer.getvalue(), newline=""))
    assert row == [encode.csv_text(text), "next"]
    assert not row[0].lstrip().startswith(("=", "+", "-", "@", "＝"))


@given(ANY)
def test_a_dot_string_has_no_bare_quote_and_no_escape_of_its_own(text):
    inner = encode.dot_text(text)[1:-1]
    assert '"' not in inner.replace("\\\\", "").replace('\\"', "")
    assert "\\" not in inner.replace("\\\\", "").replace('\\"', "")


@given(ANY)
def test_one_line_is_one_printable_line(text):
    line = encode.one_line(text, 20)
    assert len(line) <= 20
    assert line.isprintable()


@pytest.mark.parametrize("text", HOSTILE_NAMES)
def test_invisible_characters_are_written_as_escapes(text):
    assert encode.visible(text).isprintable()


def test_names_that_look_equal_differ_after_encoding():
    assert encode.visible("dpo\u200b") == "dpo\\u200b"
    assert encode.visible("\x00\ud800\U000e0041") == "\\x00\\ud800\\U000e0041"
    assert encode.visible("λ ρ 损 🙂") == "λ ρ 损 🙂"


def test_a_block_keeps_its_lines_and_is_bounded():
    assert encode.block("a\r\n\tb\x07") == "a\n\tb\\x07"
    assert len(encode.block("x" * 10**6)) < 20_010
