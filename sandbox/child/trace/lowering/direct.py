"""Recording of calls that are exactly one operation, and the check that every other call has a lowering."""

from __future__ import annotations

from typing import Any, Final

from sandbox.child.allowlist.calls import CALLS, Call
from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import LOWERINGS
from sandbox.child.trace.symbols import Recorder
from sandbox.graph.operations import OPERATIONS, IncompleteRecord

_FLOATING_ONLY: Final = frozenset(c.lowering for c in CALLS if c.path.startswith("torch.nn.functional.")) - {
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
    if call.lowering in _FLOATING_ONLY and operands[0].type.dtype != "float":
        raise Refusal("SBX206")
    known = OPERATIONS[call.lowering].attrs
    return r.add(call.lowering, operands, {k: v for k, v in bound.items() if k in known})


def check_calls() -> None:
    """Raises IncompleteRecord for a call whose lowering does not exist, or that has a lowering but does not name it."""
    for record in OPERATIONS.values():
        for spelling in record.calls:
            if not spelling.by and record.name in LOWERINGS:
                raise IncompleteRecord(
                    f"the operation {record.name!r} has a wrong part 'calls': {spelling.paths[0]} has a lowering in "
                    f"trace/lowering, and must name it: by={record.name!r}"
                )
    for call in CALLS:
        if call.lowering not in LOWERINGS and call.lowering not in OPERATIONS:
            raise IncompleteRecord(
                f"{call.path} names the lowering {call.lowering!r}, which trace/lowering does not have"
            )
