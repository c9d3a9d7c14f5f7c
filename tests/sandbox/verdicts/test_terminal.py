"""The encoder of standard output and error."""

from __future__ import annotations

import io
import subprocess
import sys
import unicodedata

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.verdicts.terminal import GuardedStream, guard, unguarded
from sandbox.verdicts.visible import visible

STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")


def written(text: str, encoding: str = "utf-8") -> str:
    behind = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    stream = GuardedStream(behind)
    assert stream.write(text) == len(text)
    stream.flush()
    return behind.buffer.getvalue().decode(encoding)


@given(st.text(alphabet=st.characters()))
def test_of_control_characters_only_line_breaks_pass(text: str) -> None:
    assert not {c for c in written(text) if c != "\n" and unicodedata.category(c) in STEERING}


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_characters_with_a_glyph_are_unchanged(text: str) -> None:
    assert written(text) == text


@given(st.text(alphabet=st.characters()))
def test_visible_text_is_unchanged(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;eA==\x07", r"\x1b]52;c;eA==\x07"),
        ("\x9b31m\x7f\x85", r"\x9b31m\x7f\x85"),
        ("a\rb\r\n", "a\\x0db\\x0d\n"),
        ("\tx\n\ty", "    x\n    y"),
        ("\u202e\u2028\u2066\ufeff\U000e0041", r"\u202e\u2028\u2066\ufeff\U000e0041"),
        ("\ud800\udcff", r"\ud800\udcff"),
    ],
)
def test_form_of_the_escapes(text: str, shown: str) -> None:
    assert written(text) == shown


def test_characters_that_an_encoding_lacks_are_escaped() -> None:
    assert written("± 损\n", "ascii") == "\\xb1 \\u635f\n"


def test_click_cannot_bypass_the_encoder() -> None:
    stream = GuardedStream(io.TextIOWrapper(io.BytesIO(), "ascii"))  # click replaces such a stream where it can
    assert not hasattr(stream, "buffer")
    click.echo("\x9d0;title\x9c ±", file=stream)  # type: ignore[arg-type]
    stream.flush()
    assert stream.stream.buffer.getvalue() == b"\\x9d0;title\\x9c \\xb1\n"  # type: ignore[attr-defined]


def test_guard_is_idempotent(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", None)
    guard()
    guard()
    assert unguarded(sys.stdout) is out and sys.stderr is None


def test_warnings_and_tracebacks_pass_the_encoder_too() -> None:
    code = (
        "import warnings; from sandbox.verdicts.terminal import guard; guard()\n"
        "warnings.warn('\\x1b]0;warned\\x07')\nraise ValueError('\\x9b31m raised')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 1 and b"\x1b" not in done.stderr and b"\xc2\x9b" not in done.stderr
    assert b"\\x1b]0;warned" in done.stderr and b"ValueError: \\x9b31m raised" in done.stderr
