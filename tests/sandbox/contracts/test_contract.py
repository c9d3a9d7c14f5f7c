"""Contract records: an invalid one is refused by name, and a valid one reaches the jail and the vetting workers as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import VerdictStatus, VetPool, known
from sandbox.contracts.contract import (
    _REGISTERED,
    BATCH,
    CLASSIFICATION,
    CONTRACTS,
    Argument,
    Contract,
    ContractError,
    adopt,
    contract_named,
    register,
)
from sandbox.contracts.references import BrokenReference, located, require_module, resolve
from sandbox.execute.evaluate import Evaluator
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import GraphError
from sandbox.identity.compare import same_loss
from sandbox.identity.points.comparison import Comparison
from sandbox.numeric.checks import general
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.verdicts.verdict import Severity

LABELS = replace(
    CLASSIFICATION, name="labels", checks=Contract.__dataclass_fields__["checks"].default,
    comparison=Contract.__dataclass_fields__["comparison"].default, losses=None, seeds=(), baseline=None,
)  # fmt: skip
"""A contract with the arguments of classification, and no optional part."""
GOOD = "def f(logits, targets):\n    return F.cross_entropy(logits, targets, reduction='none')\n"


@pytest.fixture
def labels() -> Iterator[Contract]:
    yield register(LABELS)
    del _REGISTERED["labels"]


def test_a_contract_with_only_input_ranges_is_vetted_and_compared(labels: Contract) -> None:
    sources = {
        "good": GOOD,
        "scaled": GOOD.replace("return ", "return 2.0 * "),
        "other": GOOD.replace("return ", "return 0.1 * logits.square().mean(dim=1) + "),
        "detached": GOOD.replace("'none')", "'none').detach()"),
        "overflows": GOOD.replace("return ", "return torch.exp(torch.exp(logits.sum(dim=1))) + "),
        "ordered": GOOD.replace("return ", "return torch.arange(logits.shape[0]) * "),
    }
    with VetPool(contract="labels") as pool:
        verdicts = {name: pool.vet(source) for name, source in sources.items()}
    assert {name for name, v in verdicts.items() if v.status is VerdictStatus.ACCEPTED} == {"good", "scaled", "other"}
    refused = {name: v.refusals[0].rule for name, v in verdicts.items() if v.refusals}
    assert refused == {"detached": "SBX306", "overflows": "SBX304", "ordered": "SBX311"}
    assert "at logits = [" in verdicts["overflows"].refusals[0].message
    graphs = {name: v.graph for name, v in verdicts.items() if v.graph is not None}
    assert verdicts["good"].fingerprint.scale_key == verdicts["scaled"].fingerprint.scale_key  # type: ignore[union-attr]
    assert same_loss(graphs["good"], graphs["scaled"]).up_to == "scale"
    assert same_loss(graphs["good"], graphs["good"]).same and not same_loss(graphs["good"], graphs["other"]).same


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto_pair", "cpo", "cross_entropy", "focal", "mse"])
def test_the_general_tests_accept_published_losses_of_every_contract(name: str) -> None:
    findings, descriptors = general.run(Evaluator(known.graph(name)), 1)
    assert not [f for f in findings if f.severity is Severity.REFUSE]
    assert descriptors == {"coupled": name == "kto_pair"}


@pytest.mark.parametrize("contract", ["preference", "classification"])
def test_inputs_start_at_the_start_of_training_and_grow_with_the_spread(contract: str) -> None:
    import numpy as np

    inputs = inputs_of(contract)
    spreads = [inputs.distance(inputs.points(np.random.default_rng(0), (64,), spread)).max() for spread in (0, 1, 10)]
    assert spreads[0] < 1e-6 < spreads[1] < spreads[2]


def test_a_contract_is_the_same_after_a_round_trip_through_json() -> None:
    for contract in CONTRACTS.values():
        assert adopt(contract.to_json()) is contract


def test_adopting_a_changed_contract_replaces_the_registered_one(labels: Contract) -> None:
    changed = replace(labels, description="another")
    assert adopt(changed.to_json()) == changed == CONTRACTS["labels"]


def test_verifying_a_graph_loads_no_contract_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.contracts.contract.contract_named", lambda name: pytest.fail("looked for a package"))
    with pytest.raises(GraphError, match="unknown contract 'elsewhere'"):
        LossGraph.from_json('{"schema":1,"contract":"elsewhere","nodes":[["input",[],{"name":"x"}]],"output":0}')


def test_registering_again_changes_nothing_and_a_name_belongs_to_one_contract(labels: Contract) -> None:
    assert register(replace(labels)) is labels
    with pytest.raises(ContractError, match="contract 'labels': name: another contract has this name"):
        register(replace(labels, description="another"))
    with pytest.raises(ValueError, match="expected one of preference, classification, labels"):
        contract_named("label")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("name", "La bels", "name: expected lower-case letters"),
        ("arguments", (Argument("x", "", ("N",), learns=True),), "arguments: the shape of x does not begin with BATCH"),
        ("arguments", (Argument("x y", "", (BATCH,), learns=True),), "arguments: 'x y' is not a Python identifier"),
        (
            "arguments",
            (Argument("lambda", "", (BATCH,), learns=True),),
            "arguments: 'lambda' is not a Python identifier",
        ),
        ("arguments", (Argument("x", "", (BATCH, "N"), learns=True),), "arguments: unknown size 'N'"),
        ("arguments", (Argument("x", "", (BATCH,)),), "arguments: no float tensor has learns=True"),
        ("inputs", None, "inputs: expected 'package.module:attribute', got None"),
        ("comparison", None, "comparison: expected 'package.module:attribute', got None"),
        ("baseline", "focal", "baseline: 'focal' is not among the seeds"),
        ("seeds", ("focal",), "losses: missing, but the seeds focal are known losses"),
    ],
)
def test_an_invalid_record_is_an_error_that_names_the_part(part: str, value: object, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        replace(LABELS, **{part: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "reference", "message"),
    [
        ("inputs", "sandbox.nowhere:Inputs", "no module 'sandbox.nowhere'"),
        ("grammar", "nowhere", "expected 'package.module:attribute', got 'nowhere'"),
        ("losses", "sandbox.known:nowhere", "there is no 'nowhere' in the package 'sandbox.known'"),
        ("facts", "sandbox:../README.md", "expected 'package:path'"),
        ("line", Comparison, "expected 'package.module:attribute', got <class"),
        ("losses", Path("known"), "expected 'package:path', got PosixPath"),
    ],
)
def test_a_reference_that_does_not_resolve_is_reported_at_registration(
    part: str, reference: object, message: str
) -> None:
    with pytest.raises(ContractError, match=f"contract 'labels': {part}: {message}"):
        register(replace(LABELS, **{part: reference}))  # type: ignore[arg-type]
    assert "labels" not in CONTRACTS


@pytest.mark.parametrize("contract", list(CONTRACTS.values()), ids=list(CONTRACTS))
def test_every_reference_of_the_built_in_contracts_resolves(contract: Contract) -> None:
    contract.require_parts()
    for part in ("inputs", "checks", "comparison", "line", "grammar"):
        assert resolve(contract.part(part), part) is not None
    assert issubclass(resolve(contract.comparison, ""), Comparison)
    assert set(contract.seeds) <= set(known.names(contract.name))


def test_checking_a_reference_imports_nothing(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "explosive").mkdir()  # type: ignore[operator]
    for name in ("__init__", "parts"):
        (tmp_path / "explosive" / f"{name}.py").write_text("raise SystemExit('imported')")  # type: ignore[operator]
    monkeypatch.syspath_prepend(str(tmp_path))
    require_module("explosive.parts:THING", "x")
    assert located("explosive:parts.py", "x").name == "parts.py"
    assert "explosive" not in sys.modules
    with pytest.raises(BrokenReference, match="no module"):
        require_module("explosive.missing:THING", "x")
