"""Studies in whole sessions: a real archive, sandbox and worker, and a task whose fitness has a known optimum."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instant import InstantRun, Scripted
from loopback_llm import proposal, valid_loss

from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import EventKind, ProposalRow
from evo.campaign.replay import replay_run
from evo.config.rundir import RunDir
from fitness.workers.pool import WorkerPool
from sandbox.vetting.pool import VetPool

pytest.importorskip("torch")

TASK = '''
"""The best loss has a softplus, and a tanh of 3 times a value. Nothing else matters but the seed, which is the same for all."""
import math, zlib
from pathlib import Path
from fitness.task import EvaluationFailed, Rung, SeedResult, TaskInfo, TaskOptions

class Options(TaskOptions):
    folder: str

def info(options):
    rungs = {"short": Rung("short", 1, 0.01), "full": Rung("full", 2, 0.02), "held_out": Rung("held_out", 2, 0.02, held_out=True)}
    return TaskInfo("planted", "preference", "a number", rungs, lambda: {"task": "planted"}, beta=0.1)

def make(options):
    return Planted(options)

class Planted:
    name, metric, notes, judged, paid = "planted", "a number", (), None, None

    def __init__(self, options):
        self.folder, self.rungs = Path(options.folder), info(options).rungs

    def prepare(self):
        pass

    def score_seed(self, graph, rung, seed, *, beta=None, learning_rate=None):
        fitness = 0.5 + seed % 100 / 1000 + 0.2 * any(node.op == "softplus" for node in graph.nodes)
        for node in graph.nodes:
            if node.op == "tanh":
                factors = [graph.nodes[a] for a in graph.nodes[node.args[0]].args]
                factor = next(f.attrs["value"] for f in factors if f.op == "const")
                if factor > 6 and (self.folder / "diverges").exists():
                    raise EvaluationFailed("diverged", "the loss became infinite")
                fitness += 0.2 - 0.1 * math.log(factor / 3) ** 2
        return SeedResult(fitness, {}, seed=seed)
'''

BEST = 3.0
LOSS = """
def loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    z = beta * ((policy_chosen - reference_chosen) - (policy_rejected - reference_rejected))
    return F.softplus(-z) - 0.5 * torch.tanh({factor} * z){more}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, VetPool, WorkerPool, Path]]:
    folder = tmp_path_factory.mktemp("planted")
    site = folder / "site"
    (site / "planted-1.0.dist-info").mkdir(parents=True)
    (site / "planted_task.py").write_text(TASK)
    (site / "planted-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (site / "planted-1.0.dist-info" / "entry_points.txt").write_text("[evopo.tasks]\nplanted = planted_task\n")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner, VetPool(contract="preference") as vetter:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site))
        pool = WorkerPool("planted", {"folder": str(folder)}, 1)
        runner.run(pool.__aenter__())
        try:
            yield runner, vetter, pool, folder
        finally:
            runner.run(pool.__aexit__(None, None, None))


Session = Callable[..., str]


@pytest.fixture
def run(shared: tuple[asyncio.Runner, VetPool, WorkerPool, Path], tmp_path: Path) -> InstantRun:
    _, vetter, pool, folder = shared
    return InstantRun(tmp_path / "run", vetter, pool, {"folder": str(folder)}, {"task": "planted"})


@pytest.fixture
def session(shared: tuple[asyncio.Runner, VetPool, WorkerPool, Path], run: InstantRun) -> Session:
    def once(first: str, **more: object) -> str:
        return shared[0].run(run.session(Scripted({1: first}, lambda step: proposal(valid_loss(step))), **more))  # type: ignore[arg-type]

    return once


def search(operator: str, trainings: int, every: int = 3) -> dict[str, object]:
    return {"in_flight": 1, operator: {"every": every, "trainings": trainings}}


def planted(factor: float = 1.25, more: str = "") -> str:
    return proposal(LOSS.format(factor=factor, more=more), "a bounded bonus", "planted")


def read(run: InstantRun) -> Snapshot:
    with Reader.open(run.archive) as reader:
        return Snapshot.of(reader)


def studies(run: InstantRun) -> list[ProposalRow]:
    return [p for p in read(run).proposals.values() if p.proposer == "study"]


def replays(run: InstantRun) -> bool:
    """Whether every choice and every study follows again. (A scripted proposer has no templates.)"""
    text = replay_run(RunDir(run.folder)).text
    return "chose" not in text and "study" not in text and "studies" not in text


def child_of(run: InstantRun, study: ProposalRow) -> tuple[int, float]:
    """The candidate of a study, and its factor."""
    snapshot = read(run)
    child = next(c for c in snapshot.candidates.values() if c.proposal_id == study.id)
    graph = snapshot.graph(child.id)
    assert graph is not None
    tanh = next(node for node in graph.nodes if node.op == "tanh")
    factors = [graph.nodes[a] for a in graph.nodes[tanh.args[0]].args]
    return child.id, next(float(f.attrs["value"]) for f in factors if f.op == "const")


def assert_no_training_twice(run: InstantRun) -> None:
    made = Counter((e.variant_id, e.rung, e.seed) for e in read(run).variant_evaluations)
    assert made and max(made.values()) == 1


def test_tune_finds_a_planted_constant_within_its_budget_and_the_child_is_scored_on_the_ladder(
    run: InstantRun, session: Session
) -> None:
    session(planted(), search=search("tune", 32), budget={"proposals": 4})
    study, *others = studies(run)
    assert not others and study.operator == "tune" and study.step == 3
    snapshot = read(run)
    parent = next(c for c in snapshot.candidates.values() if c.name == "planted")
    child, factor = child_of(run, study)
    assert 2.2 < factor < 4.2, f"the optimum is {BEST}, the parent has 1.25"
    assert [(edge.parent, edge.role) for edge in snapshot.parents[child]] == [(parent.id, "refined")]
    trainings = len(snapshot.variant_evaluations)
    assert {e.rung for e in snapshot.variant_evaluations} == {"full"}, "the highest rung of the search"
    assert trainings <= 32 and f'"trainings": {trainings}' in (study.reply or "")
    assert snapshot.spending.evaluations == trainings + len(snapshot.evaluations)
    own = [e for e in snapshot.evaluations if e.candidate_id == child]
    assert own and not {e.seed for e in own} & {e.seed for e in snapshot.variant_evaluations}
    assert replays(run)


def test_nothing_is_proposed_where_the_constants_are_the_best_already(run: InstantRun, session: Session) -> None:
    session(planted(BEST), search=search("tune", 24, every=2), budget={"proposals": 4})
    first, *_ = studies(run)
    assert first.state == "failed" and (first.error or "").startswith("No improvement")
    assert len({p.references["parents"][0]["id"] for p in studies(run)}) == len(studies(run)), "one study for each loss"
    assert replays(run)


def test_a_form_whose_training_fails_is_not_chosen(
    run: InstantRun, session: Session, shared: tuple[asyncio.Runner, VetPool, WorkerPool, Path]
) -> None:
    marker = shared[3] / "diverges"
    marker.touch()
    try:
        session(planted(5.5), search=search("tune", 32), budget={"proposals": 3})
    finally:
        marker.unlink()
    failed = [e for e in read(run).variant_evaluations if e.reason == "diverged"]
    assert failed and child_of(run, studies(run)[0])[1] < 5.5
    assert replays(run)


def test_simplify_drops_inert_terms_together_and_keeps_what_matters(run: InstantRun, session: Session) -> None:
    inert = " + 0.25 * torch.exp(-z * z) + 0.125 * torch.relu(z)"
    session(planted(BEST, inert), search=search("simplify", 60), budget={"proposals": 3})
    snapshot, (study,) = read(run), studies(run)
    child, factor = child_of(run, study)
    graph = snapshot.graph(child)
    assert graph is not None and factor == BEST
    operations = {node.op for node in graph.nodes}
    assert {"softplus", "tanh"} <= operations and not {"exp", "relu"} & operations
    assert replays(run)


def test_a_study_that_was_cut_off_goes_on_with_what_is_recorded(run: InstantRun, session: Session) -> None:
    settings = {"search": search("tune", 32), "budget": {"proposals": 4}}
    with pytest.raises(Exception, match="no room"):
        session(planted(), until=(EventKind.VARIANT_SCORED, 11), **settings)
    assert studies(run)[-1].reply is None
    session(planted(), **settings)
    assert_no_training_twice(run)
    first, *again = studies(run)
    assert first.reply is None and again[-1].step == first.step and again[-1].references == first.references
    assert 2.2 < child_of(run, again[-1])[1] < 4.2 and len(read(run).variant_evaluations) <= 32
    assert replays(run)


def test_a_budget_of_trainings_ends_a_study_and_a_larger_one_continues_it(run: InstantRun, session: Session) -> None:
    def more(study: ProposalRow) -> bool:
        return study.reply is not None

    settings = {"search": search("tune", 32)}
    session(planted(), budget={"proposals": 2}, **settings)
    before = read(run).spending.evaluations
    # One training is reserved for each candidate in progress, so the study cannot make its last ones.
    ended = session(planted(), budget={"proposals": 9, "evaluations": before + 32}, **settings)
    assert "evaluations is reached" in ended and read(run).spending.evaluations <= before + 32
    assert not any(map(more, studies(run)))
    session(planted(), budget={"proposals": 4, "evaluations": 300}, **settings)
    assert_no_training_twice(run)
    assert any(map(more, studies(run))) and replays(run)


def test_no_study_begins_without_budget_for_all_its_trainings(run: InstantRun, session: Session) -> None:
    session(planted(), search=search("tune", 32), budget={"proposals": 6, "evaluations": 36})
    assert not studies(run) and read(run).spending.proposals == 6


def test_a_changed_result_is_found_by_the_replay(run: InstantRun, session: Session) -> None:
    session(planted(), search=search("tune", 24), budget={"proposals": 3})
    assert replays(run)
    run._sql("UPDATE variant_evaluation SET fitness = fitness + 1 WHERE id % 3 = 0")
    assert "the recorded trainings of the study give another result" in replay_run(RunDir(run.folder)).text
