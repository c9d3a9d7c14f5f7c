"""Where a candidate is while it runs: from frames and tracebacks to places in its source."""

from __future__ import annotations

import sys
from types import CodeType, FrameType, TracebackType

from sandbox.child.protocol import Spot

FILENAME = "<candidate>"
"""The file name of a candidate's byte code: how its frames are told from ours."""


def here() -> Spot | None:
    """Where in the candidate's source we were called from."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == FILENAME:
            return _spot(frame.f_code, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return None


def place_of(traceback: TracebackType | None) -> Spot | None:
    """Where in the candidate's source the innermost of its frames was."""
    spot = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == FILENAME:
            spot = _spot(code, traceback.tb_lasti, traceback.tb_lineno)
        traceback = traceback.tb_next
    return spot


def _spot(code: CodeType, instruction: int, fallback: int) -> Spot:
    line, end_line, column, end_column = list(code.co_positions())[instruction // 2]
    line = line or fallback
    return Spot(line, column or 0, end_line or line, end_column or column or 0)
