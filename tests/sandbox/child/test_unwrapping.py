"""Rewriting of sources, and its notes: names of arguments, --arguments, branches on beta, the parser's message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from hostile_more import candidate

from sandbox.child.allowlist.layers import LAYERS
from sandbox.child.protocol import MAX_TEXT, Answer, Violation, encoded
from sandbox.child.trace.tracer import trace
from sandbox.contracts.argument_names import check_arguments, meaning
from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE
from sandbox.execute.interpreter import compile_loss
from sandbox.verdicts.verdict import Severity
from sandbox.vetting.cli.commands import main
from sandbox.vetting.pool import VetPool
from sandbox.vetting.vet import Vetter, vet

LETTERS = "def dpo(a, b, c, d, t=0.1):\n    return F.softplus(-t * ((a - b) - (c - d)))\n"
DPO = "return -F.logsigmoid(beta * x)"


def codes(source: str) -> list[str]:
    return [f.rule for f in vet(source, numeric=False).findings]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("policy_chosen_logps", "policy_chosen_logps"),
        ("chosen_logps", "policy_chosen_logps"),
        ("pi_theta_chosen", "policy_chosen_logps"),
        ("reference_rejected_log_probs", "reference_rejected_logps"),
        ("logp_ref_l", "reference_rejected_logps"),
        ("ref_model_winner_lp", "reference_chosen_logps"),
        ("sft_chosen_logps", "reference_chosen_logps"),
        ("base_bad_logp_sum", "reference_rejected_logps"),
        ("good_seq_logps", "policy_chosen_logps"),
        ("worse_total_logprob", "policy_rejected_logps"),
        ("sft_base_good_logps", "reference_chosen_logps"),
        ("good", None),
        ("r", None),
        ("logp_r", "policy_rejected_logps"),
        ("total_w", None),
        ("positive_likelihood", None),
        ("good_bad_logps", None),
        ("old_chosen_logps", None),
        ("policy_sft_chosen", None),
        ("pi_logratios", None),
        ("ref_logratios", None),
        ("avg_chosen_logps", None),
        ("mean_rejected_logps", None),
        ("chosen_rejected", None),
        ("policy_ref_chosen", None),
        ("chosen_rewards", None),
        ("labels", None),
        ("beta", None),
    ],
)
def test_meaning_of_a_name(name: str, meant: str | None) -> None:
    assert meaning(name, PREFERENCE) == meant


def test_a_classification_loss_may_have_the_usual_names() -> None:
    assert meaning("chosen_logps", CLASSIFICATION) is None
    assert meaning("outputs", CLASSIFICATION) == meaning("logits", CLASSIFICATION) == "logits"
    source = "def criterion({}):\n    return F.cross_entropy({}, {}, reduction='none')\n"
    plain = vet(source.format("logits, targets", "logits", "targets"), "classification", numeric=False)
    for names in ("outputs, labels", "x, target", "labels, y_pred"):
        scores, labels = sorted(names.split(", "), key=lambda name: name in ("labels", "target"))
        verdict = vet(source.format(names, scores, labels), "classification", numeric=False)
        assert verdict.hash == plain.hash and [f.rule for f in verdict.findings] == ["SBX253"], names
    for names in ("x, y", "output, prob", "pred, scores", "inputs, outputs"):
        first, second = names.split(", ")
        assert [f.rule for f in vet(source.format(names, first, second), "classification").findings] == ["SBX110"], (
            names
        )


def test_initials_count_only_if_all_four_are_there() -> None:
    full = "def loss(pc, pr, rc, rr, beta):\n    return -F.logsigmoid(beta * ((pc - pr) - (rc - rr)))\n"
    assert vet(full, numeric=False).hash == vet(candidate(DPO), numeric=False).hash
    rewards = "def loss(rc, rr, beta):\n    return -F.logsigmoid(beta * (rc - rr))\n"
    turned = full.replace("(pc, pr, rc, rr, beta)", "(rc, rr, pc, pr, beta)")
    for source in (rewards, rewards.replace("rc", "pc").replace("rr", "pr"), full.replace("pc", "pw"), turned):
        assert codes(source) == ["SBX110"]


def test_a_parameter_with_a_value_is_a_setting() -> None:
    source = (
        "def loss(pi_w, pi_l, ref_w, ref_l, beta, neg=1.0):\n"
        "    return -F.logsigmoid(neg * beta * ((pi_w - pi_l) - (ref_w - ref_l)))\n"
    )
    assert vet(source, numeric=False).graph is not None
    assert codes("def loss(chosen_logps, beta, neg=0.5):\n    return -F.logsigmoid(beta * (chosen_logps - neg))\n") == [
        "SBX110"
    ]


def test_arguments_can_be_named_by_the_caller() -> None:
    assert codes(LETTERS) == ["SBX110"]
    given = vet(LETTERS, numeric=False, arguments=["a", "b", "c", "d", "t"])
    assert given.graph is not None and [f.rule for f in given.findings] == ["SBX253"]
    assert "a, b, c, d stand for policy_chosen_logps, " in given.findings[0].message
    turned = vet(LETTERS, numeric=False, arguments=["b", "a", "d", "c", "t"])
    assert turned.graph is not None and turned.graph != given.graph
    with VetPool(1, numeric=False, arguments=["a", "b", "c", "d", "t"]) as pool:
        assert pool.vet(LETTERS).graph == given.graph


def test_arguments_take_precedence_over_the_meaning_of_names() -> None:
    source = LETTERS.replace("a, b, c, d, t=0.1", "chosen, rejected, ref_chosen, ref_rejected, beta")
    source = source.replace("-t * ((a - b) - (c - d))", "-beta * ((chosen - rejected) - (ref_chosen - ref_rejected))")
    plain = vet(source, numeric=False)
    told = vet(source, numeric=False, arguments=["ref_chosen", "ref_rejected", "chosen", "rejected"])
    assert plain.graph is not None and told.graph is not None
    beta, values = 0.3, [torch.randn(4, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    a, b = compile_loss(plain.graph)(*values, beta), compile_loss(told.graph)(*values[2:], *values[:2], beta)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "names", [["a"], ["a", "b", "c"], ["a"] * 4, ["a", "b", "c", "d e"], ["a", "b", "c", "\u03b2"]]
)
def test_arguments_that_are_not_identifiers_are_an_error(names: list[str]) -> None:
    with pytest.raises(ValueError, match="expected 2, 4 or 5 names"):
        check_arguments(PREFERENCE, names)
    with pytest.raises(ValueError, match="expected 2, 4 or 5 names"):
        vet(LETTERS, arguments=names)


def _told(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), obj=Vetter())


def test_command_line_takes_arguments_and_shows_notes(tmp_path: Path) -> None:
    file = tmp_path / "loss.py"
    file.write_text(LETTERS)
    run = _told("check", "--no-numeric", "--arguments", "a,b,c,d,t", str(file))
    assert run.exit_code == 0 and "SBX253 note: " in run.output and "stand for policy_chosen_logps" in run.output
    (found,) = json.loads(_told("check", "--no-numeric", "--json", "--arguments", "a, b, c, d, t", str(file)).output)
    assert [(f["rule"], f["severity"], f["line"]) for f in found["findings"]] == [("SBX253", "note", 1)]
    run = _told("show", "--arguments", "a,b,c,d,t", str(file))
    assert run.exit_code == 0 and "policy_chosen_logps" in run.output
    assert _told("diff", "--arguments", "a,b,c,d,t", str(file), str(file)).exit_code == 0
    assert _told("check", "--arguments", "a,b", "--contract", "classification", str(file)).exit_code == 1
    for command in ("check", "show"):
        run = _told(command, "--arguments", "a,b,c", str(file))
        assert run.exit_code == 2 and "--arguments: expected 2, 4 or 5 names" in run.output


def test_notes_do_not_refuse() -> None:
    verdict = vet(candidate("losses = -F.logsigmoid(beta * x)", "return losses.mean()"))
    assert verdict.accepted and not verdict.refusals
    assert ("SBX251", Severity.NOTE) in [(f.rule, f.severity) for f in verdict.findings]


def test_branches_on_beta_cost_one_graph_with_shared_parts() -> None:
    body = [
        "y = torch.tanh(x) * torch.sigmoid(x)",
        "k = 2.0 if beta > 0.5 else 1.0",
        "return F.softplus(-beta * x) + k * y * 0",
    ]
    graph = vet(candidate(*body), numeric=False).graph
    assert graph is not None
    assert sum(n.op == "tanh" for n in graph.nodes) == 1
    assert sum(n.op == "where" for n in graph.nodes) == 1


@pytest.mark.parametrize("beta", [0.05, 0.1, 0.3, 0.5, 0.7])
def test_the_branch_is_chosen_by_the_value_of_beta(beta: float) -> None:
    body = ["if beta >= 0.5:", "    return x * 3.0", "elif beta == 0.1:", "    return x * 2.0", "return x * 1.0"]
    graph = vet(candidate(*body), numeric=False).graph
    assert graph is not None
    wanted = 3.0 if beta >= 0.5 else 2.0 if beta == 0.1 else 1.0
    x = torch.tensor([1.0, -2.0])
    zero = torch.zeros(2)
    torch.testing.assert_close(compile_loss(graph)(x, zero, zero, zero, beta), x * wanted)


def test_runs_of_a_branch_do_not_share_values() -> None:
    body = ["parts = []", "if beta > 0.5:", "    parts.append(x)", "parts.append(x)", "return sum(parts)"]
    graph = vet(candidate(*body), numeric=False).graph
    assert graph is not None
    x, zero = torch.tensor([1.0, 2.0]), torch.zeros(2)
    for beta, times in ((0.7, 2), (0.3, 1)):
        torch.testing.assert_close(compile_loss(graph)(x, zero, zero, zero, beta), x * times)


def test_tracing_a_class_is_deterministic() -> None:
    source = (
        "class L(nn.Module):\n    def __init__(self, beta=0.1):\n        super().__init__()\n        self.beta = beta\n"
        "    def forward(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):\n"
        "        return F.softplus(-self.beta * (policy_chosen_logps - policy_rejected_logps))\n"
    )
    assert trace(source, PREFERENCE) == trace(source, PREFERENCE)
    assert vet(source, numeric=False).entry == "L"


def test_layers_are_exposed_functions() -> None:
    from sandbox.child.allowlist.calls import BY_PATH

    assert set(LAYERS.values()) <= BY_PATH.keys()
    assert all(hasattr(torch.nn, path.rpartition(".")[2]) for path in LAYERS)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def loss(:\n    pass\n", "invalid syntax"),
        (candidate("y = (1", DPO), "was never closed"),
        ("def loss():\nreturn 1\n", "expected an indented block"),
        (candidate("y = 1 +", DPO), "invalid syntax"),
    ],
)
def test_the_message_of_the_parser_is_reported(source: str, said: str) -> None:
    (found,) = vet(source, numeric=False).findings
    assert found.rule == "SBX106" and said in found.message


def test_text_of_the_child_is_bounded_ascii() -> None:
    assert encoded("a\x1b[2J\u202e\nb") == "a?[2J??b"
    assert len(encoded("x" * 1000)) == MAX_TEXT
    answer = Answer((Violation("SBX106", None, (), None, "was never closed"),))
    assert Answer.decode(answer.encode()) == answer
    for text in ("\x1b[2J", "\u202e", "x" * (MAX_TEXT + 1), 7, None):
        forged = json.dumps(
            {"violations": [["SBX106", None, [], None, text]], "graph": None, "at": None, "entry": None, "notes": []}
        )
        with pytest.raises(ValueError, match="text"):
            Answer.decode(forged.encode())


@pytest.mark.parametrize(
    "line",
    [
        "w = torch.arange(0, x.shape[0], 2)",
        "w = torch.linspace(0.5, 1.5, x.shape[0])",
        "w = x[: x.shape[0] // 2]",
        "w = x[::2]",
    ],
)
def test_dependence_on_the_position_in_the_batch_is_named(line: str) -> None:
    (found,) = vet(candidate(line, DPO), numeric=False).findings
    assert found.rule == "SBX249" and "position in the batch" in found.message


def test_weights_by_position_are_named_as_such() -> None:
    verdict = vet(candidate("w = torch.arange(1, x.shape[0] + 1) / x.shape[0]", "return -w * F.logsigmoid(beta * x)"))
    (found,) = verdict.refusals
    assert found.rule == "SBX311" and "depends on" in found.message and "position in the batch" in found.message


def test_parameters_without_a_value_are_named_with_a_line() -> None:
    source = f"def loss({PREFERENCE.signature}, gamma):\n"
    (found,) = vet(source + "    return policy_chosen_logps * gamma\n", numeric=False).findings
    assert (found.rule, found.excerpt) == ("SBX141", "gamma") and "`gamma=0.0`" in found.remedy
    method = source.replace("beta, gamma", "*, k=1.0").replace("(policy", "(self, policy")
    (found,) = vet(method + "    return self.loss_type\n", numeric=False).findings
    assert found.rule == "SBX129" and "`loss_type = 'sigmoid'`" in found.remedy


def test_the_names_that_describe_a_module_are_left_out_and_nothing_else() -> None:
    described = '__all__ = ["loss"]\n__version__ = "1.0"\n'
    plain, noted = vet(candidate(DPO), numeric=False), vet(candidate(DPO, before=described), numeric=False)
    assert [f.rule for f in noted.findings] == ["SBX261"] and noted.hash == plain.hash
    for statement in ("__all__ = [loss]", "__all__ += ['loss']", "__name__ = 'loss'", "__all__ = __version__ = 'loss'"):
        assert {"SBX112", "SBX125"} & {*codes(candidate(DPO, before=f"{statement}\n"))}, statement
    deep = "__version__ = " + "+".join("1" * 2000)  # this is looked at before the depth of the tree is checked
    assert codes(candidate(DPO, before=f"{deep}\n")) == ["SBX107"]
    assert codes(candidate(DPO, before="__version__ = torch.version\n")) != ["SBX261"]
    assert "SBX112" in codes(candidate(DPO) + "if __name__ == '__main__':\n    loss()\n")


@pytest.mark.parametrize("condition", ["x.numel() > 2", "len(x) > 64", "x.shape[0] == 2", "2 * len(x) > 2"])
def test_a_branch_on_the_batch_size_is_to_be_removed(condition: str) -> None:
    (found,) = vet(candidate(f"if {condition}:", "    x = x - x.mean()", DPO), numeric=False).refusals
    assert found.rule == "SBX201" and "remove the branch" in found.remedy and "torch.where" not in found.remedy
