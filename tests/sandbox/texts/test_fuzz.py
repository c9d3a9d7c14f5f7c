"""Random and generated candidates: nothing crashes, hangs or is accepted unchecked."""

from __future__ import annotations

import contextlib
import json
import math
import random
import string
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hostile_more import ALL, candidate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.child.allowlist.calls import CALLS
from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import PREFERENCE
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import GraphError
from sandbox.graph.operations import OPERATIONS
from sandbox.verdicts.verdict import VerdictStatus
from sandbox.vetting.vet import vet

BENIGN = [e["code"] for e in json.loads((Path(__file__).parents[1] / "corpora" / "benign.json").read_text())]
CRASHES = {"SBX240", "SBX241", "SBX242", "SBX243", "SBX245", "SBX246", "SBX247"}
BOUNDED = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def _sound(source: str | bytes) -> None:
    """Check that the candidate is refused with a reason or has a graph that verifies, without a crash."""
    verdict = vet(source, numeric=False)
    assert not {f.rule for f in verdict.findings} & CRASHES, verdict.findings
    if verdict.status is VerdictStatus.PARTIAL:
        assert verdict.graph is not None
        LossGraph.from_json(verdict.graph.to_json())
    else:
        assert verdict.findings


@given(st.text(max_size=300))
@BOUNDED
def test_any_text(source: str) -> None:
    _sound(source)


@given(st.binary(max_size=300))
@BOUNDED
def test_any_bytes(source: bytes) -> None:
    _sound(source)


KEYWORDS = (
    "if else for in lambda return def x beta torch F math self loss None True and or not is while class import from"
)
_WORDS = [
    *KEYWORDS.split(),
    *[
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        ".",
        "=",
        "+",
        "-",
        "*",
        "**",
        "/",
        "//",
        "%",
        "@",
        "&",
        "|",
        "~",
        "<",
        "==",
    ],
    *[
        "\n    ",
        "\n        ",
        "\n",
        "0",
        "1",
        "2.0",
        "1e-3",
        "'a'",
        "...",
        "range",
        "len",
        "sum",
        "torch.exp",
        "F.relu",
    ],
    *["x.mean()", "x[None]", "x.shape[0]", "torch.where", "policy_chosen_logps", "exp", "clamp", "append", "values"],
]


@given(st.lists(st.sampled_from(_WORDS), max_size=40))
@BOUNDED
def test_any_words_in_a_body(words: list[str]) -> None:
    _sound(candidate(" ".join(words), "return -F.logsigmoid(beta * x)"))


@given(st.sampled_from([*BENIGN, *[s for s in ALL.values() if len(s) < 2000]]), st.randoms(use_true_random=False))
@BOUNDED
def test_mutated_candidates(source: str, rng: random.Random) -> None:
    _sound(_mutated(source, rng).encode("utf-8", "replace"))


def _mutated(source: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(source))
        match rng.randint(0, 4):
            case 0:
                source = source[:at] + rng.choice(string.printable) + source[at:]
            case 1:
                source = source[:at] + source[at + rng.randint(1, 5) :]
            case 2:
                source = source[:at] + rng.choice(_WORDS) + source[at:]
            case 3:
                end = min(len(source), at + rng.randint(1, 30))
                source = source[:end] + source[at:]
            case 4:
                lines = source.split("\n")
                rng.shuffle(lines)
                source = "\n".join(lines)
    return source


# --- a grammar of benign losses: what is traced equals what torch computes --------------------------------------------

_UNARY = ["torch.exp({})", "torch.tanh({})", "torch.sigmoid({})", "F.softplus({})", "F.relu({})", "-({})", "({}).abs()",
          "torch.log1p(({}) ** 2)", "F.logsigmoid({})", "torch.clamp({}, -3.0, 3.0)", "({}).detach()", "torch.square({})",
          "F.leaky_relu({}, 0.2)", "({}).mean()", "({} - ({}).mean())", "F.huber_loss({}, torch.zeros_like(x), reduction='none')",
          "({}).float()", "torch.sqrt(({}) ** 2 + 1)", "({}).unsqueeze(0).squeeze(0)", "({}).view(-1)"]  # fmt: skip
_BINARY = ["({} + {})", "({} - {})", "({} * {})", "({} / (1 + ({}) ** 2))", "torch.maximum({} + x * 0, {} + x * 0)",
           "torch.where(x > 0, {}, {})", "torch.logaddexp({} + x * 0, {} + x * 0)", "torch.lerp(x, {} + x * 0, {} + x * 0)",
           "torch.stack([{} + x * 0, {} + x * 0]).sum(0)", "sum([{}, {}])", "(lambda a, b: a - 2 * b)({}, {})"]  # fmt: skip
_LEAVES = ["x", "beta * x", "policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "0.5", "2", "beta",
           "1.0 / len(x)", "math.sqrt(beta)", "x.mean()", "torch.tensor(0.3)", "torch.ones_like(x)"]  # fmt: skip
_EXPRESSION = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: (
        st.builds(lambda t, a: t.replace("{}", a), st.sampled_from(_UNARY), inner.map(lambda e: f"({e} + x * 0)"))
        | st.builds(lambda t, a, b: t.format(a, b), st.sampled_from(_BINARY), inner, inner)
    ),
    max_leaves=10,
)


