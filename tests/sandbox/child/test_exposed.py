"""Every exposed call equals torch's function of that name: values and gradients, for all kinds of operands."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from differential import eager, inputs, interpreted, same

from sandbox.child.allowlist.calls import CALLS, CONSTANTS, DTYPES, METHODS, Call
from sandbox.child.trace.lowering import LOWERINGS
from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.operations.parts.calls import REQUIRED, Parameter

TENSORS = ("x", "p", "M", "m", "k", "s", "S")
OTHERS = ("y", "0.5", "beta", "q", "m", "k", "s", "M", "2", "len(x)")
MOST = 40
"""Expressions per call."""

SPECIAL: dict[str, tuple[str, ...]] = {
    "torch.heaviside": ("torch.heaviside(x.detach(), torch.tensor(0.5))",),
    "Tensor.heaviside": ("x.detach().heaviside(torch.zeros_like(x.detach()))",),
    "torch.flip": ("torch.flip(x, (0,))", "torch.flip(M, dims=[0, 1])"),
    "torch.mm": ("torch.mm(S, S)", "torch.mm(M, S)"),
    "Tensor.mm": ("S.mm(S)",),
    "Tensor.type": ("x.type(torch.float32)", "m.type(torch.long)"),
    "torch.finfo": ("torch.finfo(torch.float32).eps", "torch.finfo(x.dtype).max", "torch.finfo().tiny"),
    "torch.nn.functional.one_hot": ("F.one_hot(k, len(x))", "F.one_hot(k, num_classes=x.shape[0])"),
    "torch.logit": ("torch.logit(p)", "torch.logit(p, eps=1e-4)", "torch.logit(p, 0.01)"),
    "Tensor.logit": ("p.logit()", "p.logit(1e-3)"),
    "torch.special.logit": ("torch.special.logit(p)", "torch.special.logit(p, eps=0.1)"),
    "torch.nn.functional.binary_cross_entropy": (
        "F.binary_cross_entropy(p, q)",
        "F.binary_cross_entropy(p, m.float(), reduction='none')",
        "F.binary_cross_entropy(p, q.detach(), reduction='sum')",
    ),
    "torch.nn.functional.soft_margin_loss": (
        "F.soft_margin_loss(x, torch.sign(y.detach()), reduction='none')",
        "F.soft_margin_loss(x, torch.ones_like(x))",
    ),
    "torch.arange": ("torch.arange(len(x))", "torch.arange(0, x.size(0))", "torch.arange(3)", "torch.arange(1, 7, 2)"),
    "torch.gather": ("torch.gather(x, 0, k)", "torch.gather(S, 1, k.unsqueeze(1))", "x.gather(0, k)"),
    "torch.masked_fill": (
        "torch.masked_fill(x, m, 0.5)",
        "torch.masked_fill(p, m, s)",
        "torch.masked_fill(x, m, beta)",
    ),
    "Tensor.masked_fill": ("x.masked_fill(m, 0)", "S.masked_fill(S > 0, float('-inf'))", "p.masked_fill(~m, 1.0)"),
    "torch.narrow": ("torch.narrow(M, 0, 1, 2)",),
    "Tensor.narrow": ("M.narrow(0, 0, 1)",),
    "torch.chunk": (
        "torch.chunk(torch.cat([x, y]), 2)[1]",
        "torch.stack([x, y, p], 1).chunk(2, dim=-1)[0]",
        "torch.chunk(x, 1)[0]",
    ),
    "Tensor.chunk": ("torch.cat([x, y, p]).chunk(3)[2]",),
    "torch.unbind": ("torch.unbind(torch.stack([x, y]))[1]", "torch.unbind(torch.stack([x, y], 1), dim=-1)[0]"),
    "Tensor.unbind": ("torch.stack([x, y]).unbind(0)[0]",),
    "torch.topk": (
        "torch.topk(torch.stack([x, y, p], 1), 2, dim=1)[0]",
        "torch.topk(torch.stack([x, y, p]), 3, 0, largest=False).values",
        "torch.topk(x, 1)[0]",
        "torch.topk(S, 1, dim=0, largest=False).values",
    ),
    "Tensor.topk": ("torch.stack([x, y, p], 1).topk(2)[0]", "x.topk(1).values"),
    "torch.kthvalue": (
        "torch.kthvalue(torch.stack([x, y, p], 1), 2)[0]",
        "torch.kthvalue(torch.stack([x, y, p]), 3, dim=0, keepdim=True).values",
        "torch.kthvalue(x, 1).values",
    ),
    "Tensor.kthvalue": ("torch.stack([x, y, p], 1).kthvalue(1, keepdim=True)[0]",),
    "torch.var_mean": (
        "torch.var_mean(x)[0]",
        "torch.var_mean(S, 1, unbiased=False)[0]",
        "torch.var_mean(x, 0, keepdim=True)[1]",
    ),
    "torch.std_mean": (
        "torch.std_mean(x, correction=0)[0]",
        "torch.std_mean(S, dim=1)[1]",
        "torch.std_mean(x, False)[0]",
    ),
    "torch.eye": ("torch.eye(len(x))", "torch.eye(x.shape[0], dtype=torch.bool)", "torch.eye(len(x), device=x.device)"),
    "Tensor.gather": ("x.gather(dim=0, index=k)",),
    "torch.tile": (
        "torch.tile(x.unsqueeze(1), (1, 3))",
        "torch.tile(x, (2,))",
        "torch.tile(torch.stack([x, y], 1), (2,))",
        "torch.tile(torch.tensor([0.5, 2.0]), (len(x), 1))",
    ),
    "Tensor.tile": ("x.unsqueeze(1).tile(1, 3)", "x.tile((2,))", "torch.stack([x, y], 1).tile(2)"),
    "Tensor.repeat": (
        "x.unsqueeze(1).repeat(1, 3)",
        "x.repeat(2)",
        "x.unsqueeze(-1).repeat((1, 2))",
        "torch.tensor([0.5, 2.0]).repeat(len(x), 1)",
        "torch.stack([x, y], 1).repeat(1, 2)",
        "x.repeat(3, 1)",
    ),
    "torch.diff": ("torch.diff(torch.stack([x, y, p], 1))", "torch.diff(torch.stack([x, y]), dim=0)"),
    "Tensor.diff": ("torch.stack([x, y, p], 1).diff(dim=1)",),
    "torch.bmm": (
        "torch.bmm(torch.stack([x, y], 1).unsqueeze(1), torch.stack([p, x], 1).unsqueeze(2))",
        "torch.bmm(S.unsqueeze(0), S.unsqueeze(0))",
    ),
    "Tensor.bmm": ("torch.stack([x, y], 1).unsqueeze(1).bmm(torch.stack([p, x], 1).unsqueeze(2))",),
    "torch.einsum": (
        "torch.einsum('bk,k->b', torch.stack([x, y], 1), torch.tensor([0.3, 0.7]))",
        "torch.einsum('i,i->i', x, y)",
        "torch.einsum('i,i', x, y)",
        "torch.einsum('i, j -> ij', x, y)",
        "torch.einsum('ij,jk->ik', S, S)",
        "torch.einsum('ij,kj', S, S)",
        "torch.einsum('ba->ab', S)",
        "torch.einsum('ij->j', S)",
        "torch.einsum('b,bk,bk->b', x, torch.stack([x, y], 1), torch.stack([p, y], 1))",
        "torch.einsum('ij,ij->', [S, S])",
    ),
    "torch.special.entr": ("torch.special.entr(p)", "torch.special.entr(S.sigmoid())"),
    "torch.scatter": (
        "torch.scatter(torch.stack([x, y], 1), 1, torch.ones_like(k).unsqueeze(1), 0.5)",
        "torch.scatter(torch.stack([x, y], 1), -1, (x > 0).long()[:, None], p.unsqueeze(1))",
        "torch.scatter(S, 1, k.unsqueeze(1), value=1)",
        "torch.scatter(S > 0, dim=1, index=k.unsqueeze(1), value=1)",
    ),
    "Tensor.scatter": ("S.scatter(1, k.unsqueeze(1), y.unsqueeze(1))",),
    "torch.scatter_add": ("torch.scatter_add(S, 1, k.unsqueeze(1), y.unsqueeze(1))",),
    "Tensor.scatter_add": ("S.scatter_add(-1, k.view(-1, 1), y.view(-1, 1))",),
    "torch.index_select": (
        "torch.index_select(x, 0, k)",
        "torch.index_select(torch.stack([x, y, p], 1), 1, torch.tensor([2, 0]))",
        "torch.index_select(torch.stack([x, y, p]), dim=0, index=torch.tensor([1]))",
    ),
    "Tensor.index_select": ("x.index_select(0, k)", "torch.stack([x, y], 1).index_select(-1, torch.tensor([1, 1, 0]))"),
    "torch.bucketize": (
        "torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5]))",
        "torch.bucketize(torch.round(x), torch.tensor([-1.0, 0.0, 1.0]), right=True)",
        "torch.bucketize(torch.round(S), torch.tensor([-1.0, 0.0, 1.0]))",
    ),
    "torch.searchsorted": ("torch.searchsorted(torch.tensor([-1.0, 0.0]), torch.round(x), right=True)",),
    "Tensor.permute": ("S.permute(1, 0)", "torch.stack([S, S]).permute(2, 0, 1)", "S.permute((-1, 0))"),
    "torch.permute": ("torch.permute(torch.stack([S, S]), (1, 2, 0))",),
    "torch.movedim": ("torch.movedim(torch.stack([S, S]), 0, -1)", "torch.movedim(torch.stack([S, S]), 2, 0)"),
}
CLASSES: dict[str, tuple[str, ...]] = {
    "torch.nn.functional.cross_entropy": (
        "F.cross_entropy(logits, targets)",
        "F.cross_entropy(logits, targets, reduction='none')",
        "F.cross_entropy(logits, targets, reduction='sum', label_smoothing=0.1)",
    ),
    "torch.nn.functional.nll_loss": (
        "F.nll_loss(F.log_softmax(logits, dim=-1), targets)",
        "F.nll_loss(logits, targets, reduction='none')",
    ),
    "torch.nn.functional.multi_margin_loss": (
        "F.multi_margin_loss(logits, targets)",
        "F.multi_margin_loss(logits, targets, p=2, margin=0.5, reduction='none')",
        "F.multi_margin_loss(logits[:, :2], targets.clamp(max=1), reduction='sum')",
    ),
}
CONSTANT = {
    "scalar": ("0.3", "beta", "2"),
    "number": ("0.3", "2"),
    "int": ("0", "1"),
    "flag": ("True", "False"),
    "axis": ("0", "-1"),
    "axes": ("0", "-1", "(0, 1)"),
    "dtype": ("torch.float32", "torch.long", "torch.bool"),
    "text": ("'none'", "'sum'", "'mean'", "'batchmean'", "'tanh'", "'floor'", "'nearest'"),
    "any": ("0", "1", "y", "[0.5, 1.5]", "0.25"),
    "shape": ("x.shape", "(-1, 1)", "(len(x), 1)", "(len(x),)"),
    "tensors": ("[x, y]", "(M, M)", "[x, m]", "[s, s]"),
}
UNSUPPORTED = ["int", "short", "byte", "char"]
DROPPED = ["double", "half", "bfloat16"]


def _candidates(p: Parameter, *, first: bool) -> tuple[str, ...]:
    if p.name == "index" and p.kind == "tensor":
        return ("k",)
    if p.name in ("condition", "mask"):
        return ("m", "S > 0", "k")
    if p.name == "target":
        return ("q", "m", "y", "x.detach()")
    if p.name == "input2":
        return ("y",)
    if p.kind == "tensor":
        return TENSORS if first else ("y", "q", "m", "k", "s", "M", "S")
    return OTHERS if p.kind == "value" else CONSTANT[p.kind]


def _expressions(call: Call) -> Iterator[str]:
    required = [p for p in call.parameters if p.default is REQUIRED and not p.variadic]
    optional = [
        p for p in call.parameters if (p.default is not REQUIRED or p.variadic) and p.kind not in ("fixed", "ignored")
    ]
    combos = list(itertools.product(*[_candidates(p, first=i == 0) for i, p in enumerate(required)]))
    step = max(1, len(combos) // (MOST // 2))
    for combo in combos[::step]:
        yield _written(call, combo, "")
    values = [(p, v) for p in optional for v in _candidates(p, first=False)]
    for i, (p, v) in enumerate(values):
        extra = v if p.variadic else f"{p.name}={v}"
        for j in range(max(1, MOST // 2 // len(values))):
            yield _written(call, combos[(i + 7 * j) % len(combos)] if combos else (), extra)


def _written(call: Call, arguments: tuple[str, ...], extra: str) -> str:
    shown = [*arguments, extra] if extra else list(arguments)
    if call.path.startswith("Tensor."):
        return f"({shown[0]}).{call.path[7:]}({', '.join(shown[1:])})"
    return f"{call.name}({', '.join(shown)})"


@pytest.mark.parametrize("call", [c for c in CALLS if not c.path.startswith("math.")], ids=lambda c: c.path)
def test_call_equals_torch(call: Call) -> None:
    if call.path.removeprefix("Tensor.") in UNSUPPORTED:
        assert interpreted(_written(call, ("x",), ""), PREFERENCE, inputs("preference", 3)).error == "SBX231"
        return
    if call.path.removeprefix("Tensor.") in DROPPED:
        found = interpreted(_written(call, ("x",), ""), PREFERENCE, inputs("preference", 3)).value
        assert str(found.dtype) == "torch.float32"
        used = _written(call, ("x",), "") + " + 1"
        assert interpreted(used, PREFERENCE, inputs("preference", 3)).error == "SBX231"
        return
    contract = CLASSIFICATION if call.path in CLASSES else PREFERENCE
    arguments = inputs(contract.name, 5)
    if call.path in CLASSES:
        expressions: tuple[str, ...] = CLASSES[call.path]
    else:
        expressions = SPECIAL.get(call.path) or tuple(dict.fromkeys(_expressions(call)))
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for expression in expressions:
            wanted = eager(expression, contract, arguments)
            if wanted.error:
                continue
            found = interpreted(expression, contract, arguments)
            if found.error:
                assert found.error.startswith("SBX"), (expression, found.error)
                continue
            assert same(wanted.value, found.value), (expression, wanted.value, found.value)
            assert len(wanted.gradients) == len(found.gradients), expression
            assert all(map(same, wanted.gradients, found.gradients)), (expression, wanted.gradients, found.gradients)
            compared += 1
    assert compared, expressions


@pytest.mark.parametrize("call", [c for c in CALLS if c.path.startswith("math.")], ids=lambda c: c.path)
def test_math_equals_python(call: Call) -> None:
    compared = 0
    others = {
        "math.log": "1.5, 3.0",
        "math.pow": "beta, 2",
        "math.fmod": "7.5, 2",
        "math.atan2": "0.5, -1.0",
        "math.copysign": "0.5, -2",
        "math.factorial": "5",
    }
    for arguments in (others.get(call.path, "0.3"), "0.3", "beta", "1.5", "len(x)", "2, beta"):
        expression = f"{call.path}({arguments})"
        wanted = eager(expression, PREFERENCE, inputs("preference", 5))
        found = interpreted(expression, PREFERENCE, inputs("preference", 5))
        if wanted.error or found.error:
            assert not found.error or found.error.startswith("SBX"), (expression, found.error)
            continue
        assert same(wanted.value, found.value), (expression, wanted.value, found.value)
        compared += 1
    assert compared


def test_table_is_consistent() -> None:
    paths = [c.path for c in CALLS]
    assert len(paths) == len(set(paths))
    assert [c.number for c in CALLS] == list(range(len(CALLS)))
    assert all(c.lowering in LOWERINGS or c.lowering in OPERATIONS for c in CALLS)
    assert set(LOWERINGS) <= {c.lowering for c in CALLS}, "lowerings that nothing exposes"
    assert len({c.lowering for c in CALLS}) > 90
    assert "item" not in METHODS and "numpy" not in METHODS and "tolist" not in METHODS


@pytest.mark.parametrize("path", [p for p in CONSTANTS if p.startswith("numpy.")])
def test_constants_of_numpy_are_those_of_math(path: str) -> None:
    name = path.removeprefix("numpy.")
    assert CONSTANTS[path] == getattr(np, name) == getattr(math, name, CONSTANTS[path])


@pytest.mark.parametrize("path", [*(p for p in CONSTANTS if not p.startswith("numpy.")), *DTYPES])
def test_constants_are_those_of_torch_and_math(path: str) -> None:
    expression = path if path in CONSTANTS else f"x.to({path})"
    wanted = eager(expression, PREFERENCE, inputs("preference", 3))
    found = interpreted(expression, PREFERENCE, inputs("preference", 3))
    assert not found.error and same(wanted.value, found.value)
