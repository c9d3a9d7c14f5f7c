"""The static layer alone: its violations, their locations, and that it executes nothing."""

from __future__ import annotations

import ast

import pytest
from hostile_more import candidate

from sandbox.child.allowlist import limits
from sandbox.child.protocol import Refusal, Violation
from sandbox.child.static.check import Checked, check
from sandbox.child.static.source_text import check_text, span_at
from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE

DPO = "return -F.logsigmoid(beta * x)"


def codes(source: str) -> list[str]:
    found = check(source, PREFERENCE)
    return [c.code for c in found] if isinstance(found, list) else []


def test_good_source_compiles() -> None:
    found = check(candidate(DPO), PREFERENCE)
    assert isinstance(found, Checked)
    assert (found.entry.name, found.entry.is_method, found.notes) == ("loss", False, ())


def test_contracts_differ() -> None:
    source = "def loss(logits, targets):\n    return F.cross_entropy(logits, targets, reduction='none')\n"
    assert isinstance(check(source, CLASSIFICATION), Checked)
    assert codes(source) == ["SBX110"]


def test_all_violations_are_reported_at_once_up_to_a_bound() -> None:
    assert codes(candidate("y = print(x)", "eval('1')", "x.item()", DPO)) == ["SBX128", "SBX127", "SBX133"]
    assert len(codes(candidate(*["y = print(x)"] * 50, DPO))) == limits.MAX_FINDINGS


@pytest.mark.parametrize("node", [n for n in vars(ast).values() if isinstance(n, type) and issubclass(n, ast.AST)])
def test_every_syntax_node_is_allowed_or_refused(node: type[ast.AST]) -> None:
    """Only listed nodes are allowed, in every Python version."""
    dangerous = (
        "Global",
        "Nonlocal",
        "ClassDef",
        "Try",
        "With",
        "Yield",
        "Await",
        "FormattedValue",
    )
    assert node not in limits.SYNTAX or node.__name__ not in dangerous
    assert node.__name__ not in limits.REFUSED_SYNTAX or node not in limits.SYNTAX


@pytest.mark.parametrize(
    "module", ["os", "sys", "scipy", "torch.hub", "torch.utils", "builtins", "importlib", "ctypes"]
)
@pytest.mark.parametrize("form", ["import {}", "import {} as F", "import {} as torch", "from {} import path as exp"])
def test_only_known_modules_may_be_imported(module: str, form: str) -> None:
    assert codes(form.format(module) + "\n" + candidate(DPO)) == ["SBX123"]
    assert codes(candidate(form.format(module), DPO)) == ["SBX123"]


@pytest.mark.parametrize(
    "line",
    [
        "import torch",
        "import math",
        "import torch.nn.functional as F",
        "import torch.nn as nn",
        "from torch import nn, exp, Tensor",
        "from torch.nn import functional as F",
        "from torch.nn.functional import softplus as sp, relu",
        "from math import pi, log as ln",
        "from typing import Optional",
        "import typing",
        "from __future__ import annotations",
        "import torch, math",
        "import numpy as np",
        "from numpy import pi",
    ],
)
def test_usual_imports_are_accepted(line: str) -> None:
    assert codes(line + "\n" + candidate(DPO)) == []


@pytest.mark.parametrize("line", ["import math as F", "from torch import exp as torch", "from math import exp as nn"])
def test_imports_may_not_change_what_a_name_means(line: str) -> None:
    assert codes(line + "\n" + candidate(DPO)) == ["SBX124"]


def test_one_name_may_not_be_imported_for_two_things() -> None:
    source = "from math import exp\n" + candidate("from torch import exp", DPO)
    assert codes(source) == ["SBX124"]


@pytest.mark.parametrize(
    "annotation",
    ["torch.Tensor", "'torch.Tensor'", "Optional[Tensor]", "tuple[int, ...]", "float | None", "None", "[1, 2]"],
)
def test_annotations_are_dropped(annotation: str) -> None:
    assert codes(candidate(f"y: {annotation} = x", "z: " + annotation, DPO)) == []


