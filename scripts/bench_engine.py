#!/usr/bin/env python3
"""Benchmark of the engine: whole campaigns in which only the training is missing, as one table; `--json` prints one object.

    builtin_N    N proposals of the built-in proposer; losses are vetted as graphs, as in every run of it
    endpoint_N   N replies of a language model on loopback that answers at once; losses are vetted as source code, in the jail
    busy         replies and trainings that take time: share of the time that the workers train, and staleness of parents

Selection, proposing, vetting, recording and the ladder are those of `evopo run`. A score is computed from the graph at once
(`trivial_task.py`). Processor time is that of the whole process tree from the first proposal to the last; the final and the report
are not part of it. `--quick` ends within a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench_peers import peers
from bench_process import between, watched
from bench_table import Figure, at_least, at_most, show
from loopback_llm import LoopbackLLM

SCRIPTS = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("EVOPO_ROOT", SCRIPTS.parent)).resolve()
"""The checkout that is measured. Another one can be named, to compare two versions with one script."""
TASK = f"{SCRIPTS / 'trivial_task.py'}:TrivialTask"
SIZES = (100, 1_000, 10_000)
CPU_MS, LAST_TO_FIRST, RESUME_SECONDS, REPLAY_SECONDS, BUSY = 25.0, 1.1, 5.0, 60.0, 0.95
DISK_KB = 5.0


# ---- a campaign ------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A campaign in a folder."""

    folder: Path
    settings: Mapping[str, object]

    @property
    def archive(self) -> Path:
        return self.folder / "archive.db"

    def start(self, proposals: int) -> subprocess.Popen[str]:
        """`evopo run` up to this number of proposals."""
        given = {"task": TASK, "pictures": False, "budget.proposals": proposals, "workers": 2, **self.settings}
        chosen = [part for key, value in given.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        return self.command("run", "--dir", str(self.folder), *chosen)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none"}
        return subprocess.Popen(
            [sys.executable, "-m", "evo", *arguments],
            env=environment,
            cwd=self.folder.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def count(self, sql: str, *values: object) -> int:
        """A number in the archive; 0 before there is one."""
        if not self.archive.exists():
            return 0
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{self.archive}?mode=ro", uri=True)) as database:
            return int(database.execute(sql, values).fetchone()[0] or 0)
        return 0

    def rows(self, sql: str) -> list[tuple[float, ...]]:
        with closing(sqlite3.connect(f"file:{self.archive}?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchall()

    def answered(self) -> int:
        return self.count("SELECT count(*) FROM proposal WHERE state <> 'requested'")

    def ended(self) -> bool:
        """Whether the session has ended and its log has been moved into the archive. The report comes later."""
        finished = self.count("SELECT count(*) FROM event WHERE kind = 'finished'")
        return bool(finished) and not self.archive.with_name("archive.db-wal").exists()


def stopped(process: subprocess.Popen[str]) -> None:
    """Ends a program; raises with its message if it had failed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    if process.returncode not in (0, 130, -signal.SIGTERM):
        raise RuntimeError(f"the campaign ended with {process.returncode}: {told[-2000:]}")


def campaign(folder: Path, size: int, settings: Mapping[str, object], name: str) -> dict[str, Figure]:
    """A campaign of `size` proposals, then the session after it, then the replay."""
    run = Run(folder, settings)
    began = time.monotonic()
    process = run.start(size)
    try:
        samples = watched(process, run.answered, lambda: run.answered() >= size and run.ended())
    finally:
        stopped(process)
    if run.answered() < size:
        raise RuntimeError(f"{name}: only {run.answered()} of {size} proposals were answered")
    search = [s for s in samples if s.done]
    cut = next((i for i, s in enumerate(search) if s.done >= size), len(search) - 1)
    search = search[: cut + 1]
    cpu = [between(search, size * part) for part in (0.0, 0.25, 0.75, 1.0)]
    first, last = cpu[1] - cpu[0], cpu[3] - cpu[2]
    bytes_each = run.archive.stat().st_size / size
    target = at_most if size >= SIZES[-1] else lambda value, unit, reach, note="": Figure(value, unit, note=note)
    each = 1e3 * (search[-1].cpu - search[0].cpu) / (search[-1].done - search[0].done)
    wall = 1e3 * (search[-1].at - search[0].at) / (search[-1].done - search[0].done)
    note = "processor time of the last quarter to the first"
    figures = {
        f"{name}_cpu": at_most(each, "ms", CPU_MS, "processor time per candidate, all processes"),
        f"{name}_wall": Figure(wall, "ms", note="per candidate"),
        f"{name}_last_to_first": target(last / first, "ratio", LAST_TO_FIRST, note),
        f"{name}_start": Figure(search[0].at - began, "s", note="from the command to the first reply"),
        f"{name}_memory": Figure(max(s.largest for s in samples), "MB", note="largest process, resident"),
        f"{name}_disk": at_most(bytes_each / 1e3, "kB", DISK_KB, "per candidate, one file"),
    }
    return figures | resumed(run, size, name, target) | replayed(run, name, target)


Target = Callable[..., Figure]


def resumed(run: Run, size: int, name: str, target: Target) -> dict[str, Figure]:
    """The next session on the same folder: from the command to its first request, and the request itself."""
    requested = "SELECT count(*) FROM event WHERE kind = 'proposal_requested'"
    before, began = run.count(requested), time.monotonic()
    process = run.start(size + 2)
    try:
        samples = watched(process, lambda: 0, lambda: run.count(requested) > before)
    finally:
        stopped(process)
    seconds = time.monotonic() - began if not samples else samples[-1].at - began
    return {
        f"{name}_resume": target(seconds, "s", RESUME_SECONDS, "from the command to the first request"),
        f"{name}_resume_cpu": Figure(samples[-1].cpu, "s", note="of all processes, the loading of torch included"),
    }


def replayed(run: Run, name: str, target: Target) -> dict[str, Figure]:
    """`evopo replay`."""
    began = time.monotonic()
    process = run.command("replay", str(run.folder), "--task", TASK)
    samples = watched(process, lambda: 0, lambda: False)
    stopped(process)
    return {
        f"{name}_replay": target(time.monotonic() - began, "s", REPLAY_SECONDS, f"processor {samples[-1].cpu:.1f} s")
    }


# ---- time that passes ------------------------------------------------------------------------------------------------


def busy(
    folder: Path, proposals: int, reply: float, training: float, in_flight: int | None = None
) -> dict[str, Figure]:
    """Share of the workers' time that they train, and how many results came between a selection and its own result."""
    with endpoint(latency=reply) as settings:
        chosen = {"fitness.seconds": training, "ladder.finalists": 0, "search.in_flight": in_flight}
        run = Run(folder, {**settings, **chosen})
        process = run.start(proposals)
        try:
            watched(process, run.answered, lambda: run.answered() >= proposals)
        finally:
            stopped(process)
    # From the first reply, when the pipeline is filled, to the last one.
    sql = "SELECT (julianday(e.at) - 2440587.5) * 86400 FROM event AS e WHERE kind = 'proposal_received' ORDER BY id"
    replies = [row[0] for row in run.rows(sql)]
    sql = "SELECT (julianday(e.at) - 2440587.5) * 86400 FROM event AS e WHERE kind = 'evaluation_scored' ORDER BY e.id"
    began, ended = replies[min(8, len(replies) // 4)], replies[-1]
    trained = sum(max(0.0, min(end, ended) - max(end - training, began)) for (end,) in run.rows(sql))
    share = trained / (2 * (ended - began))
    name = "busy" if in_flight is None else f"busy_{in_flight}"
    requests = "the default number of requests" if in_flight is None else f"{in_flight} requests"
    note = f"{requests} at once, replies of {reply:g} s, trainings of {training:g} s, 2 workers"
    stale = staleness(run)
    stale_note = f"results between selection and own result: median {median(stale):g}, most {max(stale):g}"
    return {
        name: at_least(share, "ratio", BUSY, note),
        f"{name}_staleness": Figure(fmean(stale), "", note=stale_note),
    }


def staleness(run: Run) -> list[float]:
    """For each candidate with a score: results recorded after the event that its selection had seen, and before its own first."""
    sql = """
    SELECT (SELECT count(*) FROM event AS r WHERE r.kind IN ('evaluation_scored', 'evaluation_failed')
            AND r.id > p.seen_event AND r.id < min(e.finished_event))
    FROM proposal AS p JOIN candidate AS c ON c.proposal_id = p.id JOIN evaluation AS e ON e.candidate_id = c.id
    WHERE e.finished_event IS NOT NULL GROUP BY p.id"""
    return [row[0] for row in run.rows(sql)]


@contextmanager
def endpoint(latency: float = 0.0) -> Iterator[dict[str, object]]:
    """Settings of a campaign whose proposals come from an endpoint in this process."""
    with LoopbackLLM(latency=latency) as server:
        server.bodies = Counted()
        yield {"llm.base_url": server.base_url, "llm.model": "scripted-1", "budget.tokens": "unlimited"}


class Counted(list[dict[str, object]]):
    """A list that keeps only the number of its items: the prompts of a long run are large."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def append(self, item: dict[str, object]) -> None:
        self._count += 1

    def __len__(self) -> int:
        return self._count


# ---- all of it -------------------------------------------------------------------------------------------------------


def measured(sizes: Sequence[int], proposers: Sequence[str], folder: Path) -> dict[str, Figure]:
    """The campaigns, from small to large."""
    figures: dict[str, Figure] = {}
    for size in sizes:
        if "builtin" in proposers:
            figures |= campaign(folder / f"builtin-{size}", size, {"proposer": "builtin"}, f"builtin_{size}")
        if "endpoint" in proposers:
            with endpoint() as settings:
                figures |= campaign(folder / f"endpoint-{size}", size, settings, f"endpoint_{size}")
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--quick", action="store_true", help="end within a minute")
    arguments.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="numbers of proposals (all)")
    arguments.add_argument("--proposers", nargs="*", choices=["builtin", "endpoint"], default=["builtin", "endpoint"])
    arguments.add_argument("--busy", action="store_true", help="also replies of 10 s and trainings of 5 s")
    arguments.add_argument(
        "--peers", type=int, metavar="N", help="also other engines, installed now, with N candidates each"
    )
    arguments.add_argument("--folder", type=Path, help="where the runs are kept; otherwise they are removed")
    chosen = arguments.parse_args()
    sizes = [50] if chosen.quick else chosen.sizes
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measured(sizes, chosen.proposers, folder)
        if chosen.peers:
            figures |= peers(chosen.peers, folder / "peers")
        if chosen.busy:
            seconds = 2.0 if chosen.quick else 10.0
            for in_flight in (None, 8):
                figures |= busy(
                    folder / f"busy-{in_flight}", 16 if chosen.quick else 80, seconds, seconds / 2, in_flight
                )
    show(figures, ("openai",), as_json=chosen.json)


if __name__ == "__main__":
    main()
