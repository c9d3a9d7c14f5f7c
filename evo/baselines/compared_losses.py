"""The losses that `evopo baselines` compares: published losses, and the user's own from files or runs."""

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
"""Maximum bytes read of a file with a loss. The sandbox has a lower limit, with a message of its own."""


@dataclass(frozen=True, slots=True)
class ComparedLoss:
    """A loss to compare: its name in the table, and the verified graph that is trained."""

    name: str
    title: str
    source: str
    graph: VerifiedGraph
    own: bool
    """Whether it is the user's own and not a published one."""


def compared_losses(
    contract: str, losses: Sequence[str] = (), candidates: Sequence[tuple[Path, int]] = (), baseline: str | None = None
) -> tuple[ComparedLoss, ...]:
    """The losses of a comparison: the baseline first, then other published losses, then the user's own.

    `losses`: names of published losses, or files with one loss each. Without any, all published losses are compared; if there are
    own losses, they are compared with the baseline only. `candidates`: (run directory, id) pairs. The baseline is `baseline` if
    given, else that of the first candidate's run that names a published loss, else the contract's usual one.

    Raises TaskError for a loss that is unknown, of another contract, or refused by the sandbox; RunDirError, ArchiveError.
    """
    everything = known.names(contract)
    named = [loss for loss in losses if loss in everything]
    files = [loss for loss in losses if loss not in everything]
    unknown = [loss for loss in files if not loss.endswith(".py")]
    if shared := next(filter(None, map(known.two_versions, [*unknown, *([baseline] if baseline else [])])), ""):
        raise TaskError(shared)
    if unknown:
        raise TaskError(
            f"{unknown[0]!r} is neither a known {contract} loss nor a file NAME.py; known losses: {', '.join(everything)}"
            f"{did_you_mean(unknown[0], everything)}"
        )
    own = [*(in_file(Path(file), contract) for file in files), *(in_run(*place, contract) for place in candidates)]
    baseline = choose_baseline(everything, contract, baseline or _baseline_of_runs(candidates, everything))
    if baseline is not None and baseline not in everything:
        raise TaskError(
            f"baseline: no known {contract} loss {baseline!r}; known losses: {', '.join(everything)}"
            f"{did_you_mean(baseline, everything)}"
        )
    first = [baseline] if baseline else []
    if own or named:
        named = [*first, *named]  # every comparison needs the baseline
    ordered = dict.fromkeys((*first, *everything))
    taken_up = [published(name) for name in ordered if not named or name in named]
    taken = [*everything, *known.FORMER_NAMES]
    for loss in own:
        if loss.name in taken:
            raise TaskError(f"two losses are called {loss.name!r}: give the file another name")
        taken.append(loss.name)
    return (*taken_up, *own)


def _baseline_of_runs(candidates: Sequence[tuple[Path, int]], published: Sequence[str]) -> str | None:
    for directory, _ in candidates:
        with Reader.open(existing_run(directory).archive) as reader:
            name = reader.run().baseline
        name = known.FORMER_NAMES.get(name or "", name)
        if name in published:
            return name
    return None


def published(name: str) -> ComparedLoss:
    """The known loss called `name`."""
    loss = known.load(name)
    return ComparedLoss(name, loss.title, loss.source, known.graph(name), own=False)


def in_file(path: Path, contract: str) -> ComparedLoss:
    """The loss in a file, vetted in the jail. Raises TaskError if it cannot be read or is refused."""
    try:
        source = read_bounded(Path(os.path.realpath(path)), LONGEST)  # may be a link, since the user named it
    except OSError as error:
        raise TaskError(f"cannot read the loss in {path}: {error.strerror or error}") from None
    verdict = vet(source, contract)
    text, graph = source.decode("utf-8", "replace"), _graph(verdict, str(path))
    return ComparedLoss(path.stem, f"from {path.name}", text, graph, own=True)


def in_run(directory: Path, number: int, contract: str) -> ComparedLoss:
    """A candidate of a run. Raises TaskError if there is none, if it follows another contract, or if it was not accepted."""
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
        return ComparedLoss(f"{display_name(row)}#{number}", row.thought, row.source, graph, own=True)


def _graph(verdict: Verdict, where: str) -> VerifiedGraph:
    if verdict.accepted and verdict.graph is not None:
        return verdict.graph
    found = "; ".join(f"{f.rule} {f.message}" for f in verdict.refusals)
    raise TaskError(
        f"the sandbox refuses {where}: {found} (evopo-sandbox check --contract {verdict.contract} shows where)"
    )
