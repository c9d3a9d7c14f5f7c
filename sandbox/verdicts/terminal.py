"""Encoder of standard output and error, so that no text that a command prints can control the terminal.

Threat model. Names, thoughts, dates, paths and error messages may come from a language model, or from another person's archive or
files. Covered: after `guard` was called, all text that this process writes through `sys.stdout` and `sys.stderr` passes one
encoder, whether a command, click, a warning or a traceback prints it. Only line breaks pass unchanged; a tab becomes spaces. Not
covered: text written to files, or directly to file descriptors. A live view that needs control codes writes to `unguarded` and
must encode its texts itself.
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
"""Columns between two tab stops."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of writing to a descriptor when there is no more space."""
_TOO_MANY = (errno.EMFILE, errno.ENFILE)


def written_in(encoding: str, text: str) -> str:
    """`text` with an escape for each character that the encoding lacks."""
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


class GuardedStream(io.TextIOBase):
    """A text stream that writes to another one, with an escape for each character that has no glyph.

    It has no `buffer`, because click and others would use it to bypass the encoder.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the wrapped stream."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """The error handler: characters that the encoding lacks are written as escapes too."""
        return "backslashreplace"

    def write(self, text: str, /) -> int:
        """Write the encoded text; returns the length of `text`."""
        self.stream.write(written_in(self.encoding, visible(text.expandtabs(TAB), keep="\n")))
        return len(text)

    def flush(self) -> None:
        """Flush the wrapped stream."""
        self.stream.flush()

    def writable(self) -> bool:
        """Always."""
        return True

    def isatty(self) -> bool:
        """Whether the wrapped stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """The file descriptor of the wrapped stream."""
        return self.stream.fileno()


class Program(click.Group):
    """A click group whose whole output passes the encoder, including click's messages and tracebacks."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, as click's `main`. Click does not strip escape sequences from pipes: the encoder makes them visible. If
        the output cannot be written, print why and exit with 1."""
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
    """Open the null device for each of the descriptors 0 to 2 that is closed, so that no other file gets its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = (sys.stdout or open(os.devnull, "w"), sys.stderr or open(os.devnull, "w"))  # noqa: SIM115


def _end(message: str) -> NoReturn:
    """Print the message and exit with 1, without another attempt to write the buffered output."""
    with suppress(OSError, ValueError):
        sys.stderr.write(message)
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    sys.exit(1)


def guard() -> None:
    """Wrap standard output and error in the encoder, for the rest of this process. A second call has no effect."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def unguarded(stream: TextIO) -> TextIO:
    """The stream without the encoder, for code that writes control codes of its own and encodes all other text itself."""
    return stream.stream if isinstance(stream, GuardedStream) else stream


def _guarded(stream: TextIO) -> TextIO:
    # None where the process was started without the descriptor.
    already = stream is None or isinstance(stream, GuardedStream)
    return stream if already else GuardedStream(stream)  # type: ignore[return-value]
