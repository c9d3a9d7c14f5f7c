"""`--seed-from`: losses of the user with which a run starts, from files, folders, or the best of an earlier run.

They are seed losses: trained at every rung and in the final, parents of proposals, and known losses for all claims. Their code is
untrusted like that of any candidate. It is vetted in the jail before anything is created, requested or trained. A candidate of an
earlier run is taken as its verified graph, printed as code, so that the code shown is the loss that was trained.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.claims.comparison import decide
from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from analysis.steering import Provenance, provenance_in
from analysis.wording import count
from archive.disk.files import read_bounded, there
from archive.errors import UnsafeFile
from archive.query import Reader
from archive.records import EventKind, Origin
from evo.campaign.backlog import GivenLoss
from evo.config.rundir import RunDir, existing_run
from evo.config.schema import Config, ConfigError
from evo.session.earlier_session import Ended, FinishedRun
from sandbox import known
from sandbox.graph.printers import to_python
from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.pool import VetPool

DEFAULT_BEST = 3
"""Number of losses taken from an earlier run if the command names none."""
LONGEST = 2**20
"""Maximum bytes read of a file. The sandbox has a lower limit, with a message of its own."""
_OPTION = "--seed-from"


@dataclass(frozen=True, slots=True)
class SourceText:
    """The source of one loss, and where it was read: `place` is for messages."""

    name: str
    thought: str
    source: bytes
    provenance: Provenance
    place: str

    @classmethod
    def of_file(cls, path: Path, source: bytes) -> SourceText:
        """The loss in a file with this content."""
        key = f"sha256:{hashlib.sha256(source).hexdigest()}"
        return cls(path.stem, f"from {path.name}", source, Provenance(key, path.name), str(path))


def read_given(named: Sequence[str], contract: str, own: Path) -> tuple[SourceText, ...]:
    """The losses that the command names, each content once, not vetted yet. Raises ConfigError, ArchiveError, RunDirError.

    Each of `named` is a file NAME.py, a folder of such files, or a run directory or its archive.db, with `:N` for its best N. `own`
    is the directory of the run that is begun or resumed, which is refused.
    """
    found: dict[str, SourceText] = {}
    for text in named:
        path, number = _place(text)
        if path.suffix == ".db" or there(RunDir(path).archive):
            if os.path.realpath(path) in (os.path.realpath(own), os.path.realpath(RunDir(own).archive)):
                raise ConfigError(f"{_OPTION} {text}: it is this run itself, whose losses take part anyway")
            losses = _of_run(path, number or DEFAULT_BEST, contract)
        elif number is not None:
            raise ConfigError(f"{_OPTION} {text}: {path} holds no run (no archive.db) of which the best could be taken")
        elif path.is_dir():
            losses = _in_folder(path)
        else:
            losses = iter([_in_file(path)])
        for loss in losses:
            found.setdefault(loss.provenance.key, loss)
    return tuple(found.values())


def vetted(given: Sequence[SourceText], config: Config, contract: str, own: Path) -> tuple[GivenLoss, ...]:
    """The losses that the run in `own` does not have yet, after vetting in the jail.

    Their names differ from each other and from all seed losses. Raises ConfigError with one line for each loss that is refused: its
    place and the first finding; WorkerFailed, ArchiveError.
    """
    given, taken = _not_recorded(given, own)
    if not given:
        return ()
    accepted_by_sandbox(given, config, contract, _OPTION)
    taken |= {*known.names(contract), *known.FORMER_NAMES}
    losses = []
    for loss in given:
        name = _free(loss.name, taken)
        taken.add(name)
        losses.append(GivenLoss(name, loss.thought, loss.source.decode("utf-8", "replace"), contract, loss.provenance))
    return tuple(losses)


def accepted_by_sandbox(losses: Sequence[SourceText], config: Config, contract: str, what: str) -> None:
    """Vet losses in the jail. Raises ConfigError with one line for each that is refused, which begins with `what`; WorkerFailed."""
    with VetPool(workers=1, contract=contract) as pool:
        verdicts = [pool.vet(loss.source).refusing(config.refuse_notes) for loss in losses]
    faults = [_refusal(loss, v, what) for loss, v in zip(losses, verdicts, strict=True) if not v.accepted]
    if faults:
        raise ConfigError("\n".join(faults))


def refuse_new(given: Sequence[SourceText], config: Config, contract: str, own: Path, ended: Ended) -> None:
    """Raise FinishedRun if the finished run in `own` was made without one of these losses; ConfigError if the sandbox refuses one.

    They are vetted first, since the commands that the user can use instead would refuse the same losses.
    """
    new, _ = _not_recorded(given, own)
    if new:
        accepted_by_sandbox(new, config, contract, _OPTION)
        raise FinishedRun(
            f"{own} holds a finished run ({ended.reason}) without the seed {'loss' if len(new) == 1 else 'losses'} "
            f"{', '.join(one_line(loss.place) for loss in new)}, which the sandbox accepts. A finished run takes new losses only "
            "together with a larger budget. Nothing was run, and nothing in it was changed.",
            ended.larger,
        )


def _not_recorded(given: Sequence[SourceText], own: Path) -> tuple[tuple[SourceText, ...], set[str]]:
    """The losses whose content is not recorded in the run in `own` as a user's loss, and the names of its seed losses."""
    if not given or not there(RunDir(own).archive):
        return tuple(given), set()
    with Reader.open(RunDir(own).archive) as reader:
        events = reader.events(kind=EventKind.CANDIDATE_ADDED)
        names = {row.name for row in reader.candidates() if row.origin is Origin.SEED}
    recorded = {provenance.key for event in events if (provenance := provenance_in(event))}
    return tuple(loss for loss in given if loss.provenance.key not in recorded), names


