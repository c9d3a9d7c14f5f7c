"""The records of the operations: each is complete, and one more of them is all that a new operation needs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from sandbox.graph.operations import OPERATIONS, IncompleteRecord, relatives
from sandbox.graph.operations.parts.calls import P, X, call
from sandbox.graph.operations.record import MISSING, PARTS, Genetic, Operation
from sandbox.graph.operations.table import table_of

ROOT = Path(__file__).resolve().parents[3]
LOSS = """
import torch
import torch.nn.functional as F

def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    x = beta * ((policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps))
    return F.softplus(-x) - 0.25 * torch.special.ndtr(x)
"""
USE = """
import sys, torch
from sandbox import LossGraph, vet
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.operations import OPERATIONS, relatives
from sandbox.graph.printers import to_latex, to_python
from sandbox.identity.canonical import canonical_hash

source = sys.stdin.read()
graph = vet(source, numeric=False).graph
printed = to_python(graph)
assert "torch.special.ndtr(" in printed and "ndtr" in to_latex(graph)
assert canonical_hash(vet(printed, numeric=False).graph) == canonical_hash(graph)
arguments = [torch.randn(6).requires_grad_() for _ in range(4)]
scope = {}
exec(source, scope)
ours, theirs = compile_loss(graph)(*arguments, 0.3), scope["loss"](*arguments, 0.3)
torch.testing.assert_close(ours, theirs)
for a, b in zip(*[torch.autograd.grad(v.sum(), arguments) for v in (ours, theirs)]):
    torch.testing.assert_close(a, b)
assert relatives(OPERATIONS)["sigmoid"][-1] == "ndtr"
"""


def _the_record() -> str:
    """The record that CONTRIBUTING.md shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Allow another operation") :]
    found = re.search(r"```python\n(.*?)```", section, re.S)
    assert found is not None
    return found[1]


def _python(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _package_with(folder: Path, record: str) -> None:
    """A copy of the package with one more record, added as CONTRIBUTING.md says."""
    shutil.copytree(Path(sandbox.__file__).parent, folder / "sandbox")
    family = folder / "sandbox" / "graph" / "operations" / "records" / "functions.py"
    text = family.read_text()
    assert text.endswith("\n)\n")
    family.write_text(text[: -len(")\n")] + f"{record.rstrip()},\n)\n")


def test_the_record_that_contributing_shows_is_all_that_a_new_operation_needs(tmp_path: Path) -> None:
    _package_with(tmp_path, _the_record())
    (tmp_path / "probit.py").write_text(LOSS)
    checked = _python(tmp_path, "-m", "sandbox", "check", "--json", "probit.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (verdict,) = json.loads(checked.stdout)
    assert verdict["status"] == "accepted"
    used = _python(tmp_path, "-c", USE, given=LOSS)
    assert used.returncode == 0, used.stderr


def test_a_record_without_its_edges_fails_at_import_and_names_them(tmp_path: Path) -> None:
    record = "".join(line for line in _the_record().splitlines(keepends=True) if "edges=" not in line)
    _package_with(tmp_path, record)
    failed = _python(tmp_path, "-m", "sandbox", "rules")
    assert failed.returncode != 0
    assert "the operation 'ndtr' lacks the part 'edges': where it can change a loss abruptly" in failed.stderr


@pytest.mark.parametrize("part", PARTS)
def test_a_record_that_lacks_a_part_is_refused_and_the_part_named(part: str) -> None:
    with pytest.raises(
        IncompleteRecord, match=f"the operation 'tanh' lacks the part '{part}': {re.escape(PARTS[part])}"
    ):
        _changed("tanh", **{part: MISSING})


@pytest.mark.parametrize(
    ("name", "parts", "told"),
    [
        ("tanh", {"rule": "elementwize"}, "'rule': 'elementwize' is none of input"),
        ("tanh", {"result": "double"}, "'result': 'double' is none of float"),
        ("tanh", {"kernel": "torch.tanh"}, "'kernel': expected a function, got 'torch.tanh'"),
        (
            "tanh",
            {"calls": (call("torch.tanh", X, P("out", "int", 0)),)},
            "'calls': the parameter 'out' of torch.tanh is no attribute",
        ),
        ("tanh", {"calls": (call("torch.tanh", X, X),)}, "'calls': torch.tanh has 2 operands, expected 1 to 1"),
        (
            "slice",
            {"calls": (call("Tensor.slice", X),)},
            "'calls': Tensor.slice has no parameter for its attribute 'dim'",
        ),
        ("sum", {"order": None}, "'order': an operation along axes says"),
        ("sum", {"counts": None}, "'counts': an operation along axes says"),
        ("tanh", {"genetic": Genetic(tunable={"slope": (0.0, 1.0)})}, "'genetic': a tunable attribute is no number"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(name: str, parts: dict[str, object], told: str) -> None:
    with pytest.raises(IncompleteRecord, match=f"the operation '{name}' has a wrong part {told}"):
        _changed(name, **parts)


def test_the_table_refuses_two_records_of_one_name_or_of_one_call() -> None:
    with pytest.raises(IncompleteRecord, match="two records of the operation 'tanh'"):
        table_of([OPERATIONS["tanh"], OPERATIONS["tanh"]])
    with pytest.raises(IncompleteRecord, match=r"torch\.sinh is a call of 'sinh' and of 'sech'"):
        table_of([OPERATIONS["sinh"], _changed("sinh", name="sech")])


def test_what_the_proposer_may_not_use_cannot_stand_in_anything_s_place() -> None:
    with pytest.raises(
        IncompleteRecord, match="the operation 'exp' has a wrong part 'genetic': the proposer may not use 'log2'"
    ):
        table_of([_changed("exp", genetic=Genetic(replaced_by=("log2",))), OPERATIONS["log2"]])
    assert all(OPERATIONS[other].genetic.allowed for others in relatives(OPERATIONS).values() for other in others)


def _changed(own: str, **parts: object) -> Operation:
    """The record of an operation with other parts."""
    return dataclasses.replace(OPERATIONS[own], **parts)
