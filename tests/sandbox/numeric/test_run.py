"""The numeric tests: every published loss passes; losses that cannot train are refused with a counterexample."""

import math

import pytest

from sandbox import known
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import Node, make_node
from sandbox.numeric import run
from sandbox.verdicts.rules.numeric import NUMERIC_RULES
from sandbox.verdicts.verdict import Severity


class Sketch:
    """Writes graphs by hand: `s.op("mul", x, 2.0)` appends a node, numbers become constants."""

    def __init__(self, contract: str = "preference") -> None:
        self.contract = contract
        self.nodes: list[Node] = []

    def op(self, op: str, *args: "int | float | Ref", **attrs) -> "Ref":
        operands = [a.index if isinstance(a, Ref) else self.op("const", value=a).index for a in args]
        self.nodes.append(make_node(op, operands, attrs))
        return Ref(self, len(self.nodes) - 1)

    def graph(self, output: "Ref") -> LossGraph:
        return LossGraph.from_nodes(self.contract, self.nodes, output.index)


class Ref:
    def __init__(self, sketch: Sketch, index: int) -> None:
        self.sketch, self.index = sketch, index

    def __getattr__(self, op: str):
        return lambda *args, **attrs: self.sketch.op(op, self, *args, **attrs)

    def __add__(self, other):
        return self.sketch.op("add", self, other)

    def __sub__(self, other):
        return self.sketch.op("sub", self, other)

    def __mul__(self, other):
        return self.sketch.op("mul", self, other)

    def __neg__(self):
        return self.sketch.op("neg", self)


class Pairs(Sketch):
    """A sketch with the inputs of a preference loss, the margin and the scaled margin."""

    def __init__(self) -> None:
        super().__init__()
        self.pc, self.pr, self.rc, self.rr, self.beta = (
            self.op("input", name=n)
            for n in (
                "policy_chosen_logps",
                "policy_rejected_logps",
                "reference_chosen_logps",
                "reference_rejected_logps",
                "beta",
            )
        )
        self.rho = (self.pc - self.pr) - (self.rc - self.rr)
        self.x = self.rho * self.beta
        self.dpo = (-self.x).softplus()


def rules(build, *, seed: int = 7) -> dict[str, object]:
    sketch = Pairs()
    report = run.run(sketch.graph(build(sketch)), seed=seed)
    return {f.rule: f for f in report.findings}


@pytest.mark.parametrize("name", known.names())
def test_published_losses_pass(name):
    for seed in (0, 1, 2):
        report = run.run(known.graph(name), seed=seed)
        assert report.passed, report.findings


NOTES = {
    "dpo": set(),
    "slic": set(),
    "ipo": set(),
    "kto_pair": {"SBX325", "SBX326"},
    "exponential": {"SBX323"},
    "cell": {"SBX323"},
    "lrml": {"SBX323", "SBX324", "SBX325", "SBX331"},
    "dbaql": {"SBX322", "SBX323", "SBX326", "SBX331"},
    "aqfl": {"SBX322", "SBX325", "SBX326"},
    "aql_found": {"SBX325", "SBX326"},
    "aql_repository": {"SBX324", "SBX325", "SBX326", "SBX331"},
    "padll": {"SBX325"},
    "pfl_found": {"SBX325"},
    "pfl_repository": {"SBX325"},
    "sft": {"SBX321"},
}


@pytest.mark.parametrize("name", NOTES)
def test_published_losses_have_the_expected_notes(name):
    for seed in (0, 1, 2):
        assert {f.rule for f in run.run(known.graph(name), seed=seed).findings} == NOTES[name]


