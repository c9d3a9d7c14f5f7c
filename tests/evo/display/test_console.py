"""The console of the live view: control codes of its own, text without any."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hostile_texts import STEERING
from rich.live import Live
from rich.text import Text

from evo.display.console import Console
from sandbox.verdicts.terminal import guard


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_text_in_a_live_view_steers_nothing_and_the_view_still_moves_the_cursor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    guard()
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        guard()
        live.update(Text.assemble((STEERING, "bold link http://x/\x1b]0;in a link\x07")), refresh=True)
        print("printed " + STEERING)
        sys.stderr.write("said " + STEERING + "\n")
        console.print(Text("told " + STEERING), soft_wrap=True)
    print("after " + STEERING)
    written = out.getvalue()
    assert "\x1b[?25l" in written and "\x1b[2K" in written, "it hides the cursor and draws over lines"
    for word in ("printed", "said", "told", "after"):
        assert word + r" \x1b]0;title" in written
    rest = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "").replace("\n", "")
    assert rest.isprintable()


def test_a_character_that_the_encoding_lacks_is_written_as_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    Console().print(Text("0.5 ± 0.1 …"), soft_wrap=True)
    out.flush()
    assert out.buffer.getvalue() == rb"0.5 \xb1 0.1 \u2026" + b"\n"
