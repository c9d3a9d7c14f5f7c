"""The built-in proposer: all that it gives verifies, repeats from its seed, and mostly trains."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.proposing.genetic import KINDS, Parent, propose
from evo.proposing.genetic.builder import Builder
from evo.proposing.genetic.combine import combine
from evo.proposing.genetic.explore import explore
from evo.proposing.genetic.grammars.classification import _relative
from evo.proposing.genetic.grammars.preference import margin
from evo.proposing.genetic.proposal import MAX_NAME, Hints
from evo.proposing.genetic.refine import LARGE, refine
from evo.proposing.genetic.repair import repair
from evo.proposing.genetic.simplification import sides, simplified, simplify
from evo.proposing.genetic.structure import Anatomy, replaced_by_operand, size_with_operand
from evo.search.operators import OPERATORS as OPERATORS_OF_SEARCH
from sandbox import known
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.operations import OPERATIONS
from sandbox.numeric import run
from sandbox.verdicts.verdict import Severity

CONTRACTS = ("preference", "classification")
SEEDS = st.integers(0, 2**32)
BRED = [operator.name for operator in OPERATORS_OF_SEARCH]


def dpo() -> Parent:
    builder = Builder("preference")
    return Parent(builder.finish((-margin(builder)).softplus()), "dpo")


def hinge() -> Parent:
    builder = Builder("preference")
    return Parent(builder.finish((1.0 - margin(builder)).relu()), "hinge")


def trains(graph: VerifiedGraph, seed: int = 0) -> bool:
    """Whether loss and gradients are finite on typical inputs, and something pulls."""
    generator = torch.Generator().manual_seed(seed)
    if graph.contract == "preference":
        logps = [-60 + 8 * torch.randn(12, generator=generator) for _ in range(4)]
        learning = [t.requires_grad_() for t in logps[:2]]
        losses = compile_loss(graph)(*logps, 0.1)
    else:
        learning = [torch.randn(12, 5, generator=generator).requires_grad_()]
        losses = compile_loss(graph)(learning[0], torch.randint(0, 5, (12,), generator=generator))
    if losses.shape != (12,) or not losses.requires_grad:
        return False
    pulls = torch.autograd.grad(losses.sum(), learning, allow_unused=True)
    found = [p for p in pulls if p is not None]
    return bool(losses.isfinite().all() and all(p.isfinite().all() for p in found) and any(p.any() for p in found))


def lineage(contract: str, seed: int, length: int = 12) -> list[tuple[str, VerifiedGraph]]:
    """Proposals by every operator, each bred from earlier ones."""
    rng = Random(seed)
    pool = [Parent(p.graph, p.name) for p in (explore(rng, contract) for _ in range(2))]
    made = []
    for _ in range(length):
        operator = rng.choice(BRED)
        proposal = propose(rng, contract, operator, rng.sample(pool, 2), Hints(["SBX304"]))
        pool.append(Parent(proposal.graph, proposal.name))
        made.append((operator, proposal.graph))
    return made


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(CONTRACTS))
def test_whatever_is_bred_verifies_and_stays_of_a_readable_size(seed: int, contract: str) -> None:
    for _, graph in lineage(contract, seed):
        assert VerifiedGraph.from_json(graph.to_json()) == graph
        assert graph.operations < 2 * LARGE
        assert all(OPERATIONS[node.op].genetic.allowed for node in graph.nodes)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(CONTRACTS), st.sampled_from(BRED))
def test_the_same_seed_gives_the_same_proposal(seed: int, contract: str, operator: str) -> None:
    def draw() -> object:
        rng = Random(seed)
        parents = [Parent(p.graph, p.name) for p in (explore(rng, contract) for _ in range(2))]
        return propose(rng, contract, operator, parents, Hints(["SBX304"]))

    assert draw() == draw()


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(CONTRACTS))
def test_names_are_short_identifiers_and_thoughts_plain_sentences(seed: int, contract: str) -> None:
    rng = Random(seed)
    parents = [Parent(explore(rng, contract).graph, name) for name in ("Une Perte!", "x" * 90)]
    for operator in BRED:
        proposal = propose(rng, contract, operator, parents)
        assert proposal.name.isidentifier() and proposal.name.isascii() and len(proposal.name) <= MAX_NAME
        assert proposal.thought.endswith(".") and "\n" not in proposal.thought


@pytest.mark.parametrize("contract", CONTRACTS)
def test_nearly_all_losses_have_finite_gradients_on_typical_inputs(contract: str) -> None:
    graphs = [graph for seed in range(12) for _, graph in lineage(contract, seed)]
    assert sum(map(trains, graphs)) >= 0.95 * len(graphs)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_exploring_rarely_gives_the_same_loss_twice(contract: str) -> None:
    rng = Random(5)
    drawn = [explore(rng, contract).graph.to_json() for _ in range(200)]
    assert len(set(drawn)) >= 180


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_refining_changes_the_loss_and_keeps_both_completions_in_it(seed: int) -> None:
    for parent in (dpo(), hinge()):
        child = refine(Random(seed), "preference", [parent])
        assert child.graph.nodes != parent.graph.nodes
        assert Anatomy(child.graph).pulled >= {"policy_chosen_logps", "policy_rejected_logps"}
        assert child.name.startswith(parent.name)


def test_a_favoured_kind_of_change_is_drawn_more_often_and_told() -> None:
    def drawn(hints: Hints) -> Counter[str]:
        pairs = [("refine", [dpo()]), ("combine", [dpo(), hinge()])]
        made = [propose(Random(i), "preference", of, parents, hints) for i in range(150) for of, parents in pairs]
        return Counter(proposal.change for proposal in made)

    plain, hinted = drawn(Hints()), drawn(Hints(favoured={"smoothing": 8.0, "mixture": 0.1}))
    assert {*plain, *hinted} <= {*KINDS}
    assert hinted["smoothing"] > 3 * plain["smoothing"] > 0 and 3 * hinted["mixture"] < plain["mixture"]
    assert explore(Random(0), "preference").change == ""


def test_a_parent_above_the_limit_of_size_is_simplified_and_changed_at_once() -> None:
    builder = Builder("preference")
    loss = (-margin(builder)).softplus()
    for k in range(1, 25):
        loss = loss + (0.01 * k * (0.1 * k - margin(builder))).softplus()
    parent = Parent(builder.finish(loss), "large")
    assert parent.graph.operations > LARGE
    child = refine(Random(0), "preference", [parent])
    assert child.change != "simplification" and child.thought.startswith("From large: simplified it to ")
    assert child.graph.operations < parent.graph.operations


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_combining_uses_both_parents_and_says_which(seed: int) -> None:
    child = combine(Random(seed), "preference", [dpo(), hinge()])
    assert "dpo" in child.thought and "hinge" in child.thought
    assert child.graph.nodes not in (dpo().graph.nodes, hinge().graph.nodes)


@pytest.mark.parametrize("name", known.names())
def test_every_published_loss_can_be_bred_from(name: str) -> None:
    parent = Parent(known.graph(name), name)
    for seed in range(6):
        for operator in ("refine", "combine", "repair"):
            child = propose(Random(seed), parent.graph.contract, operator, [parent], Hints(["SBX305"]))
            assert child.graph.nodes != parent.graph.nodes
            assert name.split("_")[0] in child.thought


def _with_constants(a: float, b: float) -> Parent:
    builder = Builder("preference")
    x = margin(builder)
    return Parent(builder.finish((a - b * x).softplus() + b * (-x).sigmoid()), f"loss_{a:g}")


def test_two_losses_of_one_form_are_combined_by_their_constants() -> None:
    first, second = _with_constants(0.5, 2.0), _with_constants(0.8, 1.25)
    between = [
        c for c in (combine(Random(seed), "preference", [first, second]) for seed in range(40)) if "between" in c.name
    ]
    assert len(between) > 10
    for child in between:
        assert [n.op for n in child.graph.nodes] == [n.op for n in first.graph.nodes]
        found = [float(n.attrs["value"]) for n in child.graph.nodes if n.op == "const"]
        # Half the way on a logarithmic scale beyond either parent, at most.
        assert all(0.5 * 1.6**-0.51 <= value <= 2.0 * 1.6**0.51 for value in found)


def test_a_term_is_lent_whole() -> None:
    builder = Builder("preference")
    x = margin(builder)
    weighed = (2.0 * x).sigmoid().detach() * (-x).softplus()
    lender = Parent(builder.finish(weighed + 0.1 * x.square()), "lender")
    lent = [combine(Random(s), "preference", [hinge(), lender]) for s in range(80)]
    terms = [c for c in lent if c.name.endswith("__lent") and "to hinge" in c.thought]
    assert terms
    assert all(any(n.op == "square" for n in c.graph.nodes) or "softplus" in c.graph.to_json() for c in terms)
    assert all(trains(c.graph) for c in terms)


def test_a_constant_is_changed_by_more_than_noise_hides() -> None:
    thoughts = [refine(Random(s), "preference", [_with_constants(0.5, 2.0)]).thought for s in range(300)]
    found = [re.search(r"changed the constant (\S+) of .* to (\S+)\.$", thought) for thought in thoughts]
    factors = [float(m[2]) / float(m[1]) for m in found if m]
    assert len(factors) > 10 and all(1.19 <= max(factor, 1 / factor) <= 2.21 for factor in factors)


def test_a_weight_relative_to_the_batch_is_about_one_on_average_also_when_a_training_starts() -> None:
    """Relative to the spread of x instead of its middle, it would close for all items at once."""
    logits = -3.0 + 0.01 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        builder = Builder("classification")
        weight = compile_loss(builder.finish(_relative(Random(seed), builder).value))
        assert 0.8 < float(weight(logits, torch.arange(200) % 5).mean()) < 1.2


def testsimplifying_a_weighed_loss_never_leaves_the_weight_alone() -> None:
    """The sigmoid alone would push the margin down."""
    builder = Builder("preference")
    x = margin(builder)
    graph = builder.finish((2.0 * x).sigmoid() * (-x).softplus())
    for seed in range(30):
        change = simplify(Random(seed), graph)
        assert change is not None and "softplus" in {n.op for n in change[0].nodes}


def testsimplifying_never_leaves_a_term_that_does_not_see_the_labels() -> None:
    builder = Builder("classification")
    log_p = builder.input("logits").apply("log_softmax", dim=1)
    right = (log_p * builder.input("targets").apply("one_hot", symbol="C")).apply("sum", dim=1)
    smoothing = (0.1 * log_p.square() - 0.5 * log_p - 0.1 * log_p.apply("exp")).apply("mean", dim=1)
    graph = builder.finish(0.2 * -right + smoothing)  # the term is the larger side
    for seed in range(30):
        simpler = simplified(Random(seed), graph, 1)
        assert "targets" in simpler.inputs


def test_a_refinement_may_write_the_margin_without_the_reference() -> None:
    children = [refine(Random(seed), "preference", [dpo()]) for seed in range(400)]
    free = [c for c in children if c.graph.inputs == {"policy_chosen_logps", "policy_rejected_logps", "beta"}]
    assert free and all("without the reference" in c.thought for c in free)


def test_most_short_searches_try_losses_that_read_the_reference_in_other_ways() -> None:
    """By general forms alone, weights and margins over all four log-probabilities, 24 proposals from DPO hold such a loss."""

    def tried(seed: int) -> bool:
        rng = Random(seed)
        operators = ["explore" if k % 5 == 0 else "refine" for k in range(24)]
        thoughts = [propose(rng, "preference", operator, [dpo()]).thought for operator in operators]
        return any("the reference's margin" in t or "without the reference" in t for t in thoughts)

    assert sum(map(tried, range(20))) >= 14


def test_one_parent_is_combined_with_a_grown_loss() -> None:
    assert "dpo" in combine(Random(0), "preference", [dpo()]).thought


def test_combining_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one parent"):
        combine(Random(0), "preference", [])


def test_an_operator_without_parents_explores() -> None:
    assert propose(Random(0), "preference", "refine") == explore(Random(0), "preference")


def test_a_contract_without_a_grammar_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="preference, classification"):
        explore(Random(0), "regression")


def test_margins_are_found_with_their_direction() -> None:
    builder = Builder("preference")
    x = margin(builder)
    graph = builder.finish((-x).softplus() + x.square())
    found = Anatomy(graph).margins
    assert sorted(found.values()) == [-1, 1]


def test_repairing_an_overflow_makes_the_loss_finite_far_out() -> None:
    builder = Builder("preference")
    raw = builder.input("policy_rejected_logps") - builder.input("policy_chosen_logps")
    refused = builder.finish(raw.apply("exp"))
    far = [torch.full((4,), v, requires_grad=True) for v in (-900.0, -100.0, -400.0, -400.0)]
    assert not compile_loss(refused)(*far, 0.1).isfinite().all()
    mended = repair(Random(1), "preference", [Parent(refused)], Hints(["SBX304"]))
    losses = compile_loss(mended.graph)(*far, 0.1)
    losses.sum().backward()
    assert losses.isfinite().all() and far[0].grad is not None and (far[0].grad < 0).all()


def broken(rule: str) -> VerifiedGraph:
    """A loss that the sandbox refuses for one reason."""
    builder = Builder("preference")
    x = margin(builder)
    slope = 4.0 * x
    losses = {
        "SBX301": lambda: (-x).softplus() + 0.01 * builder.op("floordiv", x, 2.0),
        "SBX304": lambda: -(x.apply("log")),
        "SBX305": lambda: builder.op("where", x.apply("gt", 0.0), -x.apply("sqrt"), -x),
        "SBX306": lambda: (-x).softplus().detach(),
        "SBX307": lambda: (-x).softplus() - (-x).softplus() + x.apply("sign"),
        "SBX308": lambda: x * 0.0 + 1.0,
        "SBX309": lambda: slope.square(),
        "SBX310": lambda: slope.softplus(),
        "SBX311": lambda: (-x + 0.5 * x.apply("roll", shift=1, dim=0)).softplus(),
        "SBX312": lambda: 1e-10 * (-x).softplus(),
        "SBX313": lambda: (-x).softplus() - x / (x.apply("abs") + 1e-10),
        "SBX329": lambda: (-x).relu(),
    }
    return builder.finish(losses[rule]())


MENDED = ("301", "304", "305", "306", "307", "308", "309", "310", "311", "312", "313", "329")


@pytest.mark.parametrize("rule", [f"SBX{number}" for number in MENDED])
def test_what_the_sandbox_refuses_is_mended_by_its_finding(rule: str) -> None:
    refused = broken(rule)
    found = {f.rule for f in run.run(refused, seed=3).findings if f.severity is Severity.REFUSE}
    assert rule in found
    for seed in range(5):
        mended = repair(Random(seed), "preference", [Parent(refused, "broken")], Hints(found))
        report = run.run(mended.graph, seed=seed)
        assert report.passed, (mended.thought, report.findings)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_most_of_what_is_bred_is_accepted(contract: str) -> None:
    graphs = [graph for seed in range(5) for _, graph in lineage(contract, seed)]
    accepted = [run.run(graph, seed=i).passed for i, graph in enumerate(graphs)]
    assert sum(accepted) >= 0.9 * len(accepted)


def test_the_size_without_a_side_is_told_before_the_loss_is_made() -> None:
    seen = 0
    for _, graph in lineage("preference", seed=11, length=30):
        for use in sides(graph):
            operations, pulled = size_with_operand(graph, use)
            made = replaced_by_operand(graph, use)
            assert pulled == Anatomy(made).pulled
            assert operations - made.operations in range(3), (
                "only equal operations that the change brings together are merged"
            )
            seen += 1
    assert seen > 20