@pytest.mark.parametrize(
    "annotation", ["print(1)", "(lambda: 0)", "x if x else y", "[i for i in y]", "a := 1", "f'{x}'"]
)
def test_annotations_that_compute_are_refused(annotation: str) -> None:
    assert codes(candidate(f"y: ({annotation}) = x", DPO)) == ["SBX139"]


@pytest.mark.parametrize("name", [*sorted(limits.PRELUDE), "self", "len", "max"])
@pytest.mark.parametrize(
    "line",
    [
        "{} = 1",
        "for {} in (1, 2): pass",
        "y = [{} for {} in (1,)]",
        "y = lambda {}: 1",
        "def {}(): return 1",
        "{} += 1",
    ],
)
def test_protected_names_keep_their_meaning(name: str, line: str) -> None:
    assert "SBX135" in codes(candidate(line.format(name, name), DPO))


def test_self_is_the_first_parameter_of_functions_only() -> None:
    assert codes(candidate("f = lambda self: 1", DPO)) == ["SBX135"]
    assert codes(candidate("def f(self, v): return v", DPO)) == []
    assert codes(candidate("def f(v, self): return v", DPO)) == ["SBX135"]


def test_attributes_of_self_are_those_of_the_contract() -> None:
    arguments = "self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps"
    body = "return x * self.beta + self.label_smoothing"
    assert codes(candidate(body, arguments=arguments)) == []
    assert codes(candidate("return x * self.args", arguments=arguments)) == ["SBX129"]


def test_nothing_is_parsed_beyond_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: object) -> ast.Module:
        raise AssertionError("parsed")

    monkeypatch.setattr(ast, "parse", parse)
    for source in ("\n" * 2000, "(" * 100, "a" + "9" * 5000, "\x00", "\u202e"):
        assert len(codes(source)) == 1


def test_source_ranges_count_bytes_and_lines_as_the_parser_does() -> None:
    span = span_at("a\r\nβ = 1\rc", 3, 4)
    assert (span.line, span.column, span.end_column) == (2, 0, 2)
    assert span_at("a\r\nb\rc", 5, 6).line == 3


@pytest.mark.parametrize("source", ["# ✅️ done\n", '"""β ρ λ — “quoted”"""\n', "# 日本語\n"])
def test_comments_and_docstrings_may_hold_any_characters(source: str) -> None:
    assert codes(source + candidate(DPO)) == []


@pytest.mark.parametrize(
    "head",
    [
        "# -*- coding: unicode_escape -*-\n",
        "# vim: set fileencoding=rot13 :\n",
        "\n# coding: utf-7\n",
        "  # a comment\n\t# coding=latin-1\n",
        "# a comment\r# coding: cp037\n",
    ],
)
def test_an_encoding_that_python_would_read_the_file_in_is_refused(head: str) -> None:
    assert codes(head + candidate("", DPO)) == ["SBX142"]


@pytest.mark.parametrize(
    "head",
    [
        "# -*- coding: UTF-8 -*-\n",
        "# coding: utf_8-unix\n",
        "#!/usr/bin/python\n# coding=us-ascii\n",
        "\n\n# coding: rot13\n",
    ],
)
def test_utf_8_may_be_declared_and_a_later_line_declares_nothing(head: str) -> None:
    assert codes(head + candidate("", DPO)) == []


def test_hash_inside_a_string_does_not_hide_code() -> None:
    found = check(candidate("y = '#'; λ = 1", DPO), PREFERENCE)
    assert isinstance(found, list) and [c.code for c in found] == ["SBX105"]


def test_text_check_refuses_by_exception() -> None:
    with pytest.raises(Refusal) as caught:
        check_text("")
    assert isinstance(caught.value.violation, Violation) and caught.value.violation.code == "SBX109"


def test_refusal_is_not_an_ordinary_exception() -> None:
    assert not issubclass(Refusal, Exception)
