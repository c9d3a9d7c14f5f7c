"""Calls that are one operation: their operands and attributes, and the check that each such call fits its record."""

from __future__ import annotations

from typing import Any, Final

from sandbox.child.allowlist.calls import CALLS, Call
from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import RECIPES
from sandbox.child.trace.symbols import Recorder
from sandbox.graph.operations import OPERATIONS, IncompleteRecord

_OPERANDS: Final = frozenset({"tensor", "value", "tensors"})
_WITHOUT_EFFECT: Final = frozenset({"fixed", "ignored"})

_FLOATING_ONLY: Final = frozenset(c.recipe for c in CALLS if c.path.startswith("torch.nn.functional.")) - {
    "relu",
    "tanh",
    "sigmoid",
}
"""What torch defines on floating tensors only, or on integers in another way."""


def record_plain(r: Recorder, call: Call, bound: dict[str, Any]) -> Any:
    """The call is the operation: tensors and values are its operands, the rest its attributes. Raises Refusal."""
    operands: list[Any] = []
    for p in call.parameters:
        if p.kind == "tensors":
            operands.extend(bound[p.name])
        elif p.kind in _OPERANDS:
            operands.append(bound[p.name])
    if call.recipe in _FLOATING_ONLY and operands[0].type.dtype != "float":
        raise Refusal("SBX206")
    known = OPERATIONS[call.recipe].attrs
    return r.add(call.recipe, operands, {k: v for k, v in bound.items() if k in known})


def check_calls() -> None:
    """Raises IncompleteRecord for a call that is neither an operation as it stands nor lowered by a function of its own."""
    for record in OPERATIONS.values():
        for spelling in record.calls:
            if not spelling.by and record.name in RECIPES:
                raise _wrong(
                    record.name, f"{spelling.paths[0]} must say by={record.name!r}: it is lowered by a function"
                )
    for call in CALLS:
        if call.recipe not in RECIPES:
            _check_plain(call)


def _check_plain(call: Call) -> None:
    record = OPERATIONS.get(call.recipe)
    if record is None:
        raise IncompleteRecord(
            f"{call.path} is lowered by {call.recipe!r}, which is neither a function nor an operation"
        )
    operands = [p for p in call.parameters if p.kind in _OPERANDS]
    several = any(p.kind == "tensors" for p in operands)
    if not several and not record.arity[0] <= len(operands) <= record.arity[1]:
        raise _wrong(record.name, f"{call.path} takes {len(operands)} operands, the operation {record.arity}")
    given = {p.name for p in call.parameters if p.kind not in _OPERANDS | _WITHOUT_EFFECT}
    for name in given - record.attrs.keys():
        raise _wrong(record.name, f"the parameter {name} of {call.path} is no attribute of the operation")
    for name, attr in record.attrs.items():
        if attr.default is ... and name not in given:
            raise _wrong(record.name, f"{call.path} has no parameter for the attribute {name}, which must be given")


def _wrong(name: str, fault: str) -> IncompleteRecord:
    return IncompleteRecord(f"the operation {name!r} has a wrong part 'calls': {fault}")
