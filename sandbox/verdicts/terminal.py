"""What a command line writes to its standard output and error: text that steers no terminal.

Threat model. Names, thoughts, dates, paths and the messages of errors may come from a language model, from a stranger's archive
or from the names of his files. Covered: once `guard` was called, all text that this process writes through `sys.stdout` and
`sys.stderr` passes one encoder, whoever prints it (a command, click's messages, a warning, a traceback), so no command has to
remember it. Line breaks alone pass; a tab becomes spaces. Not covered: what is written to a file, and to file descriptors
directly. Whoever draws with control codes of his own, such as a live view, writes to `unguarded` and encodes the text himself.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn, TextIO

import click

from sandbox.verdicts.visible import visible

TAB = 4
"""Columns between two stops of a tab."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a descriptor that takes no more."""
_TOO_MANY = (errno.EMFILE, errno.ENFILE)


def written_in(encoding: str, text: str) -> str:
    """`text` with the characters that an encoding lacks written as escapes."""
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


class GuardedStream(io.TextIOBase):
    """A text stream before another one, which writes whatever has no glyph as its escape.

    It has no `buffer`: click and others would write past the encoder.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What happens to characters that the encoding lacks: they are written as escapes too."""
        return "backslashreplace"

    def write(self, text: str, /) -> int:
        """Writes the encoded text; returns how much of `text` was taken, which is all of it."""
        self.stream.write(written_in(self.encoding, visible(text.expandtabs(TAB), keep="\n")))
        return len(text)

    def flush(self) -> None:
        """Flushes the stream behind."""
        self.stream.flush()

    def writable(self) -> bool:
        """Always."""
        return True

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """That of the stream behind."""
        return self.stream.fileno()


class Program(click.Group):
    """A group of commands that writes through the encoder, from click's first message to the last traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click's. It leaves escapes to the encoder, which shows them, in place of dropping them from pipes; and where the
        output cannot be written, it says so."""
        _fill_descriptors()
        guard()
        try:
            return super().main(*args, color=True, **kwargs)
        except OSError as error:
            if error.errno in _TOO_MANY:
                _end(f"error: {error.strerror}: this process may have too few (ulimit -n)\n")
            if error.errno not in _FULL or error.filename is not None:
                raise
            _end(f"error: cannot write: {error.strerror}; make room, or send the output elsewhere\n")


def _fill_descriptors() -> None:
    """Descriptors 0 to 2 that this process was started without lead nowhere, so that no file that is opened gets their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = (sys.stdout or open(os.devnull, "w"), sys.stderr or open(os.devnull, "w"))  # noqa: SIM115


def _end(message: str) -> NoReturn:
    """Say why and exit with 1, without trying once more to write what is left of the output."""
    with suppress(OSError, ValueError):
        sys.stderr.write(message)
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    sys.exit(1)


def guard() -> None:
    """Put the encoder before standard output and error, for the rest of this process. Calling it again changes nothing."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def unguarded(stream: TextIO) -> TextIO:
    """The stream behind the encoder, for who writes control codes of the program's own and encodes all text himself."""
    return stream.stream if isinstance(stream, GuardedStream) else stream


def _guarded(stream: TextIO) -> TextIO:
    # None where the process was started without the descriptor.
    already = stream is None or isinstance(stream, GuardedStream)
    return stream if already else GuardedStream(stream)  # type: ignore[return-value]
