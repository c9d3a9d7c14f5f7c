"""Fixtures: losses as graphs, and a task that fails in a requested way."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import Node, make_node

ARGUMENTS = (
    "policy_chosen_logps",
    "policy_rejected_logps",
    "reference_chosen_logps",
    "reference_rejected_logps",
    "beta",
)
PRANKS = '''
"""A task without torch whose rungs fail in different ways."""
import logging, os, signal, subprocess, sys, time
from pathlib import Path
from fitness.chat.costs import Prices, Service, Usage
from fitness.task import EvaluationFailed, ItemScores, Rung, SeedResult, TaskInfo, TaskOptions

class Options(TaskOptions):
    folder: str
    broken: bool = False
    crash: str = ""

def info(options):
    rungs = {name: Rung(name, 1, 1.0) for name in PRANKS}
    judged = ("die_once", "kill_self", "judge")
    judge = Service("fitness.judge", "http://h/v1", "j", "KEY", Prices(), judged, Usage(1000, 100, None))
    return TaskInfo("pranks", "preference", "seed", rungs, {"task": "pranks"}, services=(judge,))

def make(options):
    return Pranks(options)

def once(folder, name):
    """True in the first process that calls it."""
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def kill_self(folder):
    os.kill(os.getpid(), signal.SIGKILL)

def die_once(folder):
    if once(folder, "die_once"):
        sys.exit("a first death")

def hang(folder):
    time.sleep(600)

def hang_once(folder):
    if once(folder, "hang_once"):
        time.sleep(600)

def print_a_lot(folder):
    print("{not a reply}", flush=True)
    os.write(1, b"neither is this\\n")
    subprocess.run(["echo", "nor this of a child"])

def fill_memory(folder):
    raise MemoryError("no room")

def fill_host_memory(folder):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes")

def leave_a_child(folder):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (Path(folder) / "child").write_text(str(child.pid))
    sys.exit("gone, with a child left")

def diverge(folder):
    (Path(folder) / "diverged").open("a").write("x")
    raise EvaluationFailed("diverged", "as asked")

def score(folder):
    pass

def judge(folder):
    pass

def judge_in_vain(folder):
    raise EvaluationFailed("collapsed", "unreadable", Usage(30, 3, None))

def warn(folder):
    logging.getLogger("fitness.judge").warning("asked %d at once from now on", 4)

def not_a_number(folder):
    return float("nan")

def by_item(folder):
    return ItemScores((1.0, 0.0, 0.5), ("first prompt", "first prompt", "second prompt"))

def memory_of_the_second_rank(folder):
    """One rank of two runs out of memory while the other waits for it."""
    if os.environ["RANK"] == "1":
        raise EvaluationFailed("out_of_memory", "rank 1 has no room")
    time.sleep(600)

PRANKS = {f.__name__: f for f in (kill_self, die_once, hang, hang_once, print_a_lot, fill_memory, fill_host_memory,
                                  leave_a_child, diverge, score, judge, judge_in_vain, warn, not_a_number, by_item,
                                  memory_of_the_second_rank)}

class Pranks:
    name, contract, metric = "pranks", "preference", "seed"
    notes = ("Two pranks were left out.",)
    judged = 6
    paid = Usage(5, 1, None)

    def __init__(self, options):
        self.options = options
        self.rungs = info(options).rungs

    def prepare(self):
        if self.options.broken:
            raise EvaluationFailed("bad_data", "there is no such data set")
        if self.options.crash == "raise":
            raise KeyError("a column that nobody thought of")
        if self.options.crash == "memory":
            raise MemoryError
        if self.options.crash == "exit":
            os._exit(7)

    def score_seed(self, graph, rung, seed, *, beta=None, learning_rate=None):
        fitness = PRANKS[rung](self.options.folder)
        if isinstance(fitness, ItemScores):
            return SeedResult(fitness.mean, {}, seed=seed, items=fitness)
        metrics = {"beta": beta or 0.0, "pid": float(os.getpid())}
        paid = Usage(20, 2, 0.5) if rung == "judge" else None
        return SeedResult(float(seed) if fitness is None else fitness, metrics, seed=seed, paid=paid)
'''


def preference_graph(*nodes: tuple[object, ...]) -> LossGraph:
    """A graph whose nodes 0 to 4 are the arguments, followed by (op, *operands) or ("const", value)."""
    inputs = [make_node("input", (), {"name": name}) for name in ARGUMENTS]
    made: list[Node] = [
        make_node("const", (), {"value": node[1]}) if node[0] == "const" else make_node(str(node[0]), node[1:])  # type: ignore[arg-type]
        for node in nodes
    ]
    return LossGraph.from_nodes("preference", inputs + made, len(inputs) + len(made) - 1)


MARGIN = (("sub", 0, 1), ("sub", 2, 3), ("sub", 5, 6), ("mul", 4, 7))
LOSSES = {
    "logistic": preference_graph(*MARGIN, ("neg", 8), ("softplus", 9)),
    "inverted": preference_graph(*MARGIN, ("softplus", 8)),
    "constant": preference_graph(("const", 0.0), ("mul", 0, 5)),
    "unbounded": preference_graph(*MARGIN, ("const", -40.0), ("mul", 8, 9)),
    "nan": preference_graph(("sub", 0, 0), ("div", 5, 5)),
}


@pytest.fixture
def losses() -> dict[str, LossGraph]:
    """Preference losses by name."""
    return LOSSES


@pytest.fixture
def pranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Installs the task `pranks` for this process and its workers; returns its options."""
    site = tmp_path / "site"
    (site / "pranks-1.0.dist-info").mkdir(parents=True)
    (site / "pranks.py").write_text(PRANKS)
    (site / "pranks-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pranks\nVersion: 1.0\n")
    (site / "pranks-1.0.dist-info" / "entry_points.txt").write_text("[evopo.tasks]\npranks = pranks\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return {"folder": str(tmp_path)}


@pytest.fixture(scope="session")
def quick_collection() -> Iterator[Callable[[], None]]:
    """The worker's setup after its imports, for tests that train in this process."""
    gc.collect()
    gc.freeze()
    yield gc.collect
    gc.unfreeze()
