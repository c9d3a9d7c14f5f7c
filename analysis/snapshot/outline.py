"""A snapshot for long runs that does not hold all rows: what few losses are asked about is read when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TypeVar

from analysis.snapshot.arms import Arm, CandidateStatus
from analysis.snapshot.rows import Snapshot, last_at
from archive.errors import MissingRow
from archive.query import Reader
from archive.records import PERSON, CandidateRow, Items
from archive.spending import COSTS, spending_of
from sandbox.contracts.contract import contract_named

K = TypeVar("K")
V = TypeVar("V")


class Lookup(Mapping[K, V]):
    """A mapping whose values are read one by one when they are asked for, and kept."""

    def __init__(self, keys: Callable[[], list[K]], read: Callable[[K], V | None]) -> None:
        """`read` gives None for a key that is not there; `keys` gives those that are."""
        self._keys, self._read, self._kept = keys, read, dict[K, V | None]()

    def __getitem__(self, key: K) -> V:
        if key not in self._kept:
            self._kept[key] = self._read(key)
        value = self._kept[key]
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())


@dataclass(frozen=True)
class Outline(Snapshot):
    """A snapshot that holds all proposals (without replies) and trainings, and reads candidates, verdicts, findings and what a
    training measured when they are asked for. Use it within one `Reader.consistent`."""

    reader: Reader = field(kw_only=True, repr=False, compare=False)

    @classmethod
    def read(cls, reader: Reader) -> Outline:
        """An outline of the whole archive. Raises ArchiveError."""
        reader.check_references()
        run, events, bare = reader.run(), reader.telling_events(), reader.bare()
        with suppress(ValueError):
            contract_named(run.contract)
        proposals, evaluations = bare.proposals(), bare.evaluations()
        return cls(
            run=run,
            candidates=Lookup(reader.ids, partial(_there, reader.candidate)),
            parents=Lookup(reader.ids, lambda id: tuple(reader.parents(id)) or None),
            verdicts=Lookup(reader.ids, reader.verdict),
            findings=Lookup(reader.ids, lambda id: tuple(reader.findings(id)) or None),
            proposals={row.id: row for row in proposals},
            evaluations=tuple(row for row in evaluations if row.task == run.task),
            events=tuple(events),
            spending=spending_of(proposals, evaluations, [event for event in events if event.kind in COSTS]),
            last_at=last_at(reader),
            variants=tuple(reader.variants()),
            variant_evaluations=tuple(reader.variant_evaluations()),
            rungs=tuple(reader.rungs(run.task)),
            reader=reader,
        )

    @cached_property
    def seeds(self) -> tuple[CandidateRow, ...]:
        """The seed losses."""
        return tuple(self.candidates[id] for id in self.reader.seed_ids())

    @cached_property
    def namesakes(self) -> frozenset[int]:
        """The candidates whose name another candidate has too, as in a snapshot."""
        return frozenset(self.reader.namesakes())

    @cached_property
    def metrics(self) -> Mapping[Arm, Mapping[int, Mapping[str, float]]]:
        """Metrics by arm and seed, as in a snapshot."""
        return Lookup(lambda: list(self.scores), lambda arm: self._measured(arm.candidate).metrics.get(arm))

    @cached_property
    def items(self) -> Mapping[Arm, Mapping[int, Items]]:
        """Fitness per test item, by arm and seed, as in a snapshot."""
        return Lookup(lambda: list(self.scores), lambda arm: self._measured(arm.candidate).items.get(arm))

    def _measured(self, candidate: int) -> Snapshot:
        rows = self.reader.evaluations(candidate)
        return replace(self._none, evaluations=tuple(row for row in rows if row.task == self.run.task))

    @cached_property
    def _none(self) -> Snapshot:
        return Snapshot(self.run, {}, {}, {}, {}, {}, (), (), self.spending)

    @property
    def statuses(self) -> Mapping[CandidateStatus, int]:
        """Number of candidates of each status."""
        counted = self.reader.statuses(self.run.task)
        return {status: counted.get(status, 0) for status in CandidateStatus}

    @property
    def of_people(self) -> Sequence[int]:
        """The losses that people gave to the run after its start."""
        return self.reader.ids(PERSON)


def _there(read: Callable[[int], V], id: int) -> V | None:
    try:
        return read(id)
    except MissingRow:
        return None
