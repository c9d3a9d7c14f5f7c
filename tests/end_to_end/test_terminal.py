"""The live view in a real terminal: it updates, restores the terminal, and is replaced by lines where there is no terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from campaigns import QUICK, Command

ARGUMENTS = ("run", "--dir", "run", *QUICK, "--set", "proposer=builtin", "--set", "budget.proposals=400")


def _interrupted_in_a_terminal(evo: Command, word: str, end: signal.Signals, **variables: str) -> tuple[int, str]:
    """Exit code and output in a terminal of 40 columns, of a run that gets a signal when `word` is shown."""
    master, slave = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI") and k not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "evo", *ARGUMENTS],
        cwd=evo.folder, stdin=slave, stdout=slave, stderr=slave,
        env=environment | {"COLUMNS": "40", "LINES": "24"} | variables,
    )  # fmt: skip
    os.close(slave)
    shown, sent, deadline = b"", False, time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.5)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
        if not sent and word.encode() in shown:
            process.send_signal(end)
            sent = True
    os.close(master)
    process.kill()
    assert sent, shown.decode("utf-8", "replace")
    return process.wait(), shown.decode("utf-8", "replace")


def test_the_live_view_updates_and_a_signal_restores_the_terminal(evo: Command) -> None:
    code, shown = _interrupted_in_a_terminal(evo, "trainings", signal.SIGTERM, TERM="xterm-256color", NO_COLOR="1")
    assert code == 130 and "the same command" in shown.replace("\r\n", " ") and "Traceback" not in shown
    assert "preparing: the workers" in shown, "it tells before anything has ended"
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l") >= 0, "the cursor is back"
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown), "no colours"


def test_a_dumb_terminal_gets_lines_without_escapes(evo: Command) -> None:
    code, shown = _interrupted_in_a_terminal(evo, "phase search", signal.SIGINT, TERM="dumb")
    assert code == 130 and "\x1b" not in shown and "phase preparing" in shown


def test_a_file_gets_lines_without_escapes_even_with_forced_colours(evo: Command) -> None:
    evo.environment["FORCE_COLOR"] = "1"
    result = evo.run("run", "--dir", "run", *QUICK, "--set", "proposer=builtin", "--set", "budget.proposals=0")
    assert result.code == 0 and "\x1b" not in result.out and "phase final" in result.out
