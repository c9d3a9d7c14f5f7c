"""Design of `evopo baselines`: losses, betas and seeds, and the rows of its table from an archive.

All losses get the same tuning. Each is trained with every beta of one grid on the same few seeds, and the beta with the best mean
fitness is chosen. It is then measured at this beta on fresh seeds, which had no part in the choice. A loss that does not use beta,
and every loss of a task without beta, has one arm and is not tuned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.benchmarks.frontier import PAPER_BETAS
from analysis.recorded import refusing
from analysis.snapshot import CAUTION, SINGLES_OUT
from archive.query import Reader
from archive.records import CandidateRow, EvaluationRow, Origin
from evo.baselines.compared_losses import ComparedLoss
from evo.campaign.final_setup import with_fresh_seeds
from evo.config.schema import Config
from evo.search.rng import derive
from fitness.schedule.ladder import Seeds
from fitness.task.protocol import TaskError, TaskInfo
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.verdict import VerdictStatus


@dataclass(frozen=True, slots=True)
class Design:
    """The trainings of a comparison."""

    losses: tuple[ComparedLoss, ...]
    """The baseline first."""
    rung: str
    betas: tuple[float, ...]
    """The tuning grid; empty for a task without beta."""
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    """Fresh seeds for the numbers of the table, drawn from the operating system so that no loss can be written for them."""

    @property
    def baseline(self) -> str | None:
        """The loss that all others are compared with."""
        return self.losses[0].name if self.losses else None

    def arms(self, graph: VerifiedGraph) -> tuple[float | None, ...]:
        """The betas that a loss is tuned over; (None,) if there is nothing to tune."""
        return self.betas if self.betas and "beta" in graph.inputs else (None,)

    def trainings(self) -> int:
        """Number of trainings of the design."""
        total = 0
        for loss in self.losses:
            arms = len(self.arms(loss.graph))
            total += len(self.seeds) + (arms * len(self.tuning_seeds) if arms > 1 else 0)
        return total


@dataclass(frozen=True, slots=True)
class Row:
    """One loss of the table."""

    candidate: CandidateRow
    beta: float | None
    tuning: Mapping[float | None, Sequence[EvaluationRow]]
    """Evaluations on the tuning seeds, by beta."""
    measured: Sequence[EvaluationRow]
    """Scored evaluations on the fresh seeds, at the chosen beta."""
    failed: str = ""
    """Why trainings are missing; empty if none is."""
    caution: str = ""
    """Why no claim is made of the loss; empty for the published losses."""


def design(
    config: Config, info: TaskInfo, losses: Sequence[ComparedLoss], *, rung: str | None = None, betas: Sequence[float] = (),
    tuning_seeds: int = 2, seeds: int = 8,
) -> Design:  # fmt: skip
    """The design for a task. Raises TaskError for an unknown rung, or a grid for a task without beta.

    Its seeds differ from those of a run, since a run's candidates were selected on the run's seeds. `run_baselines` replaces the
    fresh seeds by recorded ones if the directory has any.
    """
    if betas and info.beta is None:
        raise TaskError(f"task {info.name} has no beta, so there is nothing to tune: leave out --betas")
    tuning = tuple(derive(config.seed, "baselines, tuning", i) for i in range(tuning_seeds))
    return Design(
        losses=tuple(losses),
        rung=info.rung(rung or info.search_rungs[-1].name).name,
        betas=tuple(betas or PAPER_BETAS) if info.beta is not None else (),
        tuning_seeds=tuning,
        seeds=with_fresh_seeds(Seeds(search=tuning, final=()), seeds).final,
    )


def rows(reader: Reader, wanted: Design) -> list[Row]:
    """The rows of the table from the archive, in the order of the design."""
    by_name = {c.name: c for c in reader.candidates() if c.origin is Origin.SEED}
    return [row_of(reader, by_name[loss.name], loss, wanted) for loss in wanted.losses if loss.name in by_name]


def chosen_beta(tuning: Mapping[float | None, Sequence[EvaluationRow]]) -> tuple[bool, float | None]:
    """(True, beta with the best mean fitness over the tuning seeds). Betas with a failed training are left out; (False, None) if
    none is left."""
    means = {
        beta: fmean(row.fitness for row in done if row.fitness is not None)
        for beta, done in tuning.items()
        if done and all(row.fitness is not None for row in done)
    }
    if not means:
        return False, None
    return True, max(means, key=lambda beta: means[beta])


def row_of(reader: Reader, candidate: CandidateRow, loss: ComparedLoss, wanted: Design) -> Row:
    """The row of one loss, from the archive."""
    done = [e for e in reader.evaluations(candidate.id) if e.rung == wanted.rung and e.finished_event is not None]
    arms = wanted.arms(loss.graph)
    tuning: dict[float | None, list[EvaluationRow]] = {
        beta: [e for e in done if e.beta == beta and e.seed in wanted.tuning_seeds] for beta in arms
    }
    trainable, beta = chosen_beta(tuning) if len(arms) > 1 else (True, arms[0])
    measured = [e for e in done if e.seed in wanted.seeds and e.beta == beta] if trainable else []
    failures = [e for e in (measured if trainable else done) if e.fitness is None]
    failed = refusal(reader, candidate) or (
        f"{failures[0].reason} on {len(failures)} of {len(measured or done)} seeds" if failures else ""
    )
    noted = loss.own and any(f.rule == SINGLES_OUT for f in reader.findings(candidate.id))
    return Row(
        candidate, beta, tuning, [e for e in measured if e.fitness is not None], failed, CAUTION if noted else ""
    )


def is_measured(reader: Reader, candidate: CandidateRow, loss: ComparedLoss, wanted: Design) -> bool:
    """Whether no training of this loss is due: each has ended, or the sandbox refused the loss."""
    if reader.verdict(candidate.id) is None:
        return False
    if refusal(reader, candidate):
        return True
    ended = {
        (e.seed, e.beta)
        for e in reader.evaluations(candidate.id)
        if e.rung == wanted.rung and e.finished_event is not None
    }
    arms = wanted.arms(loss.graph)
    if len(arms) > 1:
        if not ended >= {(seed, beta) for beta in arms for seed in wanted.tuning_seeds}:
            return False
        beta = row_of(reader, candidate, loss, wanted).beta
        return beta is None or ended >= {(seed, beta) for seed in wanted.seeds}
    return ended >= {(seed, arms[0]) for seed in wanted.seeds}


def refusal(reader: Reader, candidate: CandidateRow) -> str:
    """`refused: SBX103, ...`, the rules that refused a loss; empty if it is accepted or not vetted yet."""
    verdict = reader.verdict(candidate.id)
    if verdict is None or verdict.status == VerdictStatus.ACCEPTED:
        return ""
    return "refused: " + ", ".join(f.rule for f in refusing(reader.findings(candidate.id)))
