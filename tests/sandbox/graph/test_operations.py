"""The records of the operations: each is complete, and a new operation needs one more record only."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from recipes import copied, examples, python
from sandbox.graph.operations import OPERATIONS, Attr, IncompleteRecord, relatives
from sandbox.graph.operations.parts.calls import P, X, call
from sandbox.graph.operations.record import MISSING, PARTS, Genetic, Operation
from sandbox.graph.operations.table import table_of

LOSS = """
import torch
import torch.nn.functional as F

def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    x = beta * ((policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps))
    return F.softplus(-x) - 0.02 * torch.sinc(x)
"""
USE = """
import torch
from sandbox import vet
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.operations import OPERATIONS, relatives
from sandbox.graph.printers import to_latex, to_python
from sandbox.identity.canonical import canonical_hash

source = open("wave.py").read()
graph = vet(source, numeric=False).graph
printed = to_python(graph)
assert "torch.sinc(" in printed and "sinc" in to_latex(graph)
assert canonical_hash(vet(printed, numeric=False).graph) == canonical_hash(graph)
torch.manual_seed(0)
arguments = [torch.randn(6).requires_grad_() for _ in range(4)]
scope = {}
exec(source, scope)
ours, theirs = compile_loss(graph)(*arguments, 0.3), scope["loss"](*arguments, 0.3)
torch.testing.assert_close(ours, theirs)
for a, b in zip(*[torch.autograd.grad(v.sum(), arguments) for v in (ours, theirs)]):
    torch.testing.assert_close(a, b)
assert relatives(OPERATIONS)["sigmoid"][-1] == "sinc"
"""


FAMILY = "sandbox/graph/operations/records/functions.py"


def _with_the_record_of_the_page(folder: Path, without: str = "\0") -> Path:
    """A copy of the packages with the record from CONTRIBUTING.md, except its lines that contain `without`."""
    record = examples("CONTRIBUTING.md", "## Allow another operation")[FAMILY]
    text = (copied(folder) / FAMILY).read_text()
    assert text.endswith("\n)\n")
    kept = "".join(line for line in record.splitlines(keepends=True) if without not in line)
    (folder / FAMILY).write_text(text.removesuffix(")\n") + kept.rstrip() + ",\n)\n")
    return folder


def test_the_record_in_contributing_is_enough_for_a_new_operation(tmp_path: Path) -> None:
    _with_the_record_of_the_page(tmp_path)
    (tmp_path / "wave.py").write_text(LOSS)
    checked = python(tmp_path, "-m", "sandbox", "check", "--json", "wave.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (verdict,) = json.loads(checked.stdout)
    assert verdict["status"] == "accepted"
    used = python(tmp_path, "-c", USE)
    assert used.returncode == 0, used.stderr


def test_a_record_without_edges_fails_at_import_and_names_the_part(tmp_path: Path) -> None:
    failed = python(_with_the_record_of_the_page(tmp_path, without="edges="), "-m", "sandbox", "rules")
    assert failed.returncode != 0
    assert "the operation 'sinc' lacks the part 'edges': where it can change a loss abruptly" in failed.stderr


@pytest.mark.parametrize("part", PARTS)
def test_a_record_without_a_required_part_is_refused_and_the_part_named(part: str) -> None:
    with pytest.raises(
        IncompleteRecord, match=f"the operation 'tanh' lacks the part '{part}': {re.escape(PARTS[part])}"
    ):
        _changed("tanh", **{part: MISSING})


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        ("tanh", {"rule": "elementwize"}, "'rule': 'elementwize' is none of input"),
        ("tanh", {"result": "double"}, "'result': 'double' is none of float"),
        ("tanh", {"booleans": "some"}, "'booleans': 'some' is none of any"),
        ("sum", {"order": "sort"}, "'order': 'sort' is none of None, free"),
        ("tanh", {"parity": "uneven"}, "'parity': 'uneven' is none of None, even"),
        ("elu", {"attrs": {"alpha": Attr("numbre", 1.0)}}, "'attrs': alpha is of the unknown kind 'numbre'"),
        ("tanh", {"edges": None}, "'edges': expected Edges, got None"),
        ("tanh", {"gradient": True}, "'gradient': expected Gradient, got True"),
        ("tanh", {"cost": 3}, "'cost': expected Cost, got 3"),
        ("tanh", {"genetic": None}, "'genetic': expected Genetic, got None"),
        ("tanh", {"calls": "torch.tanh"}, "'calls': expected tuple, got 'torch.tanh'"),
        ("tanh", {"kernel": "torch.tanh"}, "'kernel': expected a function, got 'torch.tanh'"),
        (
            "tanh",
            {"calls": (call("torch.tanh", X, P("out", "int", 0)),)},
            "'calls': the parameter 'out' of torch.tanh is not one of its attributes",
        ),
        ("tanh", {"calls": (call("torch.tanh", X, X),)}, "'calls': torch.tanh has 2 operands, expected 1 to 1"),
        (
            "slice",
            {"calls": (call("Tensor.slice", X),)},
            "'calls': Tensor.slice has no parameter for its attribute 'dim'",
        ),
        ("sum", {"order": None}, "'order': required along axes"),
        ("sum", {"counts": None}, "'counts': required along axes"),
        (
            "tanh",
            {"genetic": Genetic(tunable={"slope": (0.0, 1.0)})},
            "'genetic': a tunable attribute is not of the kind 'number'",
        ),
    ],
)
def test_an_invalid_part_is_refused(name: str, parts: dict[str, object], message: str) -> None:
    with pytest.raises(IncompleteRecord, match=f"the operation '{name}' has a wrong part {message}"):
        _changed(name, **parts)


def test_the_table_refuses_two_records_with_the_same_name_or_call() -> None:
    with pytest.raises(IncompleteRecord, match="two records of the operation 'tanh'"):
        table_of([OPERATIONS["tanh"], OPERATIONS["tanh"]])
    with pytest.raises(IncompleteRecord, match=r"torch\.sinh is a call of 'sinh' and of 'sech'"):
        table_of([OPERATIONS["sinh"], _changed("sinh", name="sech")])


def test_an_operation_that_the_proposer_may_not_use_cannot_be_a_replacement() -> None:
    with pytest.raises(
        IncompleteRecord, match="the operation 'exp' has a wrong part 'genetic': the proposer may not use 'log2'"
    ):
        table_of([_changed("exp", genetic=Genetic(replaced_by=("log2",))), OPERATIONS["log2"]])
    assert all(OPERATIONS[other].genetic.allowed for others in relatives(OPERATIONS).values() for other in others)


def _changed(own: str, **parts: object) -> Operation:
    """The record of an operation with some parts replaced."""
    return dataclasses.replace(OPERATIONS[own], **parts)
