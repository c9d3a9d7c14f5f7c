"""Running commands in this process, so that tests of many commands load imports once."""

from __future__ import annotations

import signal
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.testing import CliRunner

from sandbox.vetting.vet import Vetter

STEERS = ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
"""Unicode categories of characters that may control a terminal or cannot be displayed."""


@contextmanager
def in_time(seconds: int = 240) -> Iterator[None]:
    """Raises TimeoutError if the block takes longer than `seconds`, for example because it waits for a pipe."""

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
    """Exit code and output of a command. Asserts a documented exit code and output without terminal escapes."""
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
