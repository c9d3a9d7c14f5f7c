"""Forms that are rewritten or replayed: match, lambdas, unused imports, reduce, pop, methods in place, a batch of one."""

from __future__ import annotations

import pytest
from hostile_more import ARGUMENTS, candidate

from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import PREFERENCE
from sandbox.graph.loss_graph import LossGraph
from sandbox.identity.canonical import canonical_hash
from sandbox.vetting.vet import vet

DPO = "return -F.logsigmoid(beta * x)"


def _graph(source: str) -> LossGraph:
    answer = trace(source, PREFERENCE)
    assert answer.graph is not None, (source, answer.violations)
    return LossGraph.from_json(answer.graph)


def _same(source: str, plain: str) -> bool:
    return canonical_hash(_graph(source)) == canonical_hash(_graph(plain))


def codes(source: str) -> list[str]:
    return [v.code for v in trace(source, PREFERENCE).violations]


@pytest.mark.parametrize("kind", ["1", "-2", "7", "None", "True", "'a'", "0.5"])
def test_match_on_constants_means_the_same_as_branches(kind: str) -> None:
    cases = (("1 | 'a'", "2.0"), ("-2", "3.0"), ("None", "4.0"), ("True", "5.0"), ("_", "6.0"))
    lines = [line for pattern, k in cases for line in (f"    case {pattern}:", f"        k = {k}")]
    expected: dict[str, float] = {}
    exec("\n".join([f"kind = {kind}", "match kind:", *lines]), {}, expected)
    traced = candidate(f"kind = {kind}", "match kind:", *lines, "return -F.logsigmoid(beta * x) * k")
    assert _same(traced, candidate(f"return -F.logsigmoid(beta * x) * {expected['k']}"))


@pytest.mark.parametrize(
    "case",
    ["[a, b]", "{'a': a}", "a", "1 as a", "torch.Tensor()", "[1]", "1 if beta > 1", "_ if x", "1 | [2]"],
)
def test_a_pattern_that_takes_a_value_apart_is_refused(case: str) -> None:
    assert codes(candidate("kind = 1", "match kind:", f"    case {case}:", f"        {DPO}", DPO)) == ["SBX113"]


def test_the_subject_of_match_is_a_name_and_its_patterns_are_checked() -> None:
    for subject, pattern, code in (
        ("x.mean()", "1.0", "SBX113"),
        ("x", "1.0", "SBX201"),
        ("beta", "torch.os", "SBX130"),
        ("beta", "torch.__name__", "SBX125"),
    ):
        assert codes(candidate(f"match {subject}:", f"    case {pattern}:", f"        {DPO}", DPO)) == [code]


def test_a_lambda_is_the_loss_if_the_module_has_no_function() -> None:
    margin = "(policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"
    source = f"loss = lambda {ARGUMENTS}: -F.logsigmoid(beta * ({margin}))\n"
    assert _same(source, candidate(DPO))
    verdict = vet(source, numeric=False)
    assert verdict.entry == "loss" and not verdict.findings
    assert codes(f"F = lambda {ARGUMENTS}: beta\n") == ["SBX135"]
    assert codes(f"_call_ = lambda {ARGUMENTS}: beta\n") == ["SBX125"]
    assert codes(f"loss = [lambda {ARGUMENTS}: beta]\n") == ["SBX109"]
    assert codes(f"loss = lambda {ARGUMENTS}: beta.__class__\n") == ["SBX125"]


@pytest.mark.parametrize(
    "line",
    ["from collections import OrderedDict, defaultdict", "import copy", "import itertools as it", "import operator"],
)
def test_an_unused_import_of_a_harmless_module_is_left_out(line: str) -> None:
    assert _same(candidate(DPO, before=line + "\n"), candidate(DPO))
    assert _same(candidate(line, DPO), candidate(DPO))
    bound = line.split()[-1]
    assert codes(candidate(f"y = {bound}", DPO, before=line + "\n")) == ["SBX123"]


@pytest.mark.parametrize(
    "line",
    ["import os", "import ctypes", "from collections import *", "from .collections import a", "import random",
     "from enum import __builtins__", "import copy.os"],
)  # fmt: skip
def test_any_other_unused_import_is_refused(line: str) -> None:
    assert codes(candidate(DPO, before=line + "\n"))[0] in ("SBX123", "SBX125")


def test_reduce_calls_its_function_from_left_to_right() -> None:
    before = "from functools import reduce\n"
    made = candidate(
        "k = reduce(lambda a, b: a * 2 - b, [1.0, 2.0, 4.0], 3.0)", "return F.softplus(-x) * k", before=before
    )
    assert _same(made, candidate("return F.softplus(-x) * 12.0"))
    for arguments in ("max, []", "1, [2, 3]", "lambda a, b: a, [1], 2, 3", "lambda a: a, [1, 2]"):
        assert codes(candidate(f"y = reduce({arguments})", DPO, before=before))[0] in ("SBX206", "SBX230")


