"""Archives written event by event, for tests of code that reads them. Nothing is vetted or trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.config.schema import Config, parse_config
from evo.search.population import Population
from evo.search.selection.select import SELECTION, SELECTION_VERSION
from fitness.task import TaskInfo, task_info
from sandbox import known
from sandbox.graph.loss_graph import LossGraph

ROLES = {"explore": "explored_from", "refine": "refined", "combine": "combined", "repair": "repaired"}
TASK = "classification"


@dataclass
class History:
    """A made-up run, recorded in an archive."""

    config: Config
    info: TaskInfo
    archive: Archive
    reader: Reader

    def population(self, upto: int | None = None) -> Population:
        """The population of a session that starts now, or of one that had read events up to `upto`."""
        return Population(self.config, self.info, 1).advance(self.reader, upto)

    def seed(self, name: str, *, vetted: bool = True) -> int:
        """A seed loss, accepted."""
        candidate = self.archive.add_candidate("seed", name, "", known.load(name).source, "classification")
        if vetted:
            self.accepted(candidate, known.graph(name))
        return candidate

    def asked(
        self, step: int, operator: str = "explore", parents: Sequence[int] = (), *, attempt: int = 1, island: int = 0,
        temperature: float = 0.7, proposer: str = "openai",
    ) -> int:  # fmt: skip
        """A request without a reply."""
        told = [{"id": parent, "role": ROLES[operator]} for parent in parents]
        return self.archive.request_proposal(
            step, attempt, operator, proposer, "m", temperature, "t", {"island": island, "parents": told},
            self.archive.last_event(),
        )  # fmt: skip

    def replied(
        self, step: int, operator: str = "explore", parents: Sequence[int] = (), *, reply: str = "", **more: Any
    ) -> int:
        """A request with a reply that was not used yet."""
        proposal = self.asked(step, operator, parents, **more)
        self.archive.receive_proposal(proposal, reply or f"the reply of step {step}", 10, 5, 0.25, 1.0)
        return proposal

    def bred(self, step: int, operator: str = "explore", parents: Sequence[int] = (), **more: Any) -> int:
        """A candidate from a reply, not vetted yet."""
        proposal = self.replied(step, operator, parents, **more)
        told = [(parent, ROLES[operator]) for parent in parents]
        source = f"def loss(logits, targets):\n    return {step} * logits.sum(1)\n"
        return self.archive.add_candidate(
            "proposal", f"loss_{step}", f"thought {step}", source, "classification", proposal, told
        )

    def accepted(self, candidate: int, graph: LossGraph | None = None, **more: Any) -> int:
        """Records that the sandbox accepted it. Returns the candidate."""
        graph = graph or known.graph("mse")
        verdict = {
            "status": "accepted", "accepted": True, "contract": "classification", "graph": graph.to_json(),
            "hash": f"hash {candidate}", "descriptors": {"convex": True},
        }  # fmt: skip
        self.archive.record_verdict(candidate, verdict | more)
        return candidate

    def duplicate(self, candidate: int, of: int) -> int:
        """Records that it is a duplicate. Returns the candidate."""
        graph = known.graph("mse").to_json()
        verdict = {"status": "accepted", "accepted": True, "contract": "classification", "graph": graph, "hash": "h"}
        self.archive.record_verdict(candidate, verdict, of, "hash")
        return candidate

    def refused(self, candidate: int, rule: str = "SBX103", graph: LossGraph | None = None) -> int:
        """Records that the sandbox refused it. Returns the candidate."""
        finding = {
            "rule": rule, "severity": "refuse", "message": f"the message of {rule}", "remedy": "do it otherwise", "line": 2,
            "column": 1, "excerpt": "...", "counterexample": {},
        }  # fmt: skip
        verdict = {"status": "refused", "accepted": False, "contract": "classification", "findings": [finding]}
        self.archive.record_verdict(candidate, verdict | ({"graph": graph.to_json()} if graph else {}))
        return candidate

    def begun(self, candidate: int, rung: str = "short", number: int = 0, **tuning: float) -> int:
        """A running training, on the search seed with that number."""
        seed = Population(self.config, self.info, 1).seeds.search[number]
        evaluation = self.archive.queue_evaluation(candidate, TASK, rung, seed, **tuning)
        self.archive.start_evaluation(evaluation)
        return evaluation

    def scored(
        self, candidate: int, fitness: float, rung: str = "short", number: int = 0, **tuning: float
    ) -> int:  # fmt: skip
        """A scored training. Returns the candidate."""
        self.archive.score_evaluation(self.begun(candidate, rung, number, **tuning), fitness)
        return candidate

    def failed(self, candidate: int, rung: str = "short", number: int = 0) -> int:
        """A failed training. Returns the candidate."""
        self.archive.fail_evaluation(self.begun(candidate, rung, number), "diverged", "the loss became nan")
        return candidate


@contextmanager
def history(folder: Path, **settings: Any) -> Iterator[History]:
    """An empty run on the task `classification`."""
    config = parse_config({"task": TASK, "seeds": ["cross_entropy", "mse"], **settings})
    info = task_info(config.task, config.fitness)
    row = RunRow(config.name, config.seed, config.task, info.contract, baseline="cross_entropy")
    with Archive.create(folder / "archive.db", row) as archive, Reader.open(folder / "archive.db") as reader:
        told = {"config": config.model_dump(mode="json"), "fitness": info.described(), SELECTION: SELECTION_VERSION}
        archive.event("session_started", told)
        yield History(config, info, archive, reader)
