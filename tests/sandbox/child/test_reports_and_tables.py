"""Reports, exceptions, loops and tables of names in a loss: taken where they change no value, refused where they could."""

from __future__ import annotations

import pytest
from hostile_more import DPO, candidate

from sandbox.vetting.vet import vet

_MODE = (
    "from enum import Enum, IntEnum\nclass Mode(Enum):\n    A = 'a'\n    B = 'b'\nclass Level(IntEnum):\n    LOW = 0\n"
)
_FACTORY = "from dataclasses import dataclass, field\n@dataclass\nclass C:\n    w: list = field(default_factory=lambda: [1.0])\n"
_COUNTED = "def counted(c):\n    c.w.append(1.0)\n    return len(c.w)\n"


def _rules(*lines: str, before: str = "") -> set[str]:
    return {f.rule for f in vet(before + candidate(*lines), numeric=False).findings}


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (("m = {'a': x.mean().item()}", "return -F.logsigmoid(beta * x) * m['a']"), "SBX133"),
        (("m = {'a': x.mean().item()}", "if m['a'] > 0:", "    x = 2 * x", DPO), "SBX133"),
        (("m = {'a': x.mean().item()}", "if m['a']:", "    x = 2 * x", DPO), "SBX133"),
        (("m = {'a': x.mean().item()}", "x = x if isinstance(m['a'], float) else 2 * x", DPO), "SBX133"),
        (("m = {'a': x.mean().item()}", "return F.softplus(-beta * x.clamp(max=m['a']))"), "SBX133"),
        (("m = {'a': x.mean().item()}", "k = {m['a']: 1}", DPO), "SBX122"),
        (("y = x.mean().item()", DPO), "SBX133"),
        (("print(f'{x!r}')", DPO), "SBX122"),
        (("print(f'{1:999999999}')", DPO), "SBX122"),
        (("print('%999999999d' % 1)", DPO), "SBX122"),
        (("print(x, file=open('a'))", DPO), "SBX128"),
        (("y = print(x)", DPO), "SBX128"),
    ],
)
def test_what_is_reported_is_no_part_of_a_loss(lines: tuple[str, ...], rule: str) -> None:
    assert rule in _rules(*lines)


def test_a_print_of_the_source_itself_is_called() -> None:
    assert "SBX264" not in _rules("print(x)", DPO, before="def print(a):\n    return a\n")


def test_a_report_is_evaluated() -> None:
    written = candidate("w = torch.ones_like(x)", "print(w.mul_(2.0))", "return -F.logsigmoid(beta * x) * w")
    plain = candidate("return -F.logsigmoid(beta * x) * torch.ones_like(x).mul(2.0)")
    assert vet(written).fingerprint == vet(plain).fingerprint


@pytest.mark.parametrize(
    "lines",
    [
        ("try:", "    assert (x > 0).all()", "except AssertionError:", "    x = 2 * x", DPO),
        ("try:", "    if (x > 0).any():", "        raise ValueError", "except ValueError:", "    x = 2 * x", DPO),
        ("try:", "    k = 1 / (beta - 0.1)", "except ZeroDivisionError:", "    k = 1.0", "return F.softplus(-k * x)"),
        (
            "try:",
            "    k = math.exp(900 * beta)",
            "except OverflowError:",
            "    k = 1.0",
            "return F.softplus(-x) + 0 / k",
        ),
        ("try:", "    raise ValueError", "except ValueError:", "    pass", DPO),
        ("try:", "    pass", "finally:", "    return -F.logsigmoid(beta * x)"),
        ("for i in range(2):", "    try:", "        y = 1", "    finally:", "        break", DPO),
    ],
)
def test_what_except_could_catch_is_refused(lines: tuple[str, ...]) -> None:
    assert {"SBX115", "SBX201"} & _rules(*lines)