@given(_EXPRESSION)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_generated_losses_equal_torch(expression: str) -> None:
    from sandbox.execute.interpreter import compile_loss

    code = candidate(f"return {expression} + x * 0")
    if len(code) > 15_000:
        return
    answer = trace(code, PREFERENCE)
    if answer.graph is None:
        assert {c.code for c in answer.violations} <= {"SBX107", "SBX213"}, answer
        return
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math}
    exec(code, scope)  # generated from the grammar above
    generator = torch.Generator().manual_seed(1)
    tensors = [torch.randn(5, generator=generator) for _ in range(4)]
    ours, theirs = ([t.clone().requires_grad_() for t in tensors] for _ in range(2))
    found, wanted = compile_loss(LossGraph.from_json(answer.graph))(*ours, 0.3), scope["loss"](*theirs, 0.3)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    if wanted.requires_grad:
        found.sum().backward()
        wanted.sum().backward()
        for a, b in zip(ours, theirs, strict=True):
            assert (a.grad is None) == (b.grad is None)
            if a.grad is not None and b.grad is not None:
                torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5, equal_nan=True)


# --- graphs: what verifies can be computed ----------------------------------------------------------------------------


def _random_graph(rng: random.Random) -> str:
    """Graph JSON of valid form, with random operations and mostly suitable operands."""
    nodes: list[list[Any]] = [["input", [], {"name": a.name}] for a in PREFERENCE.arguments]
    nodes += [["const", [], {"value": v}] for v in (0.5, 2, True, -1)]
    nodes += [["gt", [0, 5]], ["argsort", [0]], ["size", [], {"symbol": "B"}], ["unsqueeze", [1], {"dim": 0}]]
    for _ in range(rng.randint(1, 8)):
        operation = OPERATIONS[rng.choice(sorted(OPERATIONS))]
        arity = min(operation.arity[1], max(operation.arity[0], rng.randint(0, 3)))
        wanted = {n: a for n, a in operation.attrs.items() if a.default is ... or rng.random() < 0.3}
        attrs = {n: _random_attr(a.kind, a.choices, rng) for n, a in wanted.items()}
        nodes.append([operation.name, [rng.randrange(len(nodes)) for _ in range(arity)], attrs])
    nodes.append(["add", [0, len(nodes) - 1]])
    return json.dumps(
        {"schema": 1, "contract": "preference", "nodes": nodes, "output": rng.choice([0, len(nodes) - 1])}
    )


def _random_attr(kind: str, choices: tuple[str, ...], rng: random.Random) -> Any:
    match kind:
        case "number":
            return rng.choice([0.0, 0.3, 1.0, 2.0, -1.0, 1e-6, 1e30])
        case "int":
            return rng.choice([0, 1, -1, 2])
        case "bool":
            return rng.random() < 0.5
        case "axis" | "axes":
            return rng.choice([0, -1, 1, None])
        case "shape":
            return rng.choice([["B"], [-1], [1, "B"], ["B", "B"], [3], []])
        case "symbol":
            return rng.choice(["B", "C"])
        case "choice":
            return rng.choice(choices)
        case "name":
            return rng.choice([a.name for a in PREFERENCE.arguments])
    return rng.choice([0.5, 1, False, "inf"])


@pytest.mark.parametrize("seed", range(400))
def test_verified_graphs_can_be_computed(seed: int) -> None:
    from sandbox.execute.interpreter import compile_values

    try:
        graph = LossGraph.from_json(_random_graph(random.Random(seed)))
    except GraphError:
        return
    for batch in (2, 3):
        drawn = torch.Generator().manual_seed(seed)
        tensors = [torch.randn(batch, generator=drawn) for _ in range(4)]
        try:
            values = compile_values(graph, range(len(graph.nodes)))(*tensors, 0.3)
        except (RuntimeError, IndexError) as error:
            assert any(t in str(error) for t in ("between 0 and 1", "out of bounds", "ZeroDivision")), (
                error,
                graph.to_json(),
            )
            return
        for value, kind in zip(values, graph.types, strict=True):
            if kind.shape is not None:
                assert tuple(value.shape) == tuple(d.at({"B": batch}) for d in kind.shape), graph.to_json()
                assert value.dtype == {"float": torch.float32, "int": torch.int64, "bool": torch.bool}[kind.dtype]


@given(st.sampled_from(BENIGN), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutated_graphs_never_break_the_verifier(source: str, rng: random.Random) -> None:
    graph = trace(source, PREFERENCE).graph
    assert graph is not None
    text = list(graph)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(text))
        text[at] = rng.choice('0123456789[]{}",:-eE.tfnBC') if rng.random() < 0.8 else ""
    with contextlib.suppress(GraphError):
        LossGraph.from_json("".join(text))


def test_every_exposed_call_survives_odd_arguments() -> None:
    """For any arguments of any function, the tracer refuses with a rule and never crashes."""
    rng = random.Random(7)
    odd = ["x", "1", "-1", "0.5", "True", "None", "'a'", "[x]", "[]", "()", "(0, 1)", "{}", "beta", "len(x)", "x.shape",
           "torch", "F.relu", "x > 0", "x.dtype", "lambda v: v", "...", "float('inf')", "10**15", "torch.float32"]  # fmt: skip
    for call in CALLS:
        for _ in range(6):
            arguments = ", ".join(rng.choice(odd) for _ in range(rng.randint(0, 4)))
            name = call.name if not call.path.startswith("Tensor.") else f"(x){call.path[6:]}"
            answer = trace(candidate(f"y = {name}({arguments})", "return x"), PREFERENCE)
            assert not {c.code for c in answer.violations} & CRASHES, (name, arguments, answer)
