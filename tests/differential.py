"""Differential test of the tracer: trace an expression and compute its graph, execute it with torch, compare the results.

Only expressions of these tests are ever executed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from sandbox.child.protocol import Refusal
from sandbox.child.static.check import check
from sandbox.child.trace.guards.core import Guards
from sandbox.child.trace.symbols import OperandMismatch, Pair, Recorder, Sizes, SymNumber, SymTensor
from sandbox.child.trace.tracer import _run
from sandbox.contracts.contract import CLASSIFICATION, Contract
from sandbox.execute.interpreter import compile_values
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.shapes import ShapeError, infer

ARGUMENTS = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta"
NAMES = """
    x = policy_chosen_logps - reference_chosen_logps
    y = policy_rejected_logps - reference_rejected_logps
    p = torch.sigmoid(x)
    q = torch.sigmoid(y)
    m = x > y
    k = torch.argsort(y)
    s = x.mean()
    M = torch.stack([x, y, x * y])
    S = x.unsqueeze(0) - y.unsqueeze(1)
"""


@dataclass(frozen=True)
class Outcome:
    """Result of an expression: a tensor with gradients, a number, or the reason why there is none."""

    value: Any = None
    gradients: tuple[Any, ...] = ()
    error: str = ""


def inputs(contract: str, batch: int, seed: int = 0) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    if contract == "classification":
        logits = torch.randn(batch, 4, generator=generator).requires_grad_()
        return [logits, torch.randint(0, 4, (batch,), generator=generator)]
    out: list[Any] = [(torch.randn(batch, generator=generator) * 2 - 1).requires_grad_() for _ in range(2)]
    return [*out, *[torch.randn(batch, generator=generator) * 2 - 1 for _ in range(2)], 0.3]


def source_of(expression: str, contract: Contract, names: str = NAMES) -> str:
    names = names if contract is not CLASSIFICATION else "\n"
    return f"def loss({contract.signature}):{names}    return {expression}\n"


def eager(expression: str, contract: Contract, arguments: list[Any], names: str = NAMES) -> Outcome:
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math}
    exec(source_of(expression, contract, names), scope)  # trusted: an expression of these tests
    try:
        value = scope["loss"](*arguments)
    except Exception as error:
        return Outcome(error=f"{type(error).__name__}: {error}")
    return _differentiated(value, arguments)


def traced(expression: str, contract: Contract, names: str = NAMES) -> tuple[LossGraph, Any] | str:
    checked = check(source_of(expression, contract, names), contract)
    if isinstance(checked, list):
        return checked[0].code
    recorder = Recorder(contract)
    try:
        result = _run(checked, contract, Guards(recorder))
    except Refusal as refusal:
        return refusal.violation.code
    except OperandMismatch:
        node = recorder.nodes[-1]
        try:
            infer(OPERATIONS[node.op], [recorder.types[a] for a in node.args], node.attrs, contract)
        except ShapeError as error:
            return error.code
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if contract is CLASSIFICATION:
        output = recorder.add("sum", (recorder.input("logits"),), {"dim": 1}).index
    else:
        output = recorder.input("policy_chosen_logps").index
    return LossGraph(contract.name, tuple(recorder.nodes), output), result


def interpreted(expression: str, contract: Contract, arguments: list[Any], names: str = NAMES) -> Outcome:
    found = traced(expression, contract, names)
    if isinstance(found, str):
        return Outcome(error=found)
    graph, result = found
    graph = LossGraph.from_json(graph.to_json())
    return _differentiated(_computed(graph, result, arguments), arguments)


def _computed(graph: LossGraph, result: Any, arguments: list[Any]) -> Any:
    if isinstance(result, SymTensor | SymNumber):
        return compile_values(graph, [result.index])(*arguments)[0]
    if isinstance(result, Pair):
        parts = [p for p in (result.values, result.indices) if p is not None]
        return tuple(_computed(graph, p, arguments) for p in parts)
    if isinstance(result, Sizes):
        return tuple(_computed(graph, p, arguments) for p in result.items)
    if isinstance(result, list | tuple):
        return tuple(_computed(graph, p, arguments) for p in result)
    return result


def _differentiated(value: Any, arguments: list[Any]) -> Outcome:
    if isinstance(value, tuple):
        first = value[0] if value else None
        return Outcome(tuple(value), _differentiated(first, arguments).gradients)
    if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point or not value.requires_grad:
        return Outcome(value)
    leaves = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    weights = torch.linspace(0.5, 1.5, value.numel()).reshape(value.shape)
    try:
        gradients = torch.autograd.grad((value * weights).sum(), leaves, allow_unused=True)
    except RuntimeError as error:
        return Outcome(error=f"RuntimeError: {error}")
    return Outcome(
        value, tuple(torch.zeros_like(a) if g is None else g for g, a in zip(gradients, leaves, strict=True))
    )


def same(a: Any, b: Any) -> bool:
    """Whether two outcomes agree: types, shapes, values; NaN equals NaN."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        return isinstance(a, tuple) and isinstance(b, tuple) and all(map(same, a, b))
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
            return False
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return torch.allclose(a.detach().double(), b.detach().double(), rtol=2e-6, atol=1e-7, equal_nan=True)
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=1e-12) or (a != a and b != b)
    return a == b
