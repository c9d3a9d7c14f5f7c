"""Failures of known losses: held back until they say something of the losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from archive.query import Reader
from archive.records import EvaluationState, RunRow
from archive.store import Archive
from evo.campaign.backlog import add_seed_losses
from evo.campaign.deferred_failures import DeferredFailures
from evo.config.schema import parse_config
from evo.search.population import Population
from fitness.chat.costs import Usage
from fitness.schedule.ladder import Job
from fitness.task import EvaluationFailed, task_info
from sandbox import known

KNOWN = ("cross_entropy", "focal", "mse")


@dataclass
class Trainings:
    """Those of a run, and what became of them."""

    archive: Archive
    reader: Reader
    deferred: DeferredFailures

    def begun(self, candidate: int, rung: str = "short", seed: int = 1) -> int:
        evaluation = self.archive.queue_evaluation(candidate, "classification", rung, seed)
        self.archive.start_evaluation(evaluation)
        return evaluation

    def fails(
        self, candidate: int, reason: str = "out_of_memory", rung: str = "short", paid: Usage | None = None
    ) -> bool:
        failure = EvaluationFailed(reason, f"the detail of {candidate}", paid)
        return self.deferred.defer(self.begun(candidate, rung), Job(candidate, rung, 1), failure)

    def states(self) -> list[EvaluationState]:
        return [row.state for row in self.reader.evaluations()]


@contextmanager
def trainings(folder: Path, names: tuple[str, ...] = KNOWN, vetted: int | None = None) -> Iterator[Trainings]:
    config = parse_config({"task": "classification", "seeds": names})
    info = task_info(config.task)
    row = RunRow("r", 0, config.task, info.contract, baseline=names[0])
    with Archive.create(folder / "a.db", row) as archive, Reader.open(folder / "a.db") as reader:
        add_seed_losses(archive, reader, names)
        for candidate, name in enumerate(names[:vetted], 1):
            graph = known.graph(name).to_json()
            archive.record_verdict(candidate, {"status": "accepted", "accepted": True, "graph": graph, "hash": name})
        yield Trainings(archive, reader, DeferredFailures(archive, reader, Population(config, info, 1)))


def test_where_all_known_losses_fail_the_reason_is_told_and_their_trainings_are_left_open(tmp_path: Path) -> None:
    with trainings(tmp_path) as run:
        assert all(run.fails(candidate, paid=Usage(7, 1, 0.5)) for candidate in (1, 2, 3))
        said = run.deferred.resolve("short", ())
        assert said is not None
        assert "all 3 known losses failed at rung short (out_of_memory)" in said and "the detail of 3" in said
        assert "fewer workers" in said and "the same command" in said
        assert set(run.states()) == {EvaluationState.RUNNING}
        assert run.reader.spending().judge_tokens_in == 21, "what a judge was paid is kept"
        run.archive.recover()
        assert set(run.states()) == {EvaluationState.QUEUED}, "the next session trains them again"


def test_the_only_known_loss_is_enough(tmp_path: Path) -> None:
    with trainings(tmp_path, ("mse",)) as run:
        assert run.fails(1, "diverged")
        said = run.deferred.resolve("short", ())
        assert said is not None and "the only known loss failed" in said and "learning rate" in said and "--dir" in said


def test_where_one_is_scored_the_others_have_failed_by_themselves(tmp_path: Path) -> None:
    with trainings(tmp_path) as run:
        assert run.fails(1) and run.fails(2)
        run.archive.score_evaluation(run.begun(3), 0.5)
        assert run.deferred.resolve("short", ()) is None
        assert sorted(run.states()) == ["failed", "failed", "scored"]


@pytest.mark.parametrize("vetted", [2, 3])
def test_nothing_is_told_before_all_have_been_tried(tmp_path: Path, vetted: int) -> None:
    with trainings(tmp_path, vetted=vetted) as run:
        assert run.fails(1) and run.fails(2)
        under_way = (Job(3, "short", 1),) if vetted == 3 else ()
        assert run.deferred.resolve("short", under_way) is None


def test_a_proposal_s_failure_is_recorded_at_once(tmp_path: Path) -> None:
    with trainings(tmp_path) as run:
        asked = run.archive.request_proposal(1, 1, "explore", "builtin", None, None, "t", {"island": 0}, 0)
        run.archive.receive_proposal(asked, "reply")
        proposed = run.archive.add_candidate("proposal", "p", "", "", "classification", asked)
        assert not run.fails(proposed)


def test_a_later_rung_is_judged_by_itself_and_what_is_left_is_recorded_at_the_end(tmp_path: Path) -> None:
    with trainings(tmp_path) as run:
        for candidate in (1, 2, 3):
            run.archive.score_evaluation(run.begun(candidate), 0.5)
        assert run.fails(1, "timeout", rung="full")
        assert run.deferred.resolve("full", (Job(2, "full", 1),)) is None
        run.deferred.record()
        assert run.states()[-1] is EvaluationState.FAILED