REFUSED = {
    "log_of_the_margin": ("SBX304", lambda s: -s.rho.log()),
    "division_by_zero": ("SBX304", lambda s: s.op("div", 1.0, s.pc - s.pc)),
    "overflow_at_wide_margins": ("SBX304", lambda s: s.dpo + (s.rho.abs() - 500.0).relu() * 1e38 * 1e38),
    "overflow_without_beta": ("SBX304", lambda s: (-s.rho).exp()),
    "overflow_of_a_probability": ("SBX304", lambda s: -s.pc.exp().log() + s.pr),
    "nan_gradient_of_the_untaken_branch": ("SBX305", lambda s: s.rho.gt(0.0).where(s.rho.sqrt(), -s.rho)),
    "infinite_slope_at_the_start": ("SBX305", lambda s: s.dpo + s.rho.abs().sqrt()),
    "detached": ("SBX306", lambda s: s.dpo.detach()),
    "reference_only": ("SBX306", lambda s: s.rc - s.rr),
    "margin_minus_itself": ("SBX305", lambda s: (s.rho - s.rho).abs().sqrt()),
    "cancelled_gradient": ("SBX307", lambda s: s.dpo + s.rho.sign() - s.dpo),
    "constant": ("SBX308", lambda s: s.x * 0.0 + 1.0),
    "even_in_the_margin": ("SBX309", lambda s: (s.rho.abs() + 1.0).pow(9.0)),
    "blind_up_to_the_reference": ("SBX309", lambda s: s.rho.abs() + s.rc),
    "inverted": ("SBX310", lambda s: s.x.softplus()),
    "inverted_but_for_a_corner": ("SBX310", lambda s: s.x.gt(-25.0).where(s.x, -s.x)),
    "neighbouring_pairs": ("SBX311", lambda s: (s.x.roll(shift=1, dim=0) * 0.1 - s.x).softplus()),
    "weight_by_place": ("SBX311", lambda s: s.dpo * s.op("arange", symbol="B").cast(to="float")),
    "flat_at_the_start": ("SBX329", lambda s: (-s.x).relu()),
    "flat_at_the_start_on_both_sides": ("SBX329", lambda s: -s.x.sign() * (s.x.abs()).log1p()),
    "squares_that_cancel_at_the_start": ("SBX329", lambda s: s.rho.square() - (s.pr - s.rr).square()),
    "nan_where_all_are_equal": ("SBX304", lambda s: s.dpo + s.op("div", s.pc - s.pr, s.rc - s.rr) * 1e-4),
    "infinite_where_chosen_and_rejected_tie": ("SBX304", lambda s: s.dpo + (s.pc - s.pr).abs().log() * 1e-3),
    "infinite_where_chosen_meets_the_other_reference": ("SBX304", lambda s: s.dpo + (s.pc - s.rr).abs().log() * 1e-3),
    "infinite_slope_where_both_tie": ("SBX305", lambda s: s.dpo + (s.pc - s.pr).hypot(s.rc - s.rr) * 1e-3),
    "spike_at_ties": ("SBX313", lambda s: s.dpo + ((s.pc - s.pr) * 1e13).tanh() * 1e-3),
    "below_the_optimiser": ("SBX312", lambda s: s.dpo * 1e-10),
    "far_below_the_optimiser": ("SBX312", lambda s: s.dpo * 1e-16),
    "rounded_by_division": ("SBX301", lambda s: s.dpo + s.op("floordiv", s.x, 2.0) * 0.01),
    "reversed_at_one_beta": ("SBX310", lambda s: reversed_around(s, 0.3, 0.008)),
    "reversed_between_round_betas": ("SBX310", lambda s: reversed_around(s, 0.37, 0.03)),
    "reversed_above_usual_betas": ("SBX310", lambda s: (s.x * (s.beta - 1.23)).softplus()),
    "reversed_in_large_batches": ("SBX310", lambda s: (-s.x * sign_at_size(s, 300.0)).softplus()),
    "reversed_from_the_hundredth_pair_on": (
        "SBX310",
        lambda s: s.op("arange", symbol="B").lt(100).where(-s.x, s.x).softplus(),
    ),
    "another_loss_from_the_three_hundredth_pair_on": (
        "SBX311",
        lambda s: s.op("arange", symbol="B").lt(300).where(s.dpo, s.dpo * 0.5),
    ),
}


def reversed_around(s, beta, width):
    """DPO with the opposite sign within `width` of a beta."""
    near = ((s.beta - beta) * (1 / width)) * ((s.beta - beta) * (1 / width))
    return (-s.x * (s.op("const", value=1.0) - (-near).exp() * 2.0)).softplus()


def sign_at_size(s, size):
    """1 in batches below this size, -1 above."""
    return s.op("tanh", s.op("sub", size, s.op("size", symbol="B")))


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    code, build = REFUSED[name]
    for seed in (0, 1, 2):
        found = rules(build, seed=seed)
        refusals = {c for c, f in found.items() if f.severity is Severity.REFUSE}
        assert refusals == {code}, found
        assert found[code].remedy


def test_a_wrong_direction_is_told_with_the_slopes_and_the_sign_that_they_should_have():
    message = rules(lambda s: s.x.softplus())["SBX310"].message
    assert "its slope by beta rho is +0.119 at -2, +0.5 at 0, +0.881 at 2, and should be negative" in message


