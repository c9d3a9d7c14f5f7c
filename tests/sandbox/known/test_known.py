"""Each known loss equals a formula that was written independently in numpy, at random points."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from written import traced

from sandbox import known
from sandbox.execute.interpreter import compile_loss

ROOT = Path(__file__).resolve().parents[3]


def softplus(x):
    return np.logaddexp(0.0, x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hinge(x):
    return np.maximum(0.0, 1 - x)


def kto_pair(hw, hl, beta):
    kw, kl = max(hw.mean(), 0.0), max(hl.mean(), 0.0)
    return 1 - (sigmoid(beta * (hw - kl)) + sigmoid(beta * (kw - hl))) / 2


def dbaql(x):
    c = sigmoid(np.var(x / 0.05, ddof=1))
    return c * softplus(-x / 0.9) + (1 - c) * np.exp(-0.9 * x)


def aql_found(x, tau=0.05):
    """Lu et al. 2024, eq. 11 to 14; the mean in eq. 13 is taken inside the sigmoid, as in the code that was scored."""
    m2 = 0.5 + 0.01 * (sigmoid((x / tau).mean()) - 0.5)
    q = sigmoid(tau * m2 - x)
    return q * softplus(-x) + (1 - q) * hinge(x)


def aql_repository(x):
    u = x / 0.05
    q = sigmoid(0.5 + 0.01 * (sigmoid(u.mean()) - 0.5) - u)
    return q * softplus(-x) + (1 - q) * hinge(x)


def aqfl(x):
    u = x / 0.05
    m0 = np.std(u, ddof=1) * sigmoid(-u).mean()
    b = sigmoid(0.1 * np.abs(u - (0.95 * m0 + 0.05 * sigmoid(u.mean()))))
    return b * softplus(-x) + (1 - b) * hinge(x)


def lrml(x):
    s = sigmoid(x / 0.05)
    return (1 - s) * softplus(-x) + s * np.exp(-x)


def cross_entropy(x, target):
    """The binary cross-entropy of the logit x with a target between 0 and 1."""
    return -target * np.log(sigmoid(x)) - (1 - target) * np.log(sigmoid(-x))


def exo_pair(x, e=0.001):
    p = np.stack([sigmoid(x), sigmoid(-x)])
    return (p * np.log(p / np.array([[1 - e], [e]]))).sum(0)


def preference(name, pc, pr, rc, rr, beta):
    hw, hl = pc - rc, pr - rr
    x = beta * (hw - hl)
    formulas = {
        "dpo": lambda: softplus(-x),
        "slic": lambda: hinge(x),
        "ipo": lambda: (x / beta - 0.5 / beta) ** 2,
        "kto_pair": lambda: kto_pair(hw, hl, beta),
        "exponential": lambda: np.exp(-x),
        "dbaql": lambda: dbaql(x),
        "aql_found": lambda: aql_found(x),
        "aql_repository": lambda: aql_repository(x),
        "aqfl": lambda: aqfl(x),
        "padll": lambda: 0.9 * np.where(x < 0, 0.5, 1.0) * softplus(-x),
        "cell": lambda: (np.exp(-x) + softplus(-x)) / 2,
        "lrml": lambda: lrml(x),
        "pfl_found": lambda: np.where(pc > pr, softplus(-x / 0.05) / 2, 2 * hinge(x / 0.05)),
        "pfl_repository": lambda: np.where(pc > pr, softplus(-x) / 2, 2 * hinge(x)),
        "adaptive_margin": lambda: -np.log(sigmoid(x - beta * (abs(pc - pr) - abs(rc - rr)))),
        "annealed_logistic_hinge": lambda: sigmoid(hl - hw) * softplus(-x) + sigmoid(hw - hl) * hinge(x),
        "squared_logistic": lambda: np.log(sigmoid(x)) ** 2,
        "focal_logistic": lambda: (1 - sigmoid(hw - hl)) ** 2 * softplus(-x),
        "label_smoothed_logistic": lambda: (cross_entropy(x, 0.9) + cross_entropy(x, 0.0)) / 2,
        "margin_decay": lambda: 0.9 * np.where(hw - hl < 0.2, 0.5, 1.0) * softplus(0.2 * beta - x),
        "exo_pair": lambda: exo_pair(x),
        "nca_pair": lambda: softplus(-beta * hw) + (softplus(beta * hw) + softplus(beta * hl)) / 2,
        "robust": lambda: (0.9 * softplus(-x) - 0.1 * softplus(x)) / 0.8,
        "bco_pair": lambda: softplus(-beta * hw) + softplus(beta * hl),
        "sppo_hard": lambda: (hw - 0.5 / beta) ** 2 + (hl + 0.5 / beta) ** 2,
        "aot": lambda: softplus(-beta * (np.sort(pc - pr) - np.sort(rc - rr))),
        "aot_unpaired": lambda: softplus(-beta * (np.sort(hw) - np.sort(hl))),
        "apo_zero": lambda: sigmoid(-beta * hw) + sigmoid(beta * hl),
        "apo_down": lambda: sigmoid(beta * hw) + sigmoid(-x),
        "cdpo": lambda: 0.9 * softplus(-x) + 0.1 * softplus(x),
        "dpop": lambda: softplus(-(x - beta * 50 * np.maximum(0, -hw))),
        "cpo": lambda: softplus(beta * (pr - pc)) - pc,
        "squared_hinge": lambda: hinge(x) ** 2,
        "savage": lambda: (1 + np.exp(x)) ** -2.0,
        "sft": lambda: -pc,
    }
    return formulas[name]()


def classification(name, z, y):
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(y))
    own = p[rows, y]
    others = z.copy()
    others[rows, y] = -np.inf
    formulas = {
        "cross_entropy": lambda: -np.log(own),
        "label_smoothing": lambda: -0.9 * np.log(own) - 0.1 * np.log(p).mean(1),
        "focal": lambda: -((1 - own) ** 2) * np.log(own),
        "gce": lambda: (1 - own**0.7) / 0.7,
        "mse": lambda: (p**2).sum(1) - 2 * own + 1,
        "mae": lambda: 2 * (1 - own),
        "hinge": lambda: np.maximum(0, 1 + others.max(1) - z[rows, y]),
        "symmetric_cross_entropy": lambda: -0.1 * np.log(own) + 4 * (1 - own),
        "poly1": lambda: -np.log(own) + 1 - own,
    }
    return formulas[name]()


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.1, 1.0])
@pytest.mark.parametrize("name", known.names("preference"))
def test_preference_loss_equals_its_formula(name, beta):
    rng = np.random.default_rng(sum(map(ord, name)))
    reference = -rng.gamma(4.0, 30.0, (2, 11))
    policy = reference + rng.normal(0, 1.5 / beta, (2, 11))
    inputs = [*policy, *reference]
    ours = compile_loss(known.graph(name))(*map(torch.tensor, inputs), beta)
    np.testing.assert_allclose(ours.numpy(), preference(name, *inputs, beta), rtol=1e-9, atol=1e-12)


AS_PRINTED = {
    "dbaql": lambda rho, x: mixed(sigmoid(np.var(rho, ddof=1)), softplus(-x / 0.9), np.exp(-x * 0.9)),
    "aql_found": lambda rho, x: mixed(
        sigmoid(-0.05 * (rho - (0.5 + 0.01 * (sigmoid(rho.mean()) - 0.5)))), softplus(-x), hinge(x)
    ),
    "aqfl": lambda rho, x: mixed(sigmoid(0.1 * abs(rho - adapted(rho))), softplus(-x), hinge(x)),
    "lrml": lambda rho, x: mixed(sigmoid(rho), np.exp(-x), softplus(-x)),
}
"""What the language model wrote and the paper prints in appendix E, with self.beta = 0.05: every gate reads rho."""


def mixed(weight, first, second):
    return weight * first + (1 - weight) * second


def adapted(rho):
    quantile = np.std(rho, ddof=1) * sigmoid(-rho).mean()
    return quantile + 0.05 * (sigmoid(rho.mean()) - quantile)


def at_the_search_s_beta(name, rho):
    """The losses of pairs whose margin is rho, in nats, at beta 0.05; the policy's own margin is rho."""
    zeros = np.zeros_like(rho)
    return compile_loss(known.graph(name))(*map(torch.tensor, (rho, zeros, zeros, zeros)), 0.05).numpy()


