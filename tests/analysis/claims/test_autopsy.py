"""What an autopsy says of the parts of a loss, which trainings it asks for, and the smallest loss that it finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from analysis import stats
from analysis.claims.autopsy import PURPOSE, Autopsy, Outcome, Plan, plans
from analysis.claims.autopsy_table import autopsy_json, autopsy_text, conclusions, part_rows
from archive.errors import CorruptArchive
from archive.records import EventKind, EventRow, Items
from archive.variants import VariantEvaluationRow, VariantRow
from sandbox.graph.edits.edit import edited
from sandbox.graph.edits.parts import Part, parts
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash
from sandbox.vetting.vet import vet

SOURCE = """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    x = beta * rho
    return torch.clamp(F.softplus(-x), max=1e4) + 1e-6 * torch.sin(x) + 0.05 * rho**2 + 0.3
"""
SINE, SQUARE, CLAMP, SHIFT = (
    "1e-06 * torch.sin(x)",
    "0.05 * rho ** 2",
    "torch.clamp(F.softplus(-x), max=10000.0)",
    "0.3",
)


@pytest.fixture(scope="module")
def graph() -> VerifiedGraph:
    found = vet(SOURCE, numeric=False).graph
    assert found is not None
    return found


@pytest.fixture(scope="module")
def chosen(graph) -> Mapping[str, Part]:
    """The four planted parts by expression; the shift by its value."""
    found = {}
    for part in parts(graph):
        if part.change == "0.3 becomes 0":
            found[SHIFT] = part
        elif part.text in (SINE, SQUARE) and part.change == "dropped":
            found[part.text] = part
        elif part.text == CLAMP and part.change.startswith("replaced"):
            found[CLAMP] = part
    assert len(found) == 4
    return found


Fitness = Callable[[VerifiedGraph, int], float | None]


class World:
    """An archive in memory: vets and trains what an autopsy asks for, with a given fitness."""

    def __init__(self, graph: VerifiedGraph, planned: Mapping[str, Part], fitness: Fitness, seeds: int = 8) -> None:
        self.graph, self.fitness = graph, fitness
        self.plan = Plan(1, "full", tuple(range(seeds)), tuple(range(100, 100 + 2 * seeds)), tuple(planned.values()))
        self.variants: list[VariantRow] = []
        self.trainings: list[VariantEvaluationRow] = []
        self.refused: set[str] = set()
        self.items: dict[int, Items] = {}

    @property
    def autopsy(self) -> Autopsy:
        return Autopsy(self.plan, self.graph, self.variants, self.trainings)

    def step(self) -> bool:
        """Do what is due. False if nothing is."""
        wanted = self.autopsy.due()
        for one in wanted:
            digest = canonical_hash(one.graph)
            edit = [e.to_json() for e in one.edits]
            refused = digest in self.refused
            there = next((row for row in self.variants if row.edit == edit), None)
            id = there.id if there else len(self.variants) + 1
            if there is None:
                status, rules = ("refused", ("SBX301",)) if refused else ("accepted", ())
                self.variants.append(VariantRow(id, 1, PURPOSE, edit, one.graph.to_json(), digest, status, rules))
            for seed in () if refused else one.seeds:
                value = self.fitness(one.graph, seed)
                reason = None if value is not None else "diverged"
                self.trainings.append(
                    VariantEvaluationRow(0, id, "full", seed, None, None, value, {}, 1.0, reason, None)
                )
        return bool(wanted)

    def done(self) -> Autopsy:
        while self.step():
            pass
        return self.autopsy


def has(graph: VerifiedGraph, op: str) -> bool:
    return any(node.op == op for node in graph.nodes)


def noise(graph: VerifiedGraph, seed: int, size: float = 0.01) -> float:
    """Noise of a training: mostly that of its seed."""
    shared, own = random.Random(seed), random.Random(f"{canonical_hash(graph)} {seed}")
    return shared.gauss(0, 0.1) + own.gauss(0, size)


def planted(graph: VerifiedGraph, seed: int) -> float:
    """The square helps by 0.1; the shift has no effect at all; the sine changes rounding; the clamp costs 0.1."""
    plain = edited(graph, []) if not has(graph, "sin") else graph
    value = 0.5 + 0.1 * has(graph, "pow") - 0.1 * has(graph, "clamp_max")
    key = (has(plain, "sin"), has(plain, "pow"), has(plain, "clamp_max"))
    return value + random.Random(seed).gauss(0, 0.1) + random.Random(f"{key} {seed}").gauss(0, 0.01)


def test_parts_that_help_hurt_or_do_nothing_are_told_apart(graph, chosen):
    found = {e.part: e for e in World(graph, chosen, planted).done().effects}
    assert found[chosen[SQUARE]].outcome is Outcome.HELPS and found[chosen[SQUARE]].matters
    assert found[chosen[CLAMP]].outcome is Outcome.HURTS
    assert found[chosen[SINE]].outcome is Outcome.UNSEEN and not found[chosen[SINE]].matters
    assert found[chosen[SHIFT]].outcome is Outcome.IDENTICAL
    pair = found[chosen[SQUARE]].paired
    limits = stats.interval(pair)
    assert 0.08 < limits.low < 0.1 < limits.high < 0.13 and pair.difference == pytest.approx(
        (limits.low + limits.high) / 2
    )


def test_the_smallest_loss_keeps_what_helps_and_is_measured_on_other_seeds(graph, chosen):
    world = World(graph, chosen, planted)
    autopsy = world.done()
    smallest = autopsy.smallest
    assert smallest is not None and autopsy.finished
    assert has(smallest.graph, "pow") and not (has(smallest.graph, "sin") or has(smallest.graph, "clamp_max"))
    assert smallest.paired.seeds == world.plan.confirming and smallest.paired.difference < 0, (
        "without the clamp it is better"
    )
    text = " ".join(conclusions(autopsy))
    assert "it is better than the whole loss" in text and "16 further fresh seeds" in text


def test_nothing_is_trained_twice_and_one_seed_is_enough_to_continue(graph, chosen):
    world = World(graph, chosen, planted)
    world.done()
    again = World(graph, chosen, planted)
    again.variants = list(world.variants)
    lost = world.trainings[5]
    again.trainings = [row for row in world.trainings if row is not lost]
    (due,) = again.autopsy.due()
    hashes = {row.id: row.hash for row in world.variants}
    assert due.seeds == (lost.seed,) and canonical_hash(due.graph) == hashes[lost.variant_id]
    assert again.done().smallest.graph == world.autopsy.smallest.graph
    trained = [(hashes[row.variant_id], row.seed) for row in world.trainings]
    assert len(trained) == len(set(trained))


def test_a_loss_that_is_worse_on_the_confirming_seeds_is_given_up_for_a_larger_one(graph, chosen):
    def fitness(form: VerifiedGraph, seed: int) -> float:
        worse = 0.2 if seed >= 100 and not has(form, "clamp_max") else 0.0
        return 0.5 + 0.1 * has(form, "pow") + noise(form, seed, 0.001) - worse

    autopsy = World(graph, chosen, fitness).done()
    assert autopsy.reductions[0].worse and not autopsy.reductions[-1].worse
    assert has(autopsy.smallest.graph, "clamp_max")
    assert "had seemed as good" in " ".join(conclusions(autopsy))


def test_if_no_smaller_loss_is_confirmed_it_says_so(graph, chosen):
    def fitness(form: VerifiedGraph, seed: int) -> float:
        return 0.5 + noise(form, seed, 0.001) - (0.2 if seed >= 100 and form.operations < graph.operations else 0.0)

    autopsy = World(graph, chosen, fitness).done()
    assert autopsy.finished and autopsy.smallest is None and len(autopsy.reductions) > 1
    assert "No smaller loss was confirmed on 16 further fresh seeds" in " ".join(conclusions(autopsy))


def test_a_part_that_the_sandbox_keeps_and_one_without_which_training_fails(graph, chosen):
    def fitness(form: VerifiedGraph, seed: int) -> float | None:
        return None if seed == 3 and not has(form, "pow") else 0.5 + noise(form, seed)

    world = World(graph, chosen, fitness)
    world.refused = {canonical_hash(edited(graph, [chosen[SINE].edit]))}
    effects = {e.part: e for e in world.done().effects}
    assert effects[chosen[SINE]].outcome is Outcome.REFUSED and effects[chosen[SINE]].reason == "SBX301"
    fails = effects[chosen[SQUARE]]
    assert fails.outcome is Outcome.FAILS and fails.matters and fails.reason == "diverged on 1 seed"
    assert has(world.autopsy.smallest.graph, "sin") and has(world.autopsy.smallest.graph, "pow")


def test_equal_differences_that_are_not_zero_keep_the_part(graph, chosen):
    def fitness(form: VerifiedGraph, seed: int) -> float:
        return 0.5 + 0.25 * has(form, "sin") + 0.125 * has(form, "pow")

    autopsy = World(graph, chosen, fitness).done()
    effect = next(e for e in autopsy.effects if e.part is chosen[SINE])
    assert effect.paired.difference == 0.25 and effect.adjusted is None and effect.outcome is Outcome.UNSEEN
    assert has(autopsy.smallest.graph, "sin") and has(autopsy.smallest.graph, "pow")


def test_before_all_is_measured_nothing_is_said(graph, chosen):
    world = World(graph, chosen, planted)
    assert {e.outcome for e in world.autopsy.effects} == {Outcome.OPEN}
    world.step()
    assert {e.outcome for e in world.autopsy.effects} == {Outcome.OPEN} and not world.autopsy.finished
    assert "not finished" in conclusions(world.autopsy)[-1]
    assert all(row.effect == "" for row in part_rows(world.autopsy))


def test_inert_parts_are_said_to_matter_in_at_most_5_percent_of_autopsies(graph, chosen):
    """120 autopsies of four parts without an effect, all compared with the same trainings of the whole loss."""
    draws, hits = random.Random(1), 0
    for _ in range(120):
        table: dict[tuple[str, int], float] = {}

        def fitness(form: VerifiedGraph, seed: int, table=table) -> float:
            return table.setdefault((canonical_hash(form), seed), draws.gauss(0, 1))

        world = World(graph, chosen, fitness, seeds=6)
        world.step()
        world.step()
        hits += any(e.outcome in (Outcome.HELPS, Outcome.HURTS) for e in world.autopsy.effects)
    assert hits > 0 and stats.wilson(hits, 120).low <= stats.SIGNIFICANCE, hits


def test_a_plan_is_read_back_from_its_event(graph, chosen):
    plan = World(graph, chosen, planted).plan
    events = [EventRow(n, "", EventKind.AUTOPSY, 1, None, None, p.to_json()) for n, p in enumerate((plan, plan), 1)]
    assert plans(events) == {1: plan}


@pytest.mark.parametrize(
    "change",
    [{"candidate": "1"}, {"rung": None}, {"parts": [["term", ["drop", "x", 0], "a", "b"]]}, {"parts": 3}, {"seeds": [-1]},
     {"parts": [["magic", ["drop", 1, 0], "a", "b"]]}],
)  # fmt: skip
def test_a_forged_plan_is_an_error(graph, chosen, change):
    payload = World(graph, chosen, planted).plan.to_json() | change
    with pytest.raises(CorruptArchive):
        plans([EventRow(1, "", EventKind.AUTOPSY, 1, None, None, payload)])


def test_a_plan_of_another_graph_is_an_error(chosen):
    from sandbox import known

    with pytest.raises(CorruptArchive, match="does not fit its graph"):
        Autopsy(Plan(1, "full", (1,), (2,), tuple(chosen.values())), known.graph("sft"), [], [])


def test_text_and_data_show_the_same_parts(graph, chosen):
    autopsy = World(graph, chosen, planted).done()
    text = autopsy_text(autopsy, "mine", "mine (a variation of dpo)", "a number")
    data = autopsy_json(autopsy, "mine")
    assert text.startswith("mine (a variation of dpo) at rung full; fitness is a number.")
    assert "def mine_smallest(" in text and data["smallest"]["python"].strip() in text
    assert [p["outcome"] for p in data["parts"]] == [e.outcome.value for e in autopsy.effects]
    lines = text.splitlines()
    assert all(any(p["expression"] in line and line.endswith(p["outcome"]) for line in lines) for p in data["parts"])