def test_handlers_are_checked() -> None:
    assert "SBX127" in _rules("try:", "    y = 1", "except ValueError as e:", "    exec('1')", DPO)


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (("while True:", "    pass", DPO), "SBX114"),
        (("while x.mean() > 0:", "    x = x - 1", DPO), "SBX114"),
        (("while beta > 0.5:", "    x = x - 1", DPO), "SBX114"),
        (("k = 1", "while k:", "    k = 1", DPO), "SBX202"),
        (("del x", DPO), "SBX227"),
        (("y = [1]", "del y[0]", DPO), "SBX138"),
    ],
)
def test_loops_end_and_names_stay(lines: tuple[str, ...], rule: str) -> None:
    assert rule in _rules(*lines)


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("k = 2.0 if Mode.A == 'a' else 1.0", 1.0),
        ("k = 2.0 if Mode.A is Mode('a') and Mode['B'].value == 'b' else 1.0", 2.0),
        ("k = {Mode.A: 2.0, Mode.B: 3.0}[Mode.B]", 3.0),
        ("k = 2.0 if Level.LOW else 1.0", 1.0),
        ("k = {0: 2.0}[Level.LOW] + Level.LOW", 2.0),
        ("k = float(len([m for m in Mode if m.name == 'A']))", 1.0),
        ("k = 2.0 if Level.LOW in (0, 1) and Mode.A not in ('a',) else 1.0", 2.0),
    ],
)
def test_members_of_enums_behave_as_in_python(line: str, same: float) -> None:
    verdict = vet(_MODE + candidate(line, "return -F.logsigmoid(beta * x) * k"))
    assert verdict.accepted, verdict.findings
    assert verdict.fingerprint == vet(candidate(f"return -F.logsigmoid(beta * x) * {same}")).fingerprint


@pytest.mark.parametrize(
    ("before", "line", "rule"),
    [
        (_MODE, "y = Mode.A is 'a'", "SBX205"),
        (_MODE, "y = Mode('c')", "SBX228"),
        (_MODE, "Mode.A = 1", "SBX134"),
        ("from types import SimpleNamespace\nc = SimpleNamespace(m=0.1)\n", "c.m = 1.0", "SBX134"),
        ("from collections import namedtuple\nP = namedtuple('P', 'a b')\n", "a, b, c = P(1, 2)", "SBX239"),
        ("from collections import namedtuple\n", "P = namedtuple('P', 'a b')", "SBX230"),
    ],
)
def test_tables_of_names_are_constant(before: str, line: str, rule: str) -> None:
    assert rule in _rules(line, DPO, before=before)


def test_a_factory_makes_a_list_for_each_object() -> None:
    before = _FACTORY + _COUNTED + "FIRST = counted(C())\nSECOND = counted(C())\n"
    written = before + candidate("return -F.logsigmoid(beta * x) * SECOND")
    assert vet(written).fingerprint == vet(candidate("return -F.logsigmoid(beta * x) * 2")).fingerprint


def test_code_in_a_docstring_is_no_code() -> None:
    shown = '"""A loss.\n\n```python\nimport os\n```\n"""\n' + candidate(DPO)
    assert not vet(shown, numeric=False).findings
    assert "SBX123" in {f.rule for f in vet("```python\nimport os\n```\n", numeric=False).findings}
    assert "SBX106" in {f.rule for f in vet("```\nx\n```\n```\ny\n```\n", numeric=False).findings}


def test_an_attribute_that_is_read_is_not_assigned_in_a_call() -> None:
    source = (
        "class L:\n    def __init__(self, beta):\n        self.beta = beta\n"
        "    def __call__(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):\n"
        "        self.x = policy_chosen_logps - policy_rejected_logps\n        return F.softplus(-self.beta * self.x)\n"
    )
    assert "SBX134" in {f.rule for f in vet(source, numeric=False).findings}


@pytest.mark.parametrize(
    "line", ["for F in (1, 2):\n    pass\n", "if True:\n    def g(): pass\n", "torch.manual_seed(0)\n"]
)
def test_statements_outside_of_functions_compute_constants(line: str) -> None:
    assert {"SBX112", "SBX135"} & _rules(DPO, before=line)


@pytest.mark.parametrize(
    ("before", "rules"),
    [
        ("from typing import Protocol\nclass P(Protocol):\n    def f(self, x=exec('1')): ...\n", {"SBX117"}),
        ("from typing import Protocol\nclass P(Protocol):\n    exec('1')\n", {"SBX117"}),
        ("from typing import TypedDict\nclass P(TypedDict):\n    a: exec('1')\n", {"SBX117"}),
        ("from typing import TypeVar\nT = TypeVar('T', bound=exec('1'))\n", {"SBX126", "SBX127"}),
        ("import functools\n@functools.wraps(exec('1'))\ndef f(x):\n    return x\n", {"SBX120"}),
        (_FACTORY.replace("field(", "field(metadata=exec('1'), "), {"SBX117", "SBX127"}),
        ("from typing import cast\nK = cast(exec('1'), 1.0)\n", {"SBX126"}),
        ("K = getattr(torch, 'pi')\n", {"SBX127"}),
    ],
)
def test_nothing_that_is_left_out_could_run(before: str, rules: set[str]) -> None:
    assert rules & _rules(DPO, before=before)


