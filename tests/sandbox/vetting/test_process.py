"""The supervisor of a worker process: requests, time limits, end with all children, restart. The workers are tiny programs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from processes import has_ended

from sandbox.vetting.process import Lost, WorkerProcess

ECHO = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    exec(request.get("do", ""))
    print(json.dumps({"said": request.get("say")}), flush=True)
"""


@contextmanager
def running(program: str = ECHO, start_seconds: float = 60.0) -> Iterator[WorkerProcess]:
    process = WorkerProcess([sys.executable, "-I", "-c", program], os.environ, start_seconds)
    try:
        yield process
    finally:
        process.close()


def lost(process: WorkerProcess, seconds: float = 60.0, **request: str) -> Lost:
    with pytest.raises(Lost) as caught:
        process.ask(request, seconds)
    return caught.value


def test_a_process_that_died_is_started_again_by_the_next_request() -> None:
    with running() as process:
        first = process.pid
        died = lost(process, do="import os; print('a last word', file=sys.stderr); os._exit(7)")
        assert (died.ready, died.timed_out, died.status, died.stderr) == (True, False, 7, "a last word")
        assert process.ask({"say": 1}, 60.0) == {"said": 1}
        assert process.pid not in (None, first)


@pytest.mark.parametrize("line", ["no JSON", "\xff", "[" * 100_000, "7"], ids=["text", "bytes", "nested", "no object"])
def test_a_line_that_is_no_reply_ends_the_process(line: str) -> None:
    with running() as process:
        print_it = f"sys.stdout.buffer.write({line.encode('latin-1')!r} + b'\\n'); sys.stdout.flush(); sys.exit(3)"
        assert lost(process, do=print_it).status == 3
        assert process.pid is None


def test_a_process_that_greets_with_something_else_is_lost() -> None:
    with running("print(7, flush=True); raise SystemExit(3)") as process, pytest.raises(Lost) as caught:
        process.ready()
    assert not caught.value.ready and caught.value.status == 3


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    number = signal.SIGRTMIN + 1
    with running() as process:
        died = lost(process, do=f"import os; os.kill(os.getpid(), {number})")
    assert died.status == -number and str(died) == f"killed by signal {number}"


def test_a_process_that_is_late_is_killed_with_its_children() -> None:
    fork = "import os, time; child = os.fork(); child and print(child, file=sys.stderr, flush=True); time.sleep(1000)"
    with running() as process:
        late = lost(process, 2.0, do=fork)
        assert (late.timed_out, late.status) == (True, -signal.SIGKILL)
        assert has_ended(int(late.stderr))


def test_a_process_that_takes_no_request_any_more_is_late_too() -> None:
    with running() as process:
        process.ready()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        assert lost(process, 0.5, say="x" * 1_000_000).timed_out


def test_one_that_never_gets_ready_is_told_apart() -> None:
    with running("import time; time.sleep(1000)", start_seconds=0.5) as process:
        late = lost(process)
    assert late.timed_out and not late.ready
    with running("raise SystemExit('what it lacks')") as process:
        died = lost(process)
    assert (died.ready, died.status, died.stderr) == (False, 1, "what it lacks")


def test_a_flood_on_stderr_keeps_no_reply_and_its_end_is_kept() -> None:
    with running() as process:
        flood = "print('x' * 1_000_000, 'the end', file=sys.stderr, flush=True)"
        assert process.ask({"do": flood, "say": 2}, 60.0) == {"said": 2}
        assert lost(process, do="import os; os._exit(1)").stderr.endswith("x the end")


def test_closing_ends_a_request_under_way_and_nothing_starts_the_process_again_by_itself(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    request = f"open({str(begun)!r}, 'w').close(); import time; time.sleep(1000)"
    with running() as process:
        process.ready()
        pid, found = process.pid, []
        asking = threading.Thread(target=lambda: found.append(lost(process, do=request)))
        asking.start()
        while asking.is_alive() and not begun.exists():
            time.sleep(0.01)
        process.close()
        asking.join(60.0)
        assert len(found) == 1 and pid is not None and not psutil.pid_exists(pid)
        lost(process)
        assert process.pid is None
        process.start()
        assert process.ask({"say": 3}, 60.0) == {"said": 3}


def test_the_end_of_its_input_is_a_polite_end(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with running(f"{ECHO}\nopen({str(mark)!r}, 'w').close()") as process:
        process.ready()
        process.end(grace=30.0)
        assert mark.exists() and process.pid is None
