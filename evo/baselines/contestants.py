"""The losses that `evo baselines` measures: the published ones, and those that a user puts beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.recorded import graph_of
from analysis.wording import display_name
from archive.disk.files import read_bounded
from archive.query import Reader
from evo.config.rundir import existing_run
from evo.search.seed_losses import choose_baseline
from fitness.task.faults import did_you_mean
from fitness.task.protocol import TaskError
from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.verdict import Verdict, VerdictStatus
from sandbox.vetting.vet import vet

LONGEST = 2**20
"""Bytes of a file with a loss that are read; the sandbox takes less, and says so."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A loss under the name that its row of the table has, with the verified graph that is trained."""

    name: str
    title: str
    source: str
    graph: VerifiedGraph
    own: bool
    """Whether it is the user's own rather than a published one."""


def contestants(
    contract: str, losses: Sequence[str] = (), candidates: Sequence[tuple[Path, int]] = (), baseline: str | None = None
) -> tuple[Contestant, ...]:
    """The baseline first, then the other published losses, then the user's own.

    `losses` are names of published losses, or files with one; none of them is all published losses, unless there are own
    ones: these compete with the baseline alone. `candidates` are (run directory, id). The baseline is the published loss
    given, else that of the first candidate's run, else the contract's usual one.

    Raises TaskError for what is not known, another contract's, or refused by the sandbox; RunDirError, ArchiveError.
    """
    everything = known.names(contract)
    named = [loss for loss in losses if loss in everything]
    files = [loss for loss in losses if loss not in everything]
    unknown = [loss for loss in files if not loss.endswith(".py")]
    if unknown:
        raise TaskError(
            f"no known {contract} loss {unknown[0]!r}, and no file NAME.py; there are: {', '.join(everything)}"
            f"{did_you_mean(unknown[0], everything)}"
        )
    own = [*(_in_file(Path(file), contract) for file in files), *(_in_run(*place, contract) for place in candidates)]
    baseline = choose_baseline(everything, contract, baseline or _baseline_of_runs(candidates, everything))
    if baseline is not None and baseline not in everything:
        raise TaskError(
            f"baseline: no known {contract} loss {baseline!r}; there are: {', '.join(everything)}"
            f"{did_you_mean(baseline, everything)}"
        )
    first = [baseline] if baseline else []
    if own or named:
        named = [*first, *named]  # what anything is measured for is the comparison
    ordered = dict.fromkeys((*first, *everything))
    published = [_published(name) for name in ordered if not named or name in named]
    taken = [*everything]
    for contestant in own:
        if contestant.name in taken:
            raise TaskError(f"two losses are called {contestant.name!r}: give the file another name")
        taken.append(contestant.name)
    return (*published, *own)


def _baseline_of_runs(candidates: Sequence[tuple[Path, int]], published: Sequence[str]) -> str | None:
    for directory, _ in candidates:
        with Reader.open(existing_run(directory).archive) as reader:
            name = reader.run().baseline
        if name in published:
            return name
    return None


def _published(name: str) -> Contestant:
    loss = known.load(name)
    return Contestant(name, loss.title, loss.source, known.graph(name), own=False)


def _in_file(path: Path, contract: str) -> Contestant:
    try:
        source = read_bounded(Path(os.path.realpath(path)), LONGEST)  # the user named it: it may be a link
    except OSError as error:
        raise TaskError(f"cannot read the loss in {path}: {error.strerror or error}") from None
    verdict = vet(source, contract)
    text, graph = source.decode("utf-8", "replace"), _graph(verdict, str(path))
    return Contestant(path.stem, f"from {path.name}", text, graph, own=True)


def _in_run(directory: Path, number: int, contract: str) -> Contestant:
    with Reader.open(existing_run(directory).archive) as reader:
        row = next((c for c in reader.candidates() if c.id == number), None)
        if row is None:
            raise TaskError(f"the run in {directory} has no candidate {number}")
        if row.contract != contract:
            raise TaskError(
                f"candidate {number} of {directory} is a {row.contract} loss; this task trains {contract} losses"
            )
        verdict = reader.verdict(number)
        if verdict is None or verdict.status != VerdictStatus.ACCEPTED or verdict.graph is None:
            raise TaskError(
                f"candidate {number} of {directory} was not accepted by the sandbox, so it cannot be trained"
            )
        graph = graph_of(verdict)
        return Contestant(f"{display_name(row)}#{number}", row.thought, row.source, graph, own=True)


def _graph(verdict: Verdict, where: str) -> VerifiedGraph:
    if verdict.accepted and verdict.graph is not None:
        return verdict.graph
    found = "; ".join(f"{f.rule} {f.message}" for f in verdict.refusals)
    raise TaskError(f"the sandbox refuses {where}: {found} (evopo-sandbox check shows where)")
