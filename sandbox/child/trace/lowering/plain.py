"""Calls that are one operation, and the check that all others have a function."""

from __future__ import annotations

from typing import Any, Final

from sandbox.child.allowlist.calls import CALLS, Call
from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import RECIPES
from sandbox.child.trace.symbols import Recorder
from sandbox.graph.operations import OPERATIONS, IncompleteRecord

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
        elif p.kind in ("tensor", "value"):
            operands.append(bound[p.name])
    if call.recipe in _FLOATING_ONLY and operands[0].type.dtype != "float":
        raise Refusal("SBX206")
    known = OPERATIONS[call.recipe].attrs
    return r.add(call.recipe, operands, {k: v for k, v in bound.items() if k in known})


def check_calls() -> None:
    """Raises IncompleteRecord for a call whose function does not exist, or that has one and does not say so."""
    for record in OPERATIONS.values():
        for spelling in record.calls:
            if not spelling.by and record.name in RECIPES:
                raise IncompleteRecord(
                    f"the operation {record.name!r} has a wrong part 'calls': {spelling.paths[0]} is lowered by the "
                    f"function of that name, and must say by={record.name!r}"
                )
    for call in CALLS:
        if call.recipe not in RECIPES and call.recipe not in OPERATIONS:
            raise IncompleteRecord(
                f"{call.path} is lowered by {call.recipe!r}, of which there is no function in trace/lowering"
            )
