"""Edits of a graph: which parts are found, and that an edit gives the loss that it describes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sandbox import known
from sandbox.graph.edits.edit import Action, Edit, EditError, attempted, edited
from sandbox.graph.edits.parts import Part, PartKind, constants, parts
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import to_python
from sandbox.identity.canonical import canonical_hash
from sandbox.vetting.vet import vet

HEAD = "def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):\n"
RHO = "(policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"
ALL = [name for contract in ("preference", "classification") for name in known.names(contract)]


def graph_of(expression: str) -> VerifiedGraph:
    """The graph of an expression of rho and x = beta * rho."""
    source = f"{HEAD}    rho = {RHO}\n    x = beta * rho\n    return {expression}\n"
    verdict = vet(source, numeric=False)
    assert verdict.graph is not None, verdict.findings
    return verdict.graph


def removed(whole: str, kind: PartKind, expression: str, change: str = "") -> VerifiedGraph:
    """The loss without its only part of this kind, expression and change."""
    graph = graph_of(whole)
    found = [p for p in parts(graph) if p.kind is kind and p.text == expression and p.change.startswith(change)]
    assert len(found) == 1, [(p.kind.value, p.text, p.change) for p in parts(graph)]
    return edited(graph, [found[0].edit])


@pytest.mark.parametrize(
    ("whole", "kind", "expression", "change", "rest"),
    [
        ("F.softplus(-x) + 0.05 * rho**2", PartKind.TERM, "0.05 * rho ** 2", "dropped", "F.softplus(-x)"),
        ("F.softplus(-x) - 0.1 * torch.tanh(x)", PartKind.TERM, "- 0.1 * torch.tanh(x)", "", "F.softplus(-x)"),
        ("F.softplus(-x) + (torch.exp(-x) + 0.3)", PartKind.TERM, "torch.exp(-x)", "", "F.softplus(-x) + 0.3"),
        ("F.softplus(-x) + (torch.exp(-x) + 0.3)", PartKind.CONSTANT, "torch.exp(-x) + 0.3", "0.3 becomes 0",
         "F.softplus(-x) + torch.exp(-x)"),
        ("torch.sigmoid(-x) * F.softplus(-x)", PartKind.FACTOR, "torch.sigmoid(-x)", "", "F.softplus(-x)"),
        ("F.softplus(-x) / (1 + x**2)", PartKind.FACTOR, "/ 1 + x ** 2", "", "F.softplus(-x)"),
        ("0.7 * F.softplus(-x)", PartKind.CONSTANT, "0.7 * F.softplus(-x)", "0.7 becomes 1", "F.softplus(-x)"),
        ("F.softplus(-x).clamp(max=9.0)", PartKind.OPERATION, "torch.clamp(F.softplus(-x), max=9.0)", "", "F.softplus(-x)"),
        ("torch.relu(1 - torch.abs(x))", PartKind.OPERATION, "torch.abs(x)", "", "torch.relu(1 - x)"),
        ("torch.where(x > 0, F.softplus(-x), -x)", PartKind.BRANCH, "torch.where(x > 0, F.softplus(-x), -x)",
         "replaced by F.softplus(-x)", "F.softplus(-x)"),
        ("torch.where(x > 0, F.softplus(-x), -x)", PartKind.BRANCH, "torch.where(x > 0, F.softplus(-x), -x)",
         "replaced by -x", "-x"),
        ("torch.maximum(-x, F.softplus(-x))", PartKind.BRANCH, "torch.maximum(-x, F.softplus(-x))", "replaced by -x", "-x"),
        ("F.softplus(-x, beta=2)", PartKind.CONSTANT, "F.softplus(-x, beta=2.0)", "2 becomes 1", "F.softplus(-x)"),
        ("F.softplus(-x) * F.softplus(-x).detach()", PartKind.OPERATION, "torch.detach(F.softplus(-x))", "",
         "F.softplus(-x) * F.softplus(-x)"),
    ],
)  # fmt: skip
def test_the_edit_of_a_part_gives_the_loss_without_it(whole, kind, expression, change, rest):
    assert canonical_hash(removed(whole, kind, expression, change)) == canonical_hash(graph_of(rest))


@pytest.mark.parametrize(
    ("expression", "no_part"),
    [
        ("-F.logsigmoid(x)", "-F.logsigmoid(x)"),
        ("-1.0 * F.logsigmoid(x)", "-1.0 * F.logsigmoid(x)"),
        ("(1 - torch.sigmoid(x)) * F.softplus(-x)", "1"),
        ("F.softplus(-x) + 1e-6 * torch.sin(x)", "1e-06"),
        ("(x > 0.3).float() * F.softplus(-x)", "0.3"),
    ],
)
def test_signs_complements_tiny_weights_and_thresholds_are_not_reset(expression, no_part):
    resets = [p for p in parts(graph_of(expression)) if p.kind is PartKind.CONSTANT]
    assert not [p for p in resets if p.change.startswith(no_part)], resets


def test_every_use_of_a_constant_and_every_attribute_that_matters_is_listed():
    found = constants(
        graph_of("0.5 * F.softplus(-x, beta=2) + 0.5 * torch.exp(-x) + (x > 0.3) * torch.clamp(x, max=4.0)")
    )
    assert sorted((c.value, c.neutral) for c in found if c.value != 0.3) == [
        (0.5, 1.0),
        (0.5, 1.0),
        (2.0, 1.0),
        (4.0, None),
    ]
    assert [c.neutral for c in found if c.value == 0.3] == [None]


@pytest.mark.parametrize("name", ALL)
def test_the_parts_of_published_losses_give_other_valid_losses(name):
    graph = known.graph(name)
    for part in parts(graph):
        changed = edited(graph, [part.edit])
        assert changed != graph and changed.operations <= graph.operations
        assert Edit.from_json(part.edit.to_json()) == part.edit
    for constant in constants(graph):
        assert canonical_hash(edited(graph, [constant.to(constant.value)])) == canonical_hash(graph)


def test_edits_combine_in_any_order_and_leave_no_dead_nodes():
    graph = graph_of("0.7 * torch.clamp(F.softplus(-x), max=9.0) + 0.05 * rho**2 + 0.3")
    chosen = [p.edit for p in parts(graph) if p.text.startswith(("0.05 * rho", "torch.clamp", "0.7", "…", "0.7 *"))]
    wanted = [p for p in parts(graph) if p.change in ("dropped", "0.3 becomes 0", "0.7 becomes 1") or "clamp" in p.text]
    kept = [
        p.edit
        for p in wanted
        if p.text == "0.05 * rho ** 2" or p.change.endswith(("0", "1")) or p.kind is PartKind.OPERATION
    ]
    reduced = edited(graph, kept)
    assert chosen and reduced == edited(graph, kept[::-1])
    assert canonical_hash(reduced) == canonical_hash(graph_of("F.softplus(-x)"))
    assert reduced.operations == graph_of("F.softplus(-x)").operations, to_python(reduced)


def test_both_operands_of_a_sum_may_go():
    graph = graph_of("F.softplus(-x) + (0.1 * torch.exp(-x) + 0.2 * torch.tanh(x))")
    gone = [p.edit for p in parts(graph) if p.kind is PartKind.TERM and p.text.startswith(("0.1 *", "0.2 *"))]
    assert len(gone) == 2
    assert canonical_hash(edited(graph, gone)) == canonical_hash(graph_of("F.softplus(-x)"))


def test_without_anything_left_the_edit_is_no_loss():
    graph = graph_of("F.softplus(-x) + torch.exp(-x)")
    everything = [
        p.edit for p in parts(graph) if p.text in ("F.softplus(-x)", "torch.exp(-x)") and p.change == "dropped"
    ]
    assert len(everything) == 2 and attempted(graph, everything) is None


def test_a_constant_can_take_the_value_of_a_related_loss():
    child, parent = (graph_of(f"F.softplus(-x) + {weight} * rho**2") for weight in (0.05, 0.2))
    found = [p for p in parts(child, [graph_of("F.softplus(-x)"), parent]) if p.kind is PartKind.CONSTANT]
    assert [p.change for p in found] == ["0.05 becomes 1", "2 becomes 1", "0.05 becomes 0.2"] or [
        p.change for p in found
    ] == ["2 becomes 1", "0.05 becomes 1", "0.05 becomes 0.2"]
    assert canonical_hash(edited(child, [found[-1].edit])) == canonical_hash(parent)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit(Action.DROP, 99, 0), "nodes 0 to"),
        (Edit(Action.KEEP, 4, 7), "operands, got an edit of 7"),
        (Edit(Action.SET, 5, "beta", 1.0), "has no attribute 'beta'"),
        (Edit(Action.SET, 5, 0, 1.0), "is no constant"),
        (Edit(Action.DROP, 9, 0), "can be dropped"),
    ],
)
def test_an_edit_that_does_not_fit_the_graph_is_named(edit, told):
    graph = known.graph("dpo")
    place = next((i for i, n in enumerate(graph.nodes) if n.op == "logsigmoid"), 0) if edit.node == 9 else edit.node
    with pytest.raises(EditError, match=told):
        edited(graph, [Edit(edit.action, place, edit.slot, edit.value)])


@pytest.mark.parametrize(
    "data", [None, [], ["drop", 1], ["explode", 1, 0], ["drop", "1", 0], ["drop", 1, "x"], ["drop", 1, 0, 0.5], ["set", 1, 0],
             ["set", 1, 0, "0.5"], ["set", 1, 0, True], ["drop", True, 0]],
)  # fmt: skip
def test_only_edits_are_read_from_json(data):
    with pytest.raises(EditError):
        Edit.from_json(data)


def test_a_part_is_shown_within_a_line():
    graph = known.graph("aqfl")
    assert all(0 < len(part.text) < 120 and 0 < len(part.change) < 120 for part in parts(graph))
    assert all(isinstance(part, Part) for part in parts(graph))


def test_edits_need_no_torch():
    code = (
        "import sys; from sandbox import known; from sandbox.graph.edits.parts import parts; parts(known.graph('aqfl')); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