def described(given: Sequence[GivenLoss]) -> str:
    """One line for the user that names them with their origin."""
    names = ", ".join(f"{one_line(loss.name)} ({one_line(loss.provenance.words)})" for loss in given)
    return f"{count(len(given), 'loss', 'losses')} given to the run as seed losses, known for all claims: {names}."


def _place(text: str) -> tuple[Path, int | None]:
    """The path and the N of `PATH:N`. A path that exists is taken as it is."""
    ending = re.fullmatch(r"(.+):([0-9]{1,6})", text, re.DOTALL)
    if ending is None or os.path.lexists(text):
        path, number = Path(text), None
    else:
        path, number = Path(ending[1]), int(ending[2])
    if not os.path.lexists(path):
        raise ConfigError(
            f"{_OPTION} {text}: no such file or directory; expected a file NAME.py, a folder of them, or a run's directory or "
            "archive.db (DIR:5 for its best 5)"
        )
    if number == 0:
        raise ConfigError(f"{_OPTION} {text}: expected at least 1 loss, got 0")
    return path, number


def _in_folder(folder: Path) -> Iterator[SourceText]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".py")
    except OSError as error:
        raise ConfigError(f"{_OPTION} {folder}: cannot be listed: {error.strerror}") from None
    if not files:
        raise ConfigError(f"{_OPTION} {folder}: the folder holds neither a run (archive.db) nor a loss (NAME.py)")
    return map(_in_file, files)


def read_source(path: Path, what: str) -> bytes:
    """The content of a file with a loss. `what` begins the message of a ConfigError: the option or command that names it."""
    if path.suffix != ".py":
        raise ConfigError(f"{what} {path}: expected a file NAME.py with one loss")
    try:
        return read_bounded(Path(os.path.realpath(path)), LONGEST)  # may be a link, since the user named it
    except UnsafeFile as error:
        raise ConfigError(f"{what} {path}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{what} {path}: cannot be read: {error.strerror or error}") from None


def _in_file(path: Path) -> SourceText:
    return SourceText.of_file(path, read_source(path, _OPTION))


def _of_run(path: Path, number: int, contract: str) -> Iterator[SourceText]:
    """The finalists of a run, best first, then the leaders of its leaderboard. Losses with a caution are left out."""
    from analysis.report.data import leaderboard  # loads scipy

    archive = path if path.suffix == ".db" else existing_run(path).archive
    with Reader.open(archive) as reader:
        snapshot = Snapshot.of(reader)
    run = snapshot.run
    if run.contract != contract:
        raise ConfigError(
            f"{_OPTION} {path}: its losses are {run.contract} losses, and this task trains {contract} losses"
        )
    decision = decide(snapshot)
    ids = dict.fromkeys([
        *(c.arm.candidate for c in (decision.finalists if decision else ()) if not c.failed),
        *(row.id for row in leaderboard(snapshot, decision, most=len(snapshot.candidates)) if not row.is_seed and not row.failed),
    ])  # fmt: skip
    usable = [id for id in ids if not snapshot.caution(id) and snapshot.graph(id) is not None]
    if not usable:
        raise ConfigError(f"{_OPTION} {path}: the run has no proposed loss with a score yet")
    for id in usable[:number]:
        graph, verdict, row = snapshot.graph(id), snapshot.verdicts[id], snapshot.candidates[id]
        assert graph is not None
        provenance = Provenance(f"hash:{verdict.hash}", run=f"{run.name}, seed {run.seed}", candidate=id)
        place = f"candidate {id} of {path}"
        yield SourceText(row.name, row.thought, to_python(graph).encode(), provenance, place)


def _free(name: str, taken: set[str]) -> str:
    """`name`, with the first number that makes it a new one if it is taken."""
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def _refusal(loss: SourceText, verdict: Verdict, what: str) -> str:
    first, *more = verdict.refusals
    line = f" line {first.line}" if first.line else ""
    others = f" (and {count(len(more), 'further finding')})" if more else ""
    return (
        f"{what} {loss.place}: the sandbox refuses it: {first.rule}{line}: {one_line(first.message, 300)}{others}; "
        f"`evopo-sandbox check --contract {verdict.contract}` shows where, and the remedy"
    )
