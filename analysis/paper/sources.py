"""The directories that were given to `evopo paper`: each is recognised by its archive and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from analysis.benchmarks.results import Rows
from analysis.claims.headline import headline_of
from analysis.claims.transfer import PLAN, transfer_of
from analysis.output.encode import one_line
from analysis.output.errors import NotComparable
from analysis.paper.case_study import Transferred
from analysis.paper.facts import Searched
from analysis.paper.judged import measures_of
from analysis.paper.sweeps import Sweep, frontier_of, sweeps_of
from analysis.paper.tables import Measure, Source
from analysis.paper.trained import fitness_of
from analysis.report.page import ARCHIVE
from analysis.snapshot import Snapshot
from analysis.wording import count
from archive.disk.files import there
from archive.query import Reader
from archive.records import EventKind


@dataclass
class Given:
    """What all directories hold."""

    sources: list[Source] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    searches: list[Searched] = field(default_factory=list)
    transfers: list[Transferred] = field(default_factory=list)


Evaluated = Callable[[Reader], Mapping[str, Rows]]
"""The rows of an evaluation that count, by benchmark."""


def read(directories: Mapping[str, Path], evaluated: Evaluated) -> Given:
    """The directories by name as they were given. Each holds an archive or the plan of a transfer.

    Raises NotComparable for an archive of another kind, AnalysisError for a transfer without results, ArchiveError.
    """
    given = Given()
    readers: dict[str, Callable[[Reader, str, Given], None]] = {
        "": _search,
        EventKind.BASELINES: _baselines,
        EventKind.EVALUATE: partial(_evaluation, evaluated),
    }
    for name, directory in directories.items():
        if there(directory / PLAN):
            _transfer(directory, name, given)
            continue
        with Reader.open(directory / ARCHIVE) as reader, reader.consistent():
            kind = str(reader.run().identity.get("kind") or "")
            if kind not in readers:
                raise NotComparable(
                    f"{name} holds {one_line(kind, 40)}: expected a directory of evopo run, baselines, evaluate or transfer; leave "
                    "it out"
                )
            readers[kind](reader, name, given)
    return given


def _transfer(directory: Path, name: str, given: Given) -> None:
    found = transfer_of(directory)
    given.transfers.append(Transferred(name, found))
    losses, settings = (
        count(len(of), what) for of, what in ((found.settings[0].results, "result"), (found.settings, "setting"))
    )
    given.sources.append(Source(name, "evopo transfer", f"{losses} in each of {settings}"))


def _search(reader: Reader, name: str, given: Given) -> None:
    snapshot = Snapshot.of(reader)
    proposed = [row.id for row in snapshot.candidates.values() if row.proposal_id is not None]
    scored = {e.candidate_id for e in snapshot.evaluations if e.fitness is not None}
    found = Searched(name, len(proposed), len(scored.intersection(proposed)), headline_of(snapshot).text)
    given.searches.append(found)
    given.sources.append(Source(name, "evopo run", f"{count(found.proposed, 'proposed loss', 'proposed losses')}"))


def _baselines(reader: Reader, name: str, given: Given) -> None:
    measure, sweeps = fitness_of(reader, name)
    given.measures.append(measure)
    given.sweeps += sweeps
    given.sources.append(
        Source(name, "evopo baselines", f"fitness of {count(len(measure.values), 'known loss', 'known losses')}")
    )


def _evaluation(evaluated: Evaluated, reader: Reader, name: str, given: Given) -> None:
    found = evaluated(reader)
    for benchmark, rows in found.items():
        given.measures += [*measures_of(benchmark, rows, name), *frontier_of(rows, name)]
        given.sweeps += sweeps_of(rows, name)
    policies = count(len(reader.policies()), "policy", "policies")
    given.sources.append(Source(name, "evopo evaluate", f"{policies} on {', '.join(found) or 'no benchmark yet'}"))
