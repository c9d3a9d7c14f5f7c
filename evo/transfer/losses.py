"""The losses of `evopo transfer`: known losses, losses in files, candidates of runs, and the finalists of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from analysis.claims.comparison import decide
from analysis.snapshot import Snapshot
from archive.query import Reader
from evo.baselines.compared_losses import ComparedLoss, compared_losses
from evo.config.rundir import NotInRun, existing_run
from evo.display.lookup import find_candidate
from sandbox import known


def losses_of(
    named: Iterable[str], contract: str, *, every_known: bool = False, baseline: str | None = None
) -> tuple[ComparedLoss, ...]:
    """The losses, the baseline first. Without any name: all known losses of the contract.

    Each of `named` is a known loss, a file NAME.py, a candidate DIRECTORY#ID (or DIRECTORY#NAME), or a run's directory, which is
    short for its finalists. `every_known`: the known losses of the contract take part in addition to those that are named.

    Raises TaskError for a loss that is unknown, of another contract, or refused by the sandbox; NotInRun, RunDirError,
    ArchiveError.
    """
    names = list(known.names(contract)) if every_known else []
    candidates: list[tuple[Path, int]] = []
    for text in dict.fromkeys(named):
        directory, _, candidate = text.rpartition("#")
        if text in known.names() or text.endswith(".py"):
            names.append(text)
        elif directory and candidate:
            with Reader.open(existing_run(Path(directory)).archive) as reader:
                candidates.append((Path(directory), find_candidate(reader, candidate)))
        elif os.path.isdir(text):
            candidates += [(Path(text), id) for id in finalists(Path(text))]
        else:
            names.append(text)
    return compared_losses(contract, list(dict.fromkeys(names)), list(dict.fromkeys(candidates)), baseline)


def finalists(directory: Path) -> list[int]:
    """The finalists of a run, best first. Raises NotInRun before there are any; RunDirError, ArchiveError."""
    with Reader.open(existing_run(directory).archive) as reader:
        decision = decide(Snapshot.of(reader))
    if decision is None or not decision.fresh:
        raise NotInRun(f"the run in {directory} has no finalists yet; finish it, or give a candidate: {directory}#ID")
    return [finalist.arm.candidate for finalist in decision.finalists]
