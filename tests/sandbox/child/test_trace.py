"""Tracing: the graph computes what the source computes, and a source without a graph is refused at the cause."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from differential import eager, inputs, interpreted, same
from hostile_more import ARGUMENTS, candidate

from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.loss_graph import LossGraph

EXPRESSIONS = [
    "x + y",
    "2 - x",
    "1 / x",
    "x / 2",
    "2 ** x",
    "x ** 2",
    "x ** -1",
    "(-x) ** 3",
    "x ** beta",
    "beta ** x",
    "x % 2",
    "m & (x > 0)",
    "m | ~m",
    "m ^ (y > 0)",
    "~m",
    "m & True",
    "-x",
    "+x",
    "abs(x)",
    "x @ y",
    "S @ x",
    "x @ S",
    "x > 0",
    "0 < x",
    "x == y",
    "x != 0",
    "m == True",
    "m + 0",
    "m + m",
    "m * x",
    "m * 2",
    "k + 1",
    "k / 2",
    "k * 0.5",
    "k // 2",
    "k % 2",
    "k ** 2",
    "x[0]",
    "x[-1]",
    "x[None]",
    "x[:, None]",
    "x[..., None]",
    "x[None, :, None]",
    "x[1:]",
    "x[:-1]",
    "x[0:]",
    "x[:len(x)]",
    "x[:x.shape[0]]",
    "S[0]",
    "S[:, 0]",
    "S[0, 1:]",
    "S[..., 0]",
    "S[0][0]",
    "S[-1, -1]",
    "x[k]",
    "S[torch.arange(len(x)), k]",
    "M[1]",
    "M[2, 0]",
    "M[0:2]",
    "M[:, None, :]",
    "M[-2:]",
    "M[1:][0]",
    "x.sort()[0]",
    "x.sort().values",
    "x.sort(descending=True).indices",
    "x.max(dim=0)[0]",
    "x.max()",
    "torch.max(x, y)",
    "torch.max(x, dim=0).values",
    "sum([x, y])",
    "sum(w * x for w in (0.2, 0.3))",
    "max(beta, 0.5)",
    "min(len(x), 3)",
    "len(x)",
    "x.shape",
    "x.shape[0]",
    "x.size()",
    "x.size(-1)",
    "len(x.shape)",
    "x.dim()",
    "S.numel()",
    "S.shape[0] * S.shape[1]",
    "torch.cat([x, y]).shape[0]",
    "1.0 / len(x)",
    "(len(x) - 1) * beta",
    "beta ** 2",
    "2 ** beta",
    "-beta",
    "abs(-beta)",
    "beta // 0.2",
    "beta % 0.2",
    "float(len(x))",
    "int(len(x))",
    "math.log(beta) * x",
    "math.log(beta, 10)",
    "[i * 0.5 for i in range(4)][2] * x",
    '{"a": 0.5, "b": 2}["b"] * x',
    "{i: i * 2 for i in range(3)}[2] * x",
    "(lambda z: z * 2)(x)",
    "(lambda z, w=3: z * w)(x)",
    "x if True else y",
    "x if beta is None else y",
    "(x - x.mean()) / (x.std() + 1e-8)",
    "x.std(unbiased=False)",
    "x.var(0)",
    "torch.std(x, False)",
    "torch.where(m, x, y)",
    "torch.where(m, 1.0, 0.0)",
    "torch.where(m, 1, 0)",
    "torch.where(m, 1.0, 0)",
    "torch.where(m, beta, 1.0) * x",
    "torch.clamp(x, -1, 1)",
    "torch.clamp(x, min=-beta, max=beta)",
    "torch.clamp(x, min=y, max=y + 1)",
    "torch.clamp(x, 1, -1)",
    "S.T",
    "x.view(1, len(x))",
    "x.unsqueeze(1).expand(-1, 3)",
    "x.unsqueeze(1).expand(len(x), len(x))",
    "torch.zeros(len(x)) + x",
    "torch.zeros(1, device=x.device, dtype=x.dtype) + x",
    "torch.tensor(0.5) * x",
    "torch.tensor([0.5, 1.0, 2.0])",
    "torch.tensor([[0.5], [1.0]])",
    "torch.tensor(1)",
    "torch.tensor([1, 2.5])",
    "torch.tensor(beta, device=x.device, dtype=x.dtype) * x",
    "torch.full_like(x, beta)",
    "torch.full((len(x),), 0.5)",
    "x.to(y)",
    "x.to(x.device)",
    "m.to(x.dtype)",
    "F.softplus(x, beta=beta)",
    "F.softplus(x * 100, beta=beta)",
    'F.smooth_l1_loss(x, y, beta=beta, reduction="none")',
    'F.huber_loss(x, y, delta=beta, reduction="none")',
    "F.leaky_relu(x, beta)",
    "F.elu(x, beta)",
    'F.kl_div(F.logsigmoid(x), p, reduction="batchmean")',
    "torch.logsumexp(torch.stack((x, y)), dim=0)",
    "torch.sum(x, axis=0)",
    "(x > 0).float().mean()",
    "(x > 0).sum() / len(x)",
    "round(2.567, 2) * x",
    "pow(x, 2)",
    "int(2.7) * x",
    'float("inf") * p',
    "sorted([3, 1, 2])[0] * x",
    "sorted([3, 1, 2], key=lambda v: -v, reverse=True)[0] * x",
    "list(range(3))[1] * x",
    "tuple(reversed([1, 2]))[0] * x",
    "any([False, True]) * x",
    "isinstance(x, torch.Tensor)",
    "isinstance(beta, float)",
    "isinstance(len(x), (int, list))",
    "[a * b for a, b in zip((1, 2), (3, 4))][1] * x",
    "[i * w for i, w in enumerate((0.5, 0.25), 1)][1] * x",
    "sum(map(lambda t: t * 2, [x, y]))",
    "list(filter(lambda v: v > 1, (1, 2, 3)))[0] * x",
    "(x, y)[1]",
    '"a" == "a"',
    "3 in (1, 2, 3)",
    "1 < 2 < 3",
    "not True",
    "(x.shape == y.shape) * x",
    "x.shape[-1] == y.shape[0]",
    "x.shape == (len(x),)",
    "x.exp().log1p().neg()",
    "torch.triu(S, diagonal=1).sum(1)",
    "torch.arange(len(x)) * x",
    "torch.arange(1, len(x) + 1) * x",
    "10 ** 15",
    "0.1 + 0.2",
    "1e300 * 1e300",
    "-5 // 2",
    "-5 % 3",
    "2 ** -1",
    "True + True",
    "(1, 2) + (3,)",
    "(0.5,) * 3",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_equals_python_and_torch(expression: str) -> None:
    for batch in (2, 5):
        arguments = inputs("preference", batch, seed=batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted, found = eager(expression, PREFERENCE, arguments), interpreted(expression, PREFERENCE, arguments)
        assert not wanted.error and not found.error, (wanted.error, found.error)
        assert same(wanted.value, found.value), (wanted.value, found.value)
        assert len(wanted.gradients) == len(found.gradients)
        assert all(map(same, wanted.gradients, found.gradients))


@pytest.mark.parametrize(
    "expression",
    [
        "logits.softmax(-1)",
        "logits.gather(1, targets.unsqueeze(1)).squeeze(1)",
        "logits[torch.arange(logits.shape[0]), targets]",
        "logits[torch.arange(len(targets)), targets]",
        "F.one_hot(targets, logits.shape[1]).float() * logits",
        "F.one_hot(targets, num_classes=logits.size(-1))",
        "F.cross_entropy(logits, targets, reduction='none')",
        "-(F.one_hot(targets, logits.shape[-1]) * F.log_softmax(logits, dim=-1)).sum(-1)",
        "logits.max(dim=1).values - logits.logsumexp(1)",
        "torch.zeros_like(logits)",
        "1.0 / logits.shape[1]",
        "logits.argmax(dim=-1) == targets",
    ],
)
def test_classification_expression(expression: str) -> None:
    arguments = inputs("classification", 5)
    wanted, found = eager(expression, CLASSIFICATION, arguments), interpreted(expression, CLASSIFICATION, arguments)
    assert not wanted.error and not found.error, (wanted.error, found.error)
    assert same(wanted.value, found.value) and all(map(same, wanted.gradients, found.gradients))


IN_PLACE = {
    "own": ["y = x * 2", "y += 1", "y *= x", "return y"],
    "alias": ["y = x * 2", "z = y", "z += 1", "return y"],
    "of_zeros": ["y = torch.zeros_like(x)", "for i in range(3):", "    y += x * i", "return y"],
    "of_number": ["y = 0", "y += x", "y -= 1", "return y"],
    "clone": ["y = (x * 1).clone()", "y /= 2", "return y + x"],
    "in_helper": ["def f(v):", "    v += 1", "    return v", "y = x * 2", "z = f(y)", "return y + z"],
    "in_list": ["y = [x * 2, x * 3]", "for v in y:", "    v += 1", "return y[0] + y[1]"],
    "list": ["y = [x]", "z = y", "z += [x * 2]", "return sum(y)"],
    "list_to_itself": ["y = [x]", "y += y", "return sum(y)"],
    "tuple": ["y = (x,)", "z = y", "y += (x * 2,)", "return sum(y) + sum(z)"],
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_augmented_assignment_changes_the_same_values_as_in_torch(name: str) -> None:
    code = candidate(*IN_PLACE[name])
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math}
    exec(code, scope)  # a source of these tests
    answer = trace(code, PREFERENCE)
    assert answer.graph is not None, answer
    loss = compile_loss(LossGraph.from_json(answer.graph))
    ours, theirs = inputs("preference", 4), inputs("preference", 4)
    found, wanted = loss(*ours), scope["loss"](*theirs)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    wanted.sum().backward()
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize(
    ("lines", "code", "line", "text"),
    [
        (["y = 1.0", "return x + y * torch.exp(2.0)"], "SBX221", 4, "torch.exp(2.0)"),
        (["if x.mean() > 0:", "    return x", "return -x"], "SBX201", 3, "x.mean() > 0"),
        (["return torch.clamp(x, 0.0, lower=1)"], "SBX206", 3, "torch.clamp(x, 0.0, lower=1)"),
        (["y = [", "    x,", "    x + 'a',", "]", "return y[0]"], "SBX205", 5, "x + 'a'"),
        (["f = lambda v: v.shape[5]", "return f(x)"], "SBX226", 3, "v.shape[5]"),
        (["for i in range(3):", "    x = x / (i - 1.0)", "return 1 / 0"], "SBX228", 5, "1 / 0"),
        (["return x.sum(dim=7) + x"], "SBX220", 3, "x.sum(dim=7)"),
    ],
)
def test_refusal_has_the_location_of_its_cause(lines: list[str], code: str, line: int, text: str) -> None:
    from sandbox.vetting.vet import vet

    (finding,) = vet(candidate(*lines), numeric=False).findings
    assert (finding.rule, finding.line) == (code, line)
    source_line = candidate(*lines).split("\n")[line - 1]
    assert finding.column is not None and source_line[finding.column - 1 :].startswith(finding.excerpt)
    assert text in finding.excerpt or finding.excerpt in text


def test_arguments_that_do_not_fit_are_reported_with_the_parameters() -> None:
    from sandbox.vetting.vet import vet

    (finding,) = vet(candidate("return F.softplus(x, 1, 2, 3)"), numeric=False).findings
    assert "F.softplus(input, beta=1.0, threshold=20.0)" in finding.remedy


def test_constants_are_exact_after_tracing() -> None:
    values = (0.1, 1e-300, 1.7976931348623157e308, 2**53, -0.0, 1 / 3)
    answer = trace(candidate("return x * (" + " * x * ".join(map(repr, values)) + ")"), PREFERENCE)
    assert answer.graph is not None
    kept = [n.attrs["value"] for n in LossGraph.from_json(answer.graph).nodes if n.op == "const"]
    assert [repr(v) for v in kept] == [repr(v) for v in values]


def test_tracing_is_repeatable() -> None:
    code = candidate("return sum([F.softplus(-w * beta * x) for w in (0.5, 1.0)])")
    assert trace(code, PREFERENCE) == trace(code, PREFERENCE)


def test_graph_does_not_depend_on_names_or_layout() -> None:
    one = trace(candidate("return -F.logsigmoid(beta * x)"), PREFERENCE)
    other = candidate(
        "margin_of_pair = beta * x", "# comment", "return -torch.nn.functional.logsigmoid(margin_of_pair)"
    )
    assert one.graph == trace(other, PREFERENCE).graph


def test_forms_of_the_signature_give_the_same_graph() -> None:
    tensors = ARGUMENTS[: -len(", beta")]
    body = "return -F.logsigmoid({} * x)"
    forms = [
        candidate(body.format("beta")),
        candidate(body.format("beta"), arguments=ARGUMENTS + "=0.1"),
        candidate(body.format("beta"), arguments=tensors + ", *, beta"),
        candidate(body.format("beta"), arguments=ARGUMENTS + ", tau=1.0, *, k=2"),
        candidate(body.format("self.beta"), arguments="self, " + tensors),
        candidate(body.format("beta"), arguments="self, " + ARGUMENTS),
    ]
    assert len({trace(code, PREFERENCE).graph for code in forms}) == 1
