"""The directories that were given to `evopo paper`: each is recognised by its archive and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from analysis.benchmarks.results import Rows
from analysis.claims.headline import headline_of
from analysis.output.encode import one_line
from analysis.output.errors import NotComparable
from analysis.paper.facts import Searched
from analysis.paper.judged import measures_of
from analysis.paper.tables import Measure, Source
from analysis.paper.trained import Sweep, fitness_of
from analysis.snapshot import Snapshot
from analysis.wording import count
from archive.query import Reader


@dataclass
class Given:
    """What all directories hold."""

    sources: list[Source] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    searches: list[Searched] = field(default_factory=list)


Evaluated = Callable[[Reader], Mapping[str, Rows]]
"""The rows of an evaluation that count, by benchmark."""


def read(archives: Mapping[str, Path], evaluated: Evaluated) -> Given:
    """The directories by name as they were given, each with its archive. Raises NotComparable for an archive of another kind,
    ArchiveError."""
    given = Given()
    readers = {"": _search, "baselines": _baselines, "evaluate": partial(_evaluation, evaluated)}
    for name, archive in archives.items():
        with Reader.open(archive) as reader, reader.consistent():
            kind = str(reader.run().identity.get("kind") or "")
            if kind not in readers:
                raise NotComparable(
                    f"{name} holds {one_line(kind, 40)}: expected a directory of evopo run, baselines or evaluate; leave it out"
                )
            readers[kind](reader, name, given)
    return given


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
        given.measures += measures_of(benchmark, rows, name)
    policies = count(len(reader.policies()), "policy", "policies")
    given.sources.append(Source(name, "evopo evaluate", f"{policies} on {', '.join(found) or 'no benchmark yet'}"))
