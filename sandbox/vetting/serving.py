"""The side of a worker process: JSON objects, one a line, requests on stdin, replies on the stdout that it was started with.

`process` is the other side.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any


def take_over() -> IO[str]:
    """Where replies go: the stdout of the start. What else is printed, by C code too, goes to stderr from now on. SIGINT is for
    whoever started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return replies


def send(replies: IO[str], message: Mapping[str, Any]) -> None:
    """Send one reply. Raises ValueError where it holds a number that JSON has not, such as NaN."""
    replies.write(json.dumps(message, allow_nan=False) + "\n")
    replies.flush()


def requests() -> queue.SimpleQueue[str]:
    """The requests as they come. At the end of stdin this process ends, whatever it does then: nobody waits for its reply."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in os.fdopen(0, encoding="utf-8", errors="replace", closefd=False):
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return lines
