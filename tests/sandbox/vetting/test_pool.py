"""VetPool: worker processes serve any thread, are replaced when they die, and end with the pool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hostile_more import candidate
from processes import has_ended

from sandbox import VerdictStatus, VetPool
from sandbox.vetting.pool import PoolClosed

GOOD = candidate("return -F.logsigmoid(beta * x)")
OTHER = candidate("return F.softplus(-beta * x)")
BAD = candidate("return torch.randn_like(x)")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pool() -> Iterator[VetPool]:
    with VetPool(workers=2) as opened:
        yield opened


def test_vets_sources_and_graphs_from_many_threads(pool: VetPool) -> None:
    with ThreadPoolExecutor(6) as threads:
        verdicts = list(threads.map(pool.vet, [GOOD, BAD, OTHER, b"\xff", "", GOOD] * 3))
    assert [v.status.value for v in verdicts] == [
        "accepted",
        "refused",
        "accepted",
        "refused",
        "refused",
        "accepted",
    ] * 3
    graph = verdicts[0].graph
    assert graph is not None and verdicts[0].fingerprint is not None and verdicts[0].guarantees["files"]
    assert pool.vet_graph(graph).accepted
    assert pool.vet_graph("{}").status is VerdictStatus.REFUSED


def test_compares_losses(pool: VetPool) -> None:
    a, b, c = (pool.vet(s).graph for s in (GOOD, OTHER, candidate("return F.relu(1 - beta * x)")))
    assert a is not None and b is not None and c is not None
    assert pool.same_loss(a, b) and not pool.same_loss(a, c)


def test_dead_worker_is_replaced(pool: VetPool) -> None:
    pool.vet(GOOD)
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert pool.vet(GOOD).accepted


def test_the_calling_process_does_not_load_torch() -> None:
    program = (
        "import sys; from sandbox import VetPool\n"
        f"with VetPool() as p: print(p.vet({GOOD!r}).status.value, 'torch' in sys.modules, *p.pids, flush=True)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    status, torch, pid = run.stdout.split()
    assert (status, torch) == ("accepted", "False")
    assert not psutil.pid_exists(int(pid))


def test_workers_end_with_their_owner() -> None:
    program = (
        "import os, signal; from sandbox import VetPool\n"
        "p = VetPool(1, numeric=False).__enter__()\n"
        f"p.vet({GOOD!r}); print(*p.pids, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    pid = int(run.stdout)
    assert has_ended(pid), "a worker outlived its owner"


def test_closed_pool_raises() -> None:
    pool = VetPool(numeric=False)
    with pytest.raises(PoolClosed, match="with VetPool"):
        pool.vet(GOOD)
    with pool:
        pids = pool.pids
        assert pool.vet(GOOD).status is VerdictStatus.PARTIAL
    with pytest.raises(PoolClosed):
        pool.vet(GOOD)
    assert not any(psutil.pid_exists(p) for p in pids)


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="unknown contract"):
        VetPool(contract="x")
    with pytest.raises(ValueError, match="at least one"):
        VetPool(workers=0)