@pytest.mark.parametrize(
    ("before", "line", "same"),
    [
        ("", "k = ({'a': 1.0} | {'a': 2.0})['a']", 2.0),
        ("", "k = torch.stack([0 * x, 0 * x + 1, 0 * x + 2, 0 * x + 3], 1)[:, 1::2].sum(1)", 4.0),
        ("from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def k(self): ...\n"
         "class B(A):\n    def k(self):\n        return 2.0\n", "k = B().k()", 2.0),
        ("from typing import Protocol\nclass P(Protocol):\n    def __call__(self, x: float) -> float: ...\n"
         "def two(f: P):\n    return f(1.0)\n", "k = two(lambda z: 2 * z)", 2.0),
    ],
)  # fmt: skip
def test_small_forms(before: str, line: str, same: float) -> None:
    verdict = vet(before + candidate(line, "return -F.logsigmoid(beta * x) * k"))
    assert verdict.accepted, verdict.findings
    assert verdict.fingerprint == vet(candidate(f"return -F.logsigmoid(beta * x) * {same}")).fingerprint


@pytest.mark.parametrize(
    ("condition", "accepted"),
    [
        ("torch.isnan(x).any()", True),
        ("not torch.isfinite(x).all()", True),
        ("torch.isnan(x).any() or (torch.isinf(x) | ~torch.isfinite(2 * x)).any()", True),
        ("(x > 0).any()", False),
        ("(torch.isnan(x) | (x > 0)).any()", False),
        ("torch.isnan(x).any() or (x > 0).any()", False),
        ("torch.isnan(x).sum() > 0", False),
    ],
)
def test_a_loss_may_raise_on_values_that_are_not_finite_alone(condition: str, accepted: bool) -> None:
    verdict = vet(candidate(f"if {condition}:", "    raise ValueError('no')", DPO))
    assert verdict.accepted is accepted
    assert {f.rule for f in verdict.findings} >= ({"SBX258"} if accepted else {"SBX201"})


_PLAIN_ENUMS = (
    "from enum import Enum, IntEnum\nclass Level(IntEnum):\n    LOW = 0\nclass S(str, Enum):\n    A = 'a'\n"
    "class Mode(Enum):\n    A = 'a'\n"
)
_FIELDS = "from dataclasses import dataclass, field\nW = 5.0\n@dataclass\nclass C:\n"
_ABSTRACT = (
    "from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def k(self):\n        return 2.0\n"
)
_TRIED = ("    k = 2.0", "except Exception:", "    k = 1.0", "return F.softplus(-x) * k")
_CHECKED = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from math import exp\n"


@pytest.mark.parametrize(
    ("lines", "same"),
    [
        (("d = {0: 1.0}", "d[Level.LOW] = 2.0", "k = d[0]"), 2.0),
        (("k = {0: 3.0}.pop(Level.LOW, 5.0)",), 3.0),
        (("d = {'a': 1.0}", "e = d", "d |= {'a': 2.0}", "k = e['a']"), 2.0),
        (("d = {'a': 1.0}", "def f():", "    d['a'] = 5.0", "    return 1.0", "d['a'] += f()", "k = d['a']"), 2.0),
        (("k = 2.0 if torch.tensor([1.0, 2.0]).shape == {2} else 1.0",), None),
        (("n = {f'{q}': 2.0 for q in {S.A: 1.0}}", "k = n.get('a', 7.0)"), None),
        (("k = 2.0 if 'a' in Mode else 1.0",), None),
        (("k = float('+-0.5')",), None),
        (("m = {'a': torch.tensor(2.0).item()}", "k = 2.0 if torch.tensor([1.0, 2.0]).shape == (m['a'],) else 1.0"), None),
        (("d = {'a': {'b': 1.0}}", "e = d['a']", "d['a'] |= {'b': 2.0}", "k = e['b']"), None),
    ],
)  # fmt: skip
def test_tables_change_as_in_python(lines: tuple[str, ...], same: float | None) -> None:
    verdict = vet(_PLAIN_ENUMS + candidate(*lines, "return -F.logsigmoid(beta * x) * k"))
    if same is None:
        assert not verdict.accepted
    else:
        assert verdict.fingerprint == vet(candidate(f"return -F.logsigmoid(beta * x) * {same}")).fingerprint


