"""The table of all operations by name, checked for consistency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from sandbox.graph.operations.record import IncompleteRecord, Operation
from sandbox.graph.operations.records import (
    activations,
    along,
    arithmetic,
    functions,
    logic,
    losses,
    reductions,
    shaping,
    sources,
)

_FAMILIES: Final = (sources, arithmetic, functions, activations, logic, losses, reductions, along, shaping)


def table_of(records: Iterable[Operation]) -> Mapping[str, Operation]:
    """The records by name. Raises IncompleteRecord if two contradict each other."""
    table: dict[str, Operation] = {}
    paths: dict[str, str] = {}
    for record in records:
        if record.name in table:
            raise IncompleteRecord(f"there are two records of the operation {record.name!r}")
        table[record.name] = record
        for path in (p for spelling in record.calls for p in spelling.paths):
            if path in paths:
                raise IncompleteRecord(f"{path} is a call of {paths[path]!r} and of {record.name!r}")
            paths[path] = record.name
    for record in table.values():
        for other in (*record.genetic.replaced_by, *record.genetic.replaces):
            if other not in table or not table[other].genetic.allowed:
                raise IncompleteRecord(
                    f"the operation {record.name!r} has a wrong part 'genetic': the proposer may not use {other!r}"
                )
    return MappingProxyType(table)


OPERATIONS: Final[Mapping[str, Operation]] = table_of(record for family in _FAMILIES for record in family.RECORDS)
"""Every operation by name."""


SOURCES: Final = frozenset({"input", "size", "const"})
"""Operations that compute nothing: arguments of the loss, sizes, constants."""


def computes_in_floats(name: str, dtype: str) -> bool:
    """Whether the operation converts boolean and integer tensors to floats first, for a result of this dtype."""
    return dtype == "float" and not OPERATIONS[name].keeps_operands


def relatives(table: Mapping[str, Operation]) -> Mapping[str, tuple[str, ...]]:
    """Operation -> the operations that the genetic proposer may replace it by, from `replaced_by` and `replaces`."""
    found = {name: list(record.genetic.replaced_by) for name, record in table.items()}
    for name, record in table.items():
        for other in record.genetic.replaces:
            found[other].append(name)
    return {name: tuple(others) for name, others in found.items() if others}
