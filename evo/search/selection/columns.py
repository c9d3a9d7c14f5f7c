"""The vetted candidates as columns of numbers, so that a selection costs microseconds per thousand of them.

The columns are changed candidate by candidate as results arrive; nothing is computed from all candidates but what a selection asks
for. `Members.of` makes them from a list of `Member`, which is the definition of their content.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from archive.records import Role
from evo.search.operators import role_of
from evo.search.selection.members import Cell, Member, SelectionSettings, cell
from evo.search.selection.replies import Replies

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Columns = Mapping[str, npt.NDArray[Any]]

MOST_PARENTS = 8
"""Parents of a member beyond these are not stored; no operator has as many."""

COLUMNS: Sequence[tuple[str, npt.DTypeLike]] = (
    ("id", np.int64),
    ("island", np.int64),
    ("proposed", np.bool_),  # not a seed loss
    ("own_bar", np.bool_),  # made to be better than its parents: neither explored nor repaired
    ("operator", np.int64),  # number of the name
    ("arm", np.int64),
    ("proposer", np.int64),
    ("change", np.int64),
    ("parents", (np.int64, (MOST_PARENTS,))),  # 0: none
    ("usable", np.bool_),
    ("fitness", np.float64),  # NaN: not measured
    ("seeds", np.int64),  # that the fitness is a mean over
    ("error", np.float64),  # NaN: unknown
    ("first", np.float64),  # NaN: not measured
    ("uses", np.int64),
    ("cell", np.int64),
    ("pinned", np.bool_),
    ("banned", np.bool_),
)
"""Name and type of each column. Each is an array of its own, since a selection reads few of them, and those as a whole."""


class Members(Sequence[Member]):
    """All vetted candidates in order of creation. Changed by `add`, `rate`, `use`, `steer` and `set_noise` only."""

    def __init__(self, axes: Sequence[str] = SelectionSettings().axes) -> None:
        self.axes = tuple(axes)
        self.cells: list[Cell] = []
        """The cells that any member lies in, by number."""
        self.names: dict[str, int] = {}
        """Numbers of the names of operators, arms and proposers."""
        self.replies = Replies()
        """What the proposers answered."""
        self.repaired: set[int] = set()
        """Ids of the refused members whose repair was attempted."""
        self._numbers: dict[Cell, int] = {}
        self._space = {name: np.zeros(64, kind) for name, kind in COLUMNS}
        self._ids: list[int] = []
        self._children: dict[int, list[int]] = {}
        self.columns: Columns = {name: column[:0] for name, column in self._space.items()}
        """The `COLUMNS`, each with one value per member in order of ids. Views: valid until a member is added."""
        self.derived: dict[tuple[Any, ...], Any] = {}
        """What was computed from the columns since they changed, by name: a step asks for some of it several times."""
        self._added: list[Member] = []
        self._noise: float | None = None

    @classmethod
    def of(cls, members: Sequence[Member], axes: Sequence[str] | None = None) -> Members:
        """The columns of these members; the same object if they are columns already."""
        wanted = SelectionSettings().axes if axes is None else tuple(axes)
        if isinstance(members, Members) and members.axes == wanted:
            return members
        made = cls(wanted)
        for member in members:
            made.add(member)
        return made

    @property
    def measured(self) -> Mask:
        """Which members may be parents and have a fitness."""
        return np.asarray(self.columns["usable"] & np.isfinite(self.columns["fitness"]))

    def find(self, candidate_id: int) -> Member | None:
        """The member with this id; None if there is none."""
        at = self._position(candidate_id)
        return None if at is None else self[at]

    def children(self, parents: Sequence[int]) -> list[int]:
        """Ids of the members that were made from any of these parents, in order; what was explored was only shown them."""
        return sorted({child for parent in parents for child in self._children.get(parent, ())})

    def number_of(self, member: Member) -> int | None:
        """The number of the cell that a member lies in; None if no member of these lies there."""
        return self._numbers.get(cell(member, self.axes))

    def add(self, member: Member, seeds: int = 0) -> None:
        """Add a member at its place in the order of ids."""
        at, n = bisect_left(self._ids, member.candidate_id), len(self._ids)
        self._make_room(at, n)
        self._ids.insert(at, member.candidate_id)
        self._added.insert(at, member)
        role = role_of(member.operator)
        for parent in member.parents if role is not Role.EXPLORED_FROM else ():
            self._children.setdefault(parent, []).append(member.candidate_id)
        self._write(
            at,
            id=member.candidate_id,
            island=member.island,
            uses=member.uses,
            proposed=member.operator is not None,
            own_bar=role not in (Role.EXPLORED_FROM, Role.REPAIRED),
            operator=self._number(member.operator or ""),
            arm=self._number(member.arm),
            proposer=self._number(member.proposer),
            change=self._number(member.change),
            parents=(*member.parents, *[0] * MOST_PARENTS)[:MOST_PARENTS],
            cell=self._cell(member),
            pinned=member.pinned,
            banned=member.banned,
        )
        if role is Role.REPAIRED:
            self.repaired.update(member.parents)
        self._set(at, member.usable, member.fitness, seeds, member.standard_error, member.first)

    def rate(
        self, candidate_id: int, usable: bool, fitness: float | None, seeds: int, first: float | None = None
    ) -> None:
        """Set what the results of a member say: its fitness, a mean over `seeds`, and the difference to the baseline in its first
        training. Nothing for a candidate that is no member."""
        at = self._position(candidate_id)
        if at is not None:
            error = self._noise / math.sqrt(seeds) if seeds and self._noise is not None else None
            self._set(at, usable, fitness, seeds, error, first)

    def use(self, candidate_id: int, uses: int) -> None:
        """Set the number of children; nothing for a candidate that is no member yet."""
        at = self._position(candidate_id)
        if at is not None:
            self._write(at, uses=uses)

    def steer(self, candidate_id: int, pinned: bool, banned: bool) -> None:
        """Set what people asked for; nothing for a candidate that is no member."""
        at = self._position(candidate_id)
        if at is not None:
            self._write(at, pinned=pinned, banned=banned)

    def set_noise(self, deviation: float | None) -> None:
        """Set the standard errors from the deviation over seeds of the difference to the baseline; None: unknown."""
        if deviation == self._noise:
            return
        self.derived.clear()
        self._noise, seeds = deviation, self.columns["seeds"]
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = math.nan if deviation is None else deviation / np.sqrt(seeds)
            self.columns["error"][:] = np.where(seeds > 0, errors, math.nan)

    @overload
    def __getitem__(self, at: int) -> Member: ...
    @overload
    def __getitem__(self, at: slice) -> list[Member]: ...
    def __getitem__(self, at: int | slice) -> Member | list[Member]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        columns = self.columns
        return replace(
            self._added[at],
            usable=bool(columns["usable"][at]),
            fitness=_none_if_nan(columns["fitness"][at]),
            standard_error=_none_if_nan(columns["error"][at]),
            first=_none_if_nan(columns["first"][at]),
            uses=int(columns["uses"][at]),
            pinned=bool(columns["pinned"][at]),
            banned=bool(columns["banned"][at]),
        )

    def __len__(self) -> int:
        return len(self._ids)

    def _position(self, candidate_id: int) -> int | None:
        at = bisect_left(self._ids, candidate_id)
        return at if at < len(self._ids) and self._ids[at] == candidate_id else None

    def _set(
        self, at: int, usable: bool, fitness: float | None, seeds: int, error: float | None, first: float | None
    ) -> None:
        numbers = {"fitness": fitness, "error": error, "first": first}
        known = {name: math.nan if value is None else value for name, value in numbers.items()}
        self._write(at, usable=usable, seeds=seeds, **known)

    def _write(self, at: int, **values: object) -> None:
        self.derived.clear()
        for name, value in values.items():
            self._space[name][at] = value

    def _make_room(self, at: int, n: int) -> None:
        """Free the place `at` among `n` members."""
        for name, column in self._space.items():
            if n == len(column):
                column = self._space[name] = np.concatenate([column, np.zeros_like(column)])
            if at < n:
                column[at + 1 : n + 1] = column[at:n].copy()
        self.columns = {name: column[: n + 1] for name, column in self._space.items()}

    def _number(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))

    def _cell(self, member: Member) -> int:
        lies_in = cell(member, self.axes)
        number = self._numbers.setdefault(lies_in, len(self.cells))
        if number == len(self.cells):
            self.cells.append(lies_in)
        return number


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
