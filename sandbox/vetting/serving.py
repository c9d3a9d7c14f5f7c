"""The worker's side of a worker process: requests on stdin, replies on the original stdout, as JSON objects, one per line.

`process` is the side of the program that started it.
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
    """The stream for replies: the original stdout. From now on all other output, of C code too, goes to stderr. SIGINT is ignored:
    the program that started this process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return replies


def send(replies: IO[str], message: Mapping[str, Any]) -> None:
    """Send one reply. Raises ValueError if it contains a number that is not allowed in JSON, such as NaN."""
    replies.write(json.dumps(message, allow_nan=False) + "\n")
    replies.flush()


def requests() -> queue.SimpleQueue[str]:
    """A queue of the incoming requests. At the end of stdin this process exits at once, since no reply is needed any more."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in os.fdopen(0, encoding="utf-8", errors="replace", closefd=False):
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return lines