@pytest.mark.parametrize(
    ("line", "before"),
    [
        ("m = {'a': x.item()}", ""),
        ("print(f'{x:.3f}')", ""),
        ("print('a', sep=1)", ""),
        ("y = x.to('potato')", ""),
        ("y = torch.zeros_like(x, device='potato')", ""),
        ("y = x.clone(memory_format=3)", ""),
        ("y = torch.ones_like(x).zero_(dtype=torch.float32)", ""),
        ("y = torch.stack([x, x], 1).t().view(-1)", ""),
        ("y = (x > 0).long().mean()", ""),
        ("y = torch.lerp(x, torch.ones_like(x).long(), 0.5)", ""),
        ("y = torch.dot(x, (x > 0).long())", ""),
        ("y = (x > 0).long() ** -1", ""),
        ("y = x.sub(1.0, alpha=True)", ""),
        ("y = F.margin_ranking_loss(x, x, torch.tensor(1.0))", ""),
        ("y = torch.isclose(x, x, rtol=-1.0)", ""),
        ("y = x.mT", ""),
        ("y = functools.partial(1)", "import functools\n"),
        ("y = A()", _ABSTRACT),
        ("y = exp(1.0)", _CHECKED),
    ],
)
def test_what_only_torch_or_python_refuses_is_refused_in_a_try(line: str, before: str) -> None:
    assert not vet(before + candidate("try:", f"    {line}", *_TRIED), numeric=False).graph
    assert vet(candidate("try:", "    y = x.clone().to(x.device)", *_TRIED)).accepted
    assert vet(candidate("try:", "    y = x.clamp(min=0.0)", "except Exception:", "    raise", DPO)).accepted


@pytest.mark.parametrize(
    ("lines", "before"),
    [
        (("m = {'a': x.item()}",), ""),
        (("m = {'a': beta.item()}",), ""),
        (("m = {'a': round(x.tolist(), 2)}",), ""),
        (("print(f'{x:.3f}')",), ""),
        (("print(f'{x.mean():d}')",), ""),
        (("print('a', end=undefined)",), ""),
        (("if torch.isfinite(x).all():", "    raise ValueError"), ""),
        (("if not torch.isnan(x).any():", "    raise ValueError"), ""),
        (("if (~torch.isnan(x)).any():", "    raise ValueError"), ""),
        (("m = {'a': round(x.mean().item(), 'q')}",), ""),
        (("print(f'{1.5:d}')",), ""),
        (("print(f'{1:.2d}')",), ""),
        (("warnings.warn('a', 5)",), "import warnings\n"),
        (("logger.info()",), "import logging\nlogger = logging.getLogger(__name__)\n"),
        (
            ("k = C().z",),
            _FIELDS.replace("@dataclass\n", "@dataclass(frozen=True)\n")
            + "    a: float = 1.0\n    def __post_init__(self):\n        self.z = 1.0\n",
        ),
        (("k = A().k()",), _ABSTRACT),
        (("k = C().z",), _FIELDS + "    z: list = [1.0]\n"),
        (("k = C().z",), _FIELDS + "    W: float = 1.0\n    z: list = field(default_factory=lambda: [W])\n"),
        (("w = torch.ones_like(x)", "w[x > 0] *= 1 + x * x"), ""),
        (("w = torch.ones_like(x)", "w.fill_(1.0, dtype=torch.float32)"), ""),
        (("z = torch.zeros(len(x), 2)", "z[torch.arange(len(x)), (x > 0).long()] = x.unsqueeze(1)"), ""),
        (("return {'loss': F.softplus(-x) * x.mean().item(), 'losses': F.softplus(-x)}",), ""),
        (("d = {'a': 1.0}", "d['a'] += (z := 2.0)"), ""),
        (("k = f()",), "def d(v):\n    return lambda f: f\n@d(1)\n@d(2)\ndef f():\n    return 1.0\n"),
    ],
)
def test_what_raises_in_eager_torch_or_means_something_else_is_refused(lines: tuple[str, ...], before: str) -> None:
    assert not vet(before + candidate(*lines, DPO), numeric=False).graph
