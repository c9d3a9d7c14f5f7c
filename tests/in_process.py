"""Commands run in this process, as tests of many of them need: what they import is loaded once."""

from __future__ import annotations

import signal
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.testing import CliRunner

from sandbox.vetting.vet import Vetter

STEERS = ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
"""Unicode categories of what a terminal may act on, or cannot show."""


@contextmanager
def in_time(seconds: int = 60) -> Iterator[None]:
    """A block that waits for a pipe, or reads what has no end, ends with TimeoutError."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(main: click.Command, arguments: list[str]) -> tuple[int, str]:
    """The exit code and all that was written; the command must end as documented, and write nothing that steers a terminal."""
    with in_time():
        done = CliRunner().invoke(main, arguments, obj=Vetter())
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"{arguments} ended in a traceback") from done.exception
    written = (done.stdout_bytes + done.stderr_bytes).decode("utf-8")
    steering = {
        c for c in written if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
    }
    assert not steering, f"{arguments} wrote {steering} in {written[:2000]!r}"
    assert done.exit_code in (0, 1, 2), arguments
    assert done.exit_code == 0 or written, arguments
    return done.exit_code, written
