"""Source locations of a running candidate, from frames and tracebacks."""

from __future__ import annotations

import sys
from types import CodeType, FrameType, TracebackType

from sandbox.child.protocol import SourceSpan

FILENAME = "<candidate>"
"""File name of a candidate's byte code, which distinguishes its frames from the sandbox's own."""


def here() -> SourceSpan | None:
    """The source location of the innermost candidate frame on the stack, or None."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == FILENAME:
            return _span(frame.f_code, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return None


def place_of(traceback: TracebackType | None) -> SourceSpan | None:
    """The source location of the innermost candidate frame in a traceback, or None."""
    span = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == FILENAME:
            span = _span(code, traceback.tb_lasti, traceback.tb_lineno)
        traceback = traceback.tb_next
    return span


def _span(code: CodeType, instruction: int, fallback: int) -> SourceSpan:
    line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
    line = line or fallback
    return SourceSpan(line, column or 0, end_line or line, end_column or column or 0)