NOTED = {
    "one_sided": ("SBX321", lambda s: (-(s.pc - s.rc) * s.beta).softplus()),
    "variance_of_one": ("SBX322", lambda s: s.dpo * s.x.var().sigmoid()),
    "falls_with_the_margin_in_a_batch_of_one": (
        "SBX322",
        lambda s: (-s.x * (s.op("full_like", s.x, 1.0).sum() - 1.5).sign()).softplus(),
    ),
    "nan_at_long_completions": ("SBX323", lambda s: s.dpo + (s.pr.maximum(s.rr) + 2000.5).sqrt() * s.x * 1e-6),
    "wrong_way_at_long_completions": (
        "SBX331",
        lambda s: s.op("where", s.op("lt", s.rc, -2001.0), s.x, -s.x).softplus(),
    ),
    "exp_overflows_later": ("SBX323", lambda s: (-s.x).exp()),
    "rises_at_zero": ("SBX324", lambda s: s.dpo + (s.x * 20.0).sigmoid()),
    "sigmoid_is_not_convex": ("SBX325", lambda s: (-s.x).sigmoid()),
    "centred_by_the_batch": ("SBX326", lambda s: (-s.x - (s.x - s.x.mean()) * 0.5).softplus()),
    "cancellation": ("SBX328", lambda s: (-(s.x + 1e8 - 1e8)).softplus()),
}


@pytest.mark.parametrize("name", NOTED)
def test_accepts_with_a_note(name):
    code, build = NOTED[name]
    for seed in (0, 1, 2):
        found = rules(build, seed=seed)
        assert code in found, found
        assert all(f.severity is Severity.NOTE for f in found.values())


HARMLESS = {
    "a_norm_inside": lambda s: (-s.op("div", s.x, distance_of_sides(s, 1e-6) + 1.0)).softplus(),
    "huge_but_even": lambda s: s.dpo * 1e10,
    "a_thousandth": lambda s: s.dpo * 1e-3,
    "a_slope_on_one_side_of_the_start": lambda s: (-s.x).clamp_min(0.0),
    "over_the_spread_of_the_batch": lambda s: (-s.op("div", s.x, s.x.std(correction=0).detach() + 1e-8)).softplus(),
    "flat_beyond_thirty_nats": lambda s: (-(s.rho.clamp_min(-30.0).clamp_max(30.0) * s.beta)).softplus(),
    "all_weight_on_one_pair": lambda s: s.dpo * (s.x.detach() * -1000.0).softmax(dim=0),
}


def distance_of_sides(s, least):
    """Distance of the two completions' log-probabilities under policy and reference, never exactly zero."""
    return ((s.pc - s.pr).square() + (s.rc - s.rr).square() + least).sqrt()


@pytest.mark.parametrize("name", HARMLESS)
def test_trainable_losses_are_not_refused(name):
    for seed in (0, 1, 2):
        found = rules(HARMLESS[name], seed=seed)
        assert all(f.severity is Severity.NOTE for f in found.values()), found


def test_the_same_seed_gives_the_same_report_and_without_one_they_change():
    graph = known.graph("lrml")
    assert run.run(graph, seed=5).findings == run.run(graph, seed=5).findings
    assert len({run.run(graph).seed for _ in range(34)}) >= 2


def test_a_counterexample_names_margin_and_beta_and_reproduces():
    finding = rules(lambda s: (-s.rho).exp())["SBX304"]
    example = finding.counterexample
    margin = (example["policy_chosen_logps"] - example["policy_rejected_logps"]) - (
        example["reference_chosen_logps"] - example["reference_rejected_logps"]
    )
    assert example["rho"] == pytest.approx(margin)
    assert example["loss"] == "inf" and margin < -88
    assert "rho = " in finding.message and "beta = " in finding.message


def test_findings_contain_no_number_that_json_cannot_store():
    for _, build in (*REFUSED.values(), *NOTED.values()):
        for finding in rules(build).values():
            assert all(not isinstance(v, float) or math.isfinite(v) for v in finding.counterexample.values())


LOGITS = ("logits", "targets")


@pytest.mark.parametrize(
    ("code", "build"),
    [
        (
            "SBX304",
            lambda s, z, y: -(z.softmax(dim=-1).sub(0.5).log()).gather(y.unsqueeze(dim=1), dim=1).squeeze(dim=1),
        ),
        ("SBX306", lambda s, z, y: z.cross_entropy(y).detach()),
        ("SBX309", lambda s, z, y: z.square().mean(dim=1)),
        ("SBX310", lambda s, z, y: -z.softmax(dim=-1).log_softmax(dim=-1).nll_loss(y)),
        ("SBX312", lambda s, z, y: z.cross_entropy(y) * 1e-12),
        ("SBX329", lambda s, z, y: (z.cross_entropy(y) - math.log(2.0)).relu() * z.square().sum(dim=1)),
        ("SBX311", lambda s, z, y: z.cross_entropy(y) + z.cross_entropy(y).flip(dim=0) * z.select(dim=1, index=0)),
    ],
)
def test_classification_losses_are_refused(code, build):
    sketch = Sketch("classification")
    z, y = (sketch.op("input", name=n) for n in LOGITS)
    report = run.run(sketch.graph(build(sketch, z, y)), seed=3)
    assert code in {f.rule for f in report.findings}
    assert not report.passed


def test_codes_are_unique_and_in_order():
    codes = [rule.code for rule in NUMERIC_RULES]
    assert codes == sorted(set(codes))
