"""The losses that a command names: known losses by name, losses in files, candidates of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.output.encode import one_line
from archive.query import Reader
from evo.baselines.compared_losses import ComparedLoss, in_file, in_run, published
from evo.config.rundir import existing_run
from evo.display.lookup import find_candidate
from fitness.task.faults import did_you_mean
from fitness.task.protocol import TaskError
from sandbox import known
from sandbox.contracts.contract import CONTRACTS

USUAL = "preference"
"""The contract of losses in files if nothing else names one."""


def named_losses(named: Sequence[str], contract: str | None = None) -> tuple[ComparedLoss, ...]:
    """The losses in the order of the command, each once. All follow one contract: `contract` if given, else that of the first known
    loss or candidate, else `preference`.

    Each of `named` is the name of a known loss, a file NAME.py, or DIRECTORY#ID of a run (or DIRECTORY#NAME).

    Raises TaskError for a loss that is unknown, of another contract, or refused by the sandbox; NotInRun, ArchiveError.
    """
    if contract is not None and contract not in CONTRACTS:
        raise TaskError(
            f"--contract: expected one of {', '.join(CONTRACTS)}, got {contract!r}{did_you_mean(contract, CONTRACTS)}"
        )
    places = {text: _place(text) for text in dict.fromkeys(named)}
    contracts = {text: _contract(place) for text, place in places.items() if not _is_file(place)}
    wanted = contract or next(iter(contracts.values()), USUAL)
    if others := [(text, own) for text, own in contracts.items() if own != wanted]:
        text, own = others[0]
        raise TaskError(
            f"{text} is a {own} loss, and the others are {wanted} losses, which have another margin: name them in two calls"
        )
    losses = [_loss(place, wanted) for place in places.values()]
    names = [loss.name for loss in losses]
    return tuple(
        replace(loss, name=one_line(text, 60)) if names.count(loss.name) > 1 else loss
        for text, loss in zip(places, losses, strict=True)
    )


_Place = str | Path | tuple[Path, int]
"""The name of a known loss, a file, or a run directory with the id of a candidate."""


def _place(text: str) -> _Place:
    if text in known.names():
        return text
    if versions := known.two_versions(text):
        raise TaskError(versions)
    directory, mark, candidate = text.rpartition("#")
    if mark and directory and candidate:
        path = Path(directory)
        with Reader.open(existing_run(path).archive) as reader:
            return path, find_candidate(reader, candidate)
    if text.endswith(".py"):
        return Path(text)
    raise TaskError(
        f"{one_line(text)!r} is neither a known loss, nor a file NAME.py, nor a candidate DIRECTORY#ID of a run; known losses: "
        f"{', '.join(known.names())}{did_you_mean(text, known.names())}"
    )


def _is_file(place: _Place) -> bool:
    return isinstance(place, Path)


def _contract(place: _Place) -> str:
    if isinstance(place, tuple):
        with Reader.open(existing_run(place[0]).archive) as reader:
            return reader.candidate(place[1]).contract
    return known.load(str(place)).contract


def _loss(place: _Place, contract: str) -> ComparedLoss:
    if isinstance(place, str):
        return published(place)
    if isinstance(place, Path):
        return replace(in_file(place, contract), name=one_line(place.name, 60))
    return in_run(*place, contract)