def test_pop_takes_an_item_of_a_dict_that_the_call_made() -> None:
    made = candidate("d = {'a': 2.0}", "k = d.pop('a', 1.0) * d.pop('a', 3.0) + len(d)", "return F.softplus(-x) * k")
    assert _same(made, candidate("return F.softplus(-x) * 6.0"))
    assert codes(candidate("k = {}.pop('a')", DPO)) == ["SBX226"]
    assert codes(candidate("D.pop('a')", DPO, before="D = {'a': 1}\n")) == ["SBX118"]


def test_a_method_in_place_changes_what_every_name_of_the_tensor_means() -> None:
    lines = (
        "w = x * 2",
        "v = w",
        "parts = [v]",
        "v.add_(1.0).clamp_(max=3.0)",
        "return F.softplus(-w * beta - parts[0])",
    )
    plain = ("w = (x * 2 + 1.0).clamp(max=3.0)", "return F.softplus(-w * beta - w)")
    assert _same(candidate(*lines), candidate(*plain))


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("policy_chosen_logps.mul_(2.0)",), "SBX132"),
        (("y = policy_chosen_logps", "y.mul_(2.0)"), "SBX235"),
        (("policy_chosen_logps.view(-1).mul_(2.0)",), "SBX235"),
        (("x.detach().clamp_(max=1.0)",), "SBX235"),
        (("torch.stack([x, x]).T.mul_(2.0)",), "SBX235"),
        (("m = x > 0", "m.mul_(2.0)"), "SBX235"),
        (("y = torch.ones(1)", "y.add_(x)"), "SBX235"),
        (("ONE.add_(1.0)",), "SBX235"),
        (("ADD(1.0)",), "SBX235"),
        (("y = x * 1.0", "z = torch.vstack([y])", "z[0].mul_(2.0)"), "SBX235"),
        (("y = x * 1.0", "with torch.no_grad():", "    y.mul_(2.0)"), "SBX235"),
        (("x.copy_(x)",), "SBX132"),
        (("x.normal_()",), "SBX132"),
    ],
)
def test_a_method_in_place_must_not_change_what_another_name_refers_to(lines: tuple[str, ...], code: str) -> None:
    assert codes(candidate(*lines, DPO, before="ONE = torch.ones(())\nADD = torch.ones(()).add_\n")) == [code]


def test_repeat_makes_a_tensor_of_its_own() -> None:
    for copied in ("y.repeat(1)", "torch.tile(y, (1,))"):
        made = candidate("y = x * 1.0", f"z = {copied}", "z.mul_(3.0)", "return F.softplus(-y) + z")
        assert _same(made, candidate("y = x * 1.0", "return F.softplus(-y) + y * 3.0")), copied


@pytest.mark.parametrize("condition", ["len(x) > 1", "x.numel() >= 2", "1 < x.shape[0]", "x.size(0) != 1"])
def test_a_branch_on_a_batch_of_one_is_joined_by_where(condition: str) -> None:
    verdict = vet(
        candidate(f"s = x.detach().std() if {condition} else 1.0", "return F.softplus(-beta * x / (1.0 + s))")
    )
    assert verdict.accepted and {"SBX259"} <= {f.rule for f in verdict.findings}
    assert codes(candidate(f"s = 2.0 if {condition} and len(x) > 8 else 1.0", DPO)) == ["SBX201"]


def test_a_condition_that_is_evaluated_often_counts_once() -> None:
    helper = "def soft(z, beta):\n    return F.softplus(-z) if beta > 0.5 else F.relu(1 - z)\n"
    verdict = vet(candidate("return sum(soft(beta * x * k, beta) for k in (0.5, 1.0, 1.5, 2.0, 2.5))", before=helper))
    assert "SBX248" not in {f.rule for f in verdict.findings} and verdict.graph is not None


def test_a_slash_among_parameters_has_no_effect() -> None:
    assert _same(candidate(DPO, arguments=ARGUMENTS.replace(", beta", ", /, beta")), candidate(DPO))
    assert _same(candidate("g = lambda z, /, k=1.0: z * k", "return -F.logsigmoid(g(beta * x))"), candidate(DPO))
    for hidden in ("_getattr_=float", "__builtins__", "F"):
        assert codes(candidate(f"def g({hidden}, /):", "    return beta", DPO))[0] in ("SBX125", "SBX135"), hidden
    assert codes(candidate("def g(z, /, **more):", "    return z", DPO)) == ["SBX113"]


def test_a_default_may_be_a_function_of_math_with_constants() -> None:
    helper = "def soft(z, k=math.log(2.0), top=float('inf'), low=-math.sqrt(4)):\n    return F.softplus(-z * k)\n"
    made = candidate("return soft(beta * x)", before=helper)
    assert _same(made, candidate("return F.softplus(-(beta * x) * 0.6931471805599453)"))
    for default, code in (
        ("torch.tensor(1.0)", "SBX136"),
        ("math.log(beta)", "SBX136"),
        ("float(*[1])", "SBX136"),
        ("math.os()", "SBX130"),
        ("float('nan')", "SBX232"),
        ("open('a')", "SBX136"),
    ):
        assert codes(candidate(DPO, before=f"def g(z, k={default}):\n    return z\n"))[0] == code, default
