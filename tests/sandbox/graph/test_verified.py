"""A VerifiedGraph cannot be created without verification, and code that computes, prints or compares losses accepts no other."""

from __future__ import annotations

import ast
import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sandbox import known
from sandbox.contracts import contract
from sandbox.contracts.contract import PREFERENCE
from sandbox.execute.batched import compile_stacked
from sandbox.execute.evaluate import Evaluator
from sandbox.execute.interpreter import compile_loss, compile_values
from sandbox.graph import GraphError, LossGraph, VerifiedGraph, verify
from sandbox.graph.dataflow import is_pointwise
from sandbox.graph.loss_graph import _Verified
from sandbox.graph.nodes import Node, make_node
from sandbox.graph.printers import to_python, to_trl
from sandbox.identity.compare import canonical_hash, fingerprint, same_loss
from sandbox.numeric import run

DPO = known.graph("dpo")
UNVERIFIED = LossGraph(DPO.contract, DPO.nodes, DPO.output)
TOO_WIDE = LossGraph(DPO.contract, (*DPO.nodes, make_node("cat", (DPO.output, DPO.output))), len(DPO.nodes))
"""A graph with two losses per pair, which the interpreter itself does not detect."""
PACKAGES = [Path(__file__).resolve().parents[3] / name for name in ("sandbox", "evo", "fitness", "analysis", "archive")]


def test_the_constructor_verifies() -> None:
    with pytest.raises(GraphError, match="concatenate"):
        VerifiedGraph(TOO_WIDE.contract, TOO_WIDE.nodes, TOO_WIDE.output)
    with pytest.raises(GraphError, match="concatenate"):
        verify(TOO_WIDE)


def test_attributes_of_directly_constructed_nodes_are_checked() -> None:
    forged = Node("softplus", (DPO.output,), {"beta": "__import__('os')", "threshold": 20.0})
    with pytest.raises(GraphError, match="not a valid beta of softplus") as error:
        VerifiedGraph(DPO.contract, (*DPO.nodes, forged), len(DPO.nodes))
    assert error.value.node == len(DPO.nodes)


def test_nodes_do_not_share_the_attributes_that_they_were_made_from() -> None:
    attrs: dict[str, Any] = {"beta": 1.0, "threshold": 20.0}
    nodes = [*DPO.nodes, Node("softplus", (DPO.output,), attrs)]
    graph = VerifiedGraph(DPO.contract, nodes, len(DPO.nodes))  # type: ignore[arg-type]
    attrs["beta"], nodes[0] = "forged", nodes[1]
    assert graph.nodes[-1].attrs["beta"] == 1.0 and graph.nodes[0] == DPO.nodes[0]


def test_a_verified_graph_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        DPO.output = 0  # type: ignore[misc]
    with pytest.raises(GraphError):
        replace(DPO, output=len(DPO.nodes))


def test_a_text_is_verified_once_in_a_row_as_long_as_its_contract_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = DPO.to_json() + " "
    first = LossGraph.from_json(text)
    assert LossGraph.from_json(text) is first and first == DPO
    monkeypatch.setitem(contract._REGISTERED, "preference", replace(PREFERENCE))
    again = LossGraph.from_json(text)
    assert again is not first and again == first and again.types == first.types


def test_the_last_verified_texts_are_kept_and_no_others() -> None:
    kept = _Verified(2)
    for text in "abca":
        kept.keep(text, DPO)
    assert [kept.get(text) for text in "abc"] == [DPO, None, DPO]


def test_an_edited_pickle_is_verified_when_it_is_loaded() -> None:
    data = pickle.dumps(DPO)
    assert pickle.loads(data) == DPO and pickle.loads(data).types == DPO.types
    with pytest.raises(GraphError):
        pickle.loads(data.replace(b"policy_chosen_logps", b"policy_chosen_other"))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_is_verified(copied: Callable[[VerifiedGraph], VerifiedGraph]) -> None:
    assert copied(DPO) == DPO and copied(DPO).types == DPO.types


def test_a_verified_graph_is_not_verified_again() -> None:
    assert verify(DPO) is DPO and DPO.pruned() is DPO


@pytest.mark.parametrize(
    "use",
    [
        lambda g: compile_values(g, [g.output]), compile_stacked, Evaluator, run.run, canonical_hash, fingerprint,
        lambda g: same_loss(g, g), to_python, to_trl, is_pointwise,
    ],
)  # fmt: skip
def test_no_function_that_computes_prints_or_compares_accepts_an_unverified_graph(use: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        use(UNVERIFIED)


def test_the_interpreter_verifies_an_unverified_graph() -> None:
    pairs = torch.linspace(-3.0, -1.0, 8).reshape(4, 2)
    assert torch.equal(compile_loss(UNVERIFIED)(*pairs, 0.1), compile_loss(DPO)(*pairs, 0.1))
    with pytest.raises(GraphError, match="concatenate"):
        compile_loss(TOO_WIDE)


def test_only_the_trust_boundaries_accept_an_unverified_graph() -> None:
    """All other functions take a VerifiedGraph, which mypy enforces. Add one here only if it verifies, or only reads data."""
    assert set(_taking("LossGraph")) == {
        "sandbox.graph.loss_graph.verify", "sandbox.graph.loss_graph.prune",
        "sandbox.execute.interpreter.compile_loss", "sandbox.vetting.vet.vet_graph", "sandbox.vetting.pool.vet_graph",
        "fitness.training.batches.as_function", "fitness.training.trainer.__init__",
        "fitness.workers.pool.score", "fitness.workers.pool.score_all", "fitness.workers.pool.one",
        "fitness.workers.pool.pair_margins", "fitness.workers.pool.save_policy",
        "analysis.plots.landscape.curve.along", "analysis.plots.landscape.curve.curve",
        "evo.proposing.genetic.builder.graft",
    }  # fmt: skip


def _taking(name: str) -> Iterator[str]:
    """The functions with an argument whose annotation contains a name."""
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            module, text = ".".join(path.relative_to(package.parent).with_suffix("").parts), path.read_text("utf-8")
            for node in ast.walk(ast.parse(text)) if name in text else ():
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                    said = [ast.unparse(a.annotation).replace("VerifiedGraph", "") for a in given if a.annotation]
                    if any(name in annotation for annotation in said):
                        yield f"{module}.{node.name}"


def test_a_subclass_that_could_leave_the_check_out_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="no subclasses"):
        type("Unchecked", (VerifiedGraph,), {"__post_init__": lambda self: None})
