"""A candidate that a person names, by id or name. Reads as little of the archive as it can."""

from __future__ import annotations

from difflib import get_close_matches

from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from analysis.wording import columns, display_name
from archive.errors import MissingRow
from archive.query import Reader
from evo.config.rundir import NotInRun


def find_candidate(reader: Reader, named: str) -> int:
    """The id of the candidate with this id or name. Raises NotInRun, with close names or the candidates that share the name."""
    if named.isdecimal() and len(named) < 18:
        try:
            return reader.candidate(int(named)).id
        except MissingRow:
            pass
    there = reader.briefs()
    same = [row.id for row in there if named in (row.name, display_name(row), one_line(row.name))]
    if len(same) == 1:
        return same[0]
    if same:
        table = brief_table(Snapshot.of_seeds(reader).with_candidates(reader, same), same)
        raise NotInRun(
            "\n".join([f"{len(same)} candidates are called {one_line(named)!r}; give the id of one:", *table])
        )
    known = f"the run has candidates 1 to {there[-1].id}" if there else "the run has none yet"
    names = {name.lower(): name for row in there if (name := display_name(row))}
    close = [names[name] for name in get_close_matches(named.lower(), names, n=3)]
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    raise NotInRun(f"there is no candidate {one_line(named)!r}{meant or f'; {known}'}")


def brief_table(snapshot: Snapshot, ids: list[int]) -> list[str]:
    """A line for each candidate, with its status and step."""
    rows = [snapshot.candidates[id] for id in ids]
    found = [
        (str(r.id), display_name(r), snapshot.status(r.id).value, str(snapshot.step(r.id) or "seed")) for r in rows
    ]
    return columns([("id", "name", "status", "step"), *found])
