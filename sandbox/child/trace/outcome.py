"""The per-item loss of a function's return value: the first tensor of a tuple, and a final mean over the batch removed.

The trainer averages the losses of a batch, so a function that averages them itself is the same loss. One that sums them is not,
since its value grows with the batch.
"""

from __future__ import annotations

from typing import Any

from sandbox.child.protocol import Refusal, SourceSpan
from sandbox.child.trace.symbols import Recorder, SymTensor
from sandbox.contracts.contract import BATCH
from sandbox.graph.types import Dim

_ITEMS = (Dim.of(BATCH),)
_LINEAR = frozenset({"neg", "mul", "div", "add", "sub"})


def loss_of(r: Recorder, value: Any, entry: SourceSpan) -> SymTensor:
    """The losses in a candidate's return value. Changes are noted at `entry`. Raises Refusal if there is no tensor."""
    if isinstance(value, tuple):
        value = next((v for v in value if isinstance(v, SymTensor)), None)
        if value is not None:
            r.note("SBX252", entry)
    if not isinstance(value, SymTensor):
        raise Refusal("SBX209")
    index = r.kept(value.index)
    if r.types[index].dims == ():
        undone = _per_item(r, index)
        if undone is not None:
            r.note("SBX251", entry)
            return undone
    return SymTensor(index, r.types[index])


def _per_item(r: Recorder, index: int) -> SymTensor | None:
    """The tensor (batch,) of which the value is the mean, or None. Negation, and arithmetic with numbers, commute with the mean."""
    node = r.nodes[index]
    if _is_mean(r, index):
        return SymTensor(node.args[0], r.types[node.args[0]])
    if node.op == "div" and _is_total(r, node.args[0]) and _is_batch_size(r, node.args[1]):
        total = r.nodes[node.args[0]].args[0]
        return SymTensor(total, r.types[total])
    if node.op not in _LINEAR:
        return None
    lifted = [None if r.types[a].is_number else _per_item(r, a) for a in node.args]
    operands: list[Any] = []
    for a, part in zip(node.args, lifted, strict=True):
        if part is None and not r.types[a].is_number:
            return None
        operands.append(part if part is not None else r.number(a))
    parts = sum(part is not None for part in lifted)
    if parts == 0 or (node.op == "mul" and parts > 1) or (node.op == "div" and lifted[1:] != [None]):
        return None
    made: SymTensor = r.add(node.op, operands)
    return made


def _is_mean(r: Recorder, index: int) -> bool:
    return r.nodes[index].op == "mean" and _reduces_the_batch(r, index)


def _is_total(r: Recorder, index: int) -> bool:
    return r.nodes[index].op == "sum" and _reduces_the_batch(r, index)


def _reduces_the_batch(r: Recorder, index: int) -> bool:
    operand = r.types[r.nodes[index].args[0]]
    return not operand.is_number and operand.dims == _ITEMS and operand.dtype == "float" and r.types[index].dims == ()


def _is_batch_size(r: Recorder, index: int) -> bool:
    node = r.nodes[index]
    return node.op == "size" and node.attrs["symbol"] == BATCH
