"""Recording of calls that are exactly one operation, and the check that every other call has a recipe."""

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
"""Operations that torch defines on floating tensors only, or differently on integers."""


def record_plain(r: Recorder, call: Call, bound: dict[str, Any]) -> Any:
    """Record the call as one operation: tensors and values are its operands, the rest its attributes. Raises Refusal."""
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
    """Raises IncompleteRecord for a call whose recipe does not exist, or that has a recipe but does not name it."""
    for record in OPERATIONS.values():
        for spelling in record.calls:
            if not spelling.by and record.name in RECIPES:
                raise IncompleteRecord(
                    f"the operation {record.name!r} has a wrong part 'calls': {spelling.paths[0]} has a recipe in "
                    f"trace/lowering, and must name it: by={record.name!r}"
                )
    for call in CALLS:
        if call.recipe not in RECIPES and call.recipe not in OPERATIONS:
            raise IncompleteRecord(f"{call.path} names the recipe {call.recipe!r}, which trace/lowering does not have")