RHO = np.random.default_rng(0).normal(0, 15, 11)


@pytest.mark.parametrize("name", AS_PRINTED)
def test_a_loss_is_the_code_that_was_scored_at_the_beta_of_the_search(name):
    np.testing.assert_allclose(at_the_search_s_beta(name, RHO), AS_PRINTED[name](RHO, 0.05 * RHO), rtol=1e-9)


def test_pfl_as_found_does_not_use_beta_at_the_beta_of_the_search():
    printed = np.where(RHO > 0, softplus(-RHO) / 2, 2 * hinge(RHO))
    np.testing.assert_allclose(at_the_search_s_beta("pfl_found", RHO), printed, rtol=1e-9)


@pytest.mark.parametrize("name", ["aql", "pfl"])
def test_the_two_versions_differ_at_the_beta_of_the_search(name):
    found, repository = (at_the_search_s_beta(f"{name}_{version}", RHO) for version in ("found", "repository"))
    assert abs(found - repository).max() > 0.1


@pytest.mark.parametrize(("name", "slope"), [("aql_found", -0.670), ("aql_repository", 0.754), ("lrml", 0.784)])
def test_the_slope_at_rho_0_is_the_published_one(name, slope):
    """By x at beta 0.05, of one pair among others that stay at rho = 0."""
    moved = np.zeros((2, 1000))
    moved[:, 0] = 1e-4, -1e-4
    up, down = (at_the_search_s_beta(name, rho)[0] for rho in moved)
    assert (up - down) / (0.05 * 2e-4) == pytest.approx(slope, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("name", known.names("classification"))
def test_classification_loss_equals_its_formula(name, classes):
    rng = np.random.default_rng(classes)
    logits, targets = rng.normal(0, 3, (11, classes)), rng.integers(0, classes, 11)
    ours = compile_loss(known.graph(name))(torch.tensor(logits), torch.tensor(targets))
    np.testing.assert_allclose(ours.numpy(), classification(name, logits, targets), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", known.names())
def test_every_source_states_title_paper_and_equation(name):
    loss = known.load(name)
    assert loss.title and loss.paper and loss.equation
    assert f"def {name}(" in loss.source
    assert known.graph(name).contract == loss.contract


@pytest.mark.parametrize("name", known.names())
def test_the_graph_beside_a_source_is_what_tracing_gives(name):
    """After a change of a source: python scripts/make_known_graphs.py."""
    loss = known.load(name)
    assert traced(loss.source, loss.contract).to_json() == known.graph(name).to_json()


TRL = (
    "sigmoid",
    "hinge",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
)


def test_every_loss_of_trl_that_four_log_probabilities_express_is_there():
    """The other losses of TRL need tokens: ipo and sigmoid_norm divide by lengths, sft averages over tokens."""
    assert {known.load(n).trl for n in known.names()} - {""} == set(TRL)


def test_unknown_names_and_contracts_are_errors_that_list_the_known_ones():
    with pytest.raises(KeyError, match="dpo"):
        known.load("../contract")
    with pytest.raises(KeyError, match="dpo"):
        known.graph("nothing")
    with pytest.raises(ValueError, match="preference"):
        known.names("regression")


def test_the_rows_of_the_discopop_paper_are_there():
    rows = {"dpo", "slic", "ipo", "exponential", "kto_pair", "dbaql", "aqfl", "padll", "cell", "lrml"}
    versions = {f"{name}_{version}" for name in ("aql", "pfl") for version in ("found", "repository")}
    assert rows | versions <= set(known.names("preference"))


def test_a_score_names_the_version_that_it_was_measured_with():
    assert known.load("aql_found").scores == "MT-Bench 7.953" and not known.load("aql_repository").scores
    assert known.load("pfl_found").scores == "MT-Bench 7.900" and not known.load("pfl_repository").scores


@pytest.mark.parametrize("name", ["aql", "pfl"])
def test_a_former_name_stands_for_the_version_that_it_named(name):
    assert known.load(name) == known.load(f"{name}_repository")
    assert known.graph(name) == known.graph(f"{name}_repository")
    assert known.is_known(name, "preference") and not known.is_known(name, "classification")
    assert name not in known.names()
    assert f"{name}_found" in known.two_versions(name) and f"{name}_repository" in known.two_versions(name)
    assert not known.two_versions("dpo")


def test_the_page_of_losses_is_up_to_date():
    """After a change: python scripts/write_loss_docs.py."""
    script = runpy.run_path(str(ROOT / "scripts" / "write_loss_docs.py"))
    assert (ROOT / "docs" / "losses.md").read_text("utf-8") == script["page"]()
