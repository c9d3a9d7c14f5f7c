"""Harmless forms that honest authors use are accepted, and give the same loss as the plain form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hostile_more import ARGUMENTS, candidate

from sandbox.child.allowlist.calls import BY_PATH
from sandbox.child.static.check import check
from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import PREFERENCE
from sandbox.graph.dataflow import is_pointwise
from sandbox.graph.equivariance import is_equivariant
from sandbox.graph.loss_graph import LossGraph
from sandbox.identity.canonical import canonical_hash
from sandbox.verdicts.render import finding
from sandbox.verdicts.suggest import EQUAL, suggestion
from sandbox.vetting.vet import vet

PLAIN = candidate("return F.softplus(-beta * x)")
FOUR = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps"
_X_OF = "x = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"


def _class(init: str, entry: str, *lines: str, name: str = "L(nn.Module)", more: str = "") -> str:
    """A class: the heads of `__init__` and of the entry, with `beta` an attribute, the entry's lines, and more methods."""
    body = "".join(f"        {line}\n" for line in (_X_OF, *lines))
    return f"class {name}:\n    def __init__({init}):\n        self.beta = beta\n\n    def {entry}:\n{body}{more}"


def _graph(source: str) -> LossGraph:
    answer = trace(source, PREFERENCE)
    assert answer.graph is not None, (source, answer.violations)
    return LossGraph.from_json(answer.graph)


def _same(source: str, plain: str = PLAIN) -> bool:
    return canonical_hash(_graph(source)) == canonical_hash(_graph(plain))


NAMES = [
    "function", "self", "args", "kwargs", "a", "b", "g", "r", "name", "op", "value", "values", "items", "key",
    "index", "spec", "wanted", "call", "bound", "input", "other", "keeps", "me", "made", "path", "recorder", "owner",
    "_x", "cls",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    NAMES,
)
def test_a_helper_may_choose_the_names_of_its_parameters(name: str) -> None:
    helper = f"def soft({name}, scale=1.0):\n    return F.softplus(-{name}) * scale\n"
    assert _same(candidate(f"return soft({name}=beta * x)", before=helper))
    assert _same(candidate(f"return soft(scale=1.0, {name}=beta * x)", before=helper))
    inner = (f"def soft({name}, scale=1.0):", f"    return (lambda v: F.softplus(-v) * scale)({name})")
    assert _same(candidate(*inner, f"return soft({name}=beta * x)"))


@pytest.mark.parametrize(
    "source",
    [
        candidate("return F.softplus(-beta * x)", arguments=f"{ARGUMENTS}, **kwargs"),
        candidate("return F.softplus(-beta * x)", arguments=f"{ARGUMENTS}, *args"),
        candidate("return F.softplus(-beta * x)", arguments=f"{ARGUMENTS}, *args, **kwargs"),
        candidate("return F.softplus(-beta * x)", arguments=f"{ARGUMENTS}, *_, **_kw"),
        candidate("return F.softplus(-beta * x)", arguments=f"{ARGUMENTS}, *args: float, **kwargs: dict"),
        candidate("return h(x, beta, 3, k=1)", before="def h(v, b, *rest, **more):\n    return F.softplus(-b * v)\n"),
        candidate("h = lambda v, *rest, **more: F.softplus(-v)", "return h(beta * x, 1, k=2)"),
        _class(
            "self, beta=0.1, **kwargs", f"forward(self, {FOUR}, *args, **kwargs)", "return F.softplus(-self.beta * x)"
        ),
        _class(
            "self, beta=0.1, *args",
            f"__call__(self, {FOUR}, **unused)",
            "return self.soft(x, k=1)",
            name="L",
            more="\n    def soft(self, x, **more):\n        return F.softplus(-self.beta * x)\n",
        ),
    ],
)
def test_unused_arguments_may_be_collected(source: str) -> None:
    assert _same(source)


@pytest.mark.parametrize(
    "source",
    [
        candidate("return _soft(beta * x)", before="def _soft(v):\n    return F.softplus(-v)\n"),
        candidate("_margin = beta * x", "return F.softplus(-_margin)"),
        candidate("return F.softplus(-beta * x) * _ONE", before="_ONE = 1.0\n"),
        candidate("def _inner(v):", "    return F.softplus(-v)", "return _inner(beta * x)"),
        candidate("return sum([F.softplus(-beta * x) for _i in range(1)])"),
        candidate("return (lambda _v, _k=1.0: F.softplus(-_v * _k))(_v=beta * x)"),
        candidate("return _F.softplus(-beta * x)", before="import torch.nn.functional as _F\n"),
        candidate("_a, _b = beta, x", "_a *= 1.0", "return F.softplus(-_a * _b)"),
        _class(
            "self, beta=0.1",
            f"forward(self, {FOUR})",
            "return self._soft(self.beta * x)",
            name="_Loss(nn.Module)",
            more="\n    def _soft(self, v):\n        return F.softplus(-v) * self._one\n\n    _one = 1.0\n",
        ),
        _class("self, beta=0.1", f"forward(self, {FOUR})", "return F.softplus(-self._b * x)").replace(
            ".beta = ", "._b = "
        ),
        PLAIN.replace("def loss", "def _loss"),
    ],
)
def test_names_may_begin_with_an_underscore(source: str) -> None:
    assert _same(source)


@pytest.mark.parametrize("name", ["_call_", "_getattr_", "_binary_", "_x_", "__x", "__class__", "__import__", "__"])
@pytest.mark.parametrize("form", ["{} = 1", "{}(1)", "f = lambda {}: 1", "f = dict({}=1)", "[1 for {} in (1,)]"])
def test_names_of_guards_and_of_python_stay_out_of_reach(name: str, form: str) -> None:
    found = check(candidate(form.format(name), "return F.softplus(-beta * x)"), PREFERENCE)
    assert isinstance(found, list) and {c.code for c in found} & {"SBX125", "SBX127"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("np.pi", math.pi),
        ("np.e", math.e),
        ("np.euler_gamma", 0.5772156649015329),
        ("numpy.pi", math.pi),
        ("pi", math.pi),
        ("torch.pi", math.pi),
        ("torch.e", math.e),
        ("math.tau", math.tau),
        ("math.e", math.e),
        ("-np.inf", -math.inf),
        ("torch.inf", math.inf),
        ("float('inf')", math.inf),
    ],
)
def test_constants_of_numpy_torch_and_math_are_numbers(name: str, value: float) -> None:
    imports = "import numpy as np\nimport numpy\nimport torch\nimport math\nfrom numpy import pi\n"
    number = "float('-inf')" if value == -math.inf else "float('inf')" if value == math.inf else repr(value)
    written = (
        "return F.softplus(-torch.clamp(beta * x, max={}) / {})" if value > 3 else "return F.softplus(-beta * x + {})"
    )
    if math.isinf(value):
        written = "return F.softplus(-torch.clamp(beta * x, max=abs({})))"
    uses = written.count("{}")
    assert _same(candidate(written.format(*[name] * uses), before=imports), candidate(written.format(*[number] * uses)))


@pytest.mark.parametrize(
    ("body", "rule", "said"),
    [
        ("return x * np.float32(2.0)", "SBX130", ""),
        ("return np.maximum(x, 0)", "SBX130", "torch.maximum"),
        ("return x * np.std(x)", "SBX130", "unbiased=False"),
        ("return x * np.nan", "SBX232", "finite"),
        ("return np.random.rand(3) * x", "SBX131", "randomness"),
        ("return x * np.PI", "SBX130", "math.pi"),
    ],
)
def test_other_names_of_numpy_get_a_suggestion(body: str, rule: str, said: str) -> None:
    source = candidate(body, before="import numpy as np\n")
    found = check(source, PREFERENCE)
    assert isinstance(found, list)
    told = finding(found[0], source, PREFERENCE)
    assert (told.rule, said in told.remedy) == (rule, True), told


def test_functions_of_numpy_compute_on_numbers_only() -> None:
    before = "import numpy as np\n"
    assert vet(candidate("return np.log(2.0) * F.softplus(-np.sqrt(beta) * x)", before=before)).accepted
    (found,) = vet(candidate("return np.exp(-beta * x)", before=before)).refusals
    assert found.rule == "SBX207" and "use torch for tensors" in found.remedy


def test_numpy_without_an_import_gets_a_suggestion() -> None:
    source = candidate("return x * np.pi")
    found = check(source, PREFERENCE)
    assert isinstance(found, list)
    assert "math.pi" in finding(found[0], source, PREFERENCE).remedy


LAYERS = {
    "ReLU()": "F.relu(v)",
    "Softplus()": "F.softplus(v)",
    "Softplus(beta=2)": "F.softplus(v, beta=2)",
    "Softplus(2.0, 10.0)": "F.softplus(v, 2.0, 10.0)",
    "LeakyReLU(0.1)": "F.leaky_relu(v, 0.1)",
    "LogSigmoid()": "F.logsigmoid(v)",
    "Sigmoid()": "torch.sigmoid(v)",
    "Tanh()": "torch.tanh(v)",
    "SiLU()": "F.silu(v)",
    "GELU(approximate='tanh')": "F.gelu(v, approximate='tanh')",
    "ELU(alpha=0.5)": "F.elu(v, alpha=0.5)",
    "Hardtanh(-2.0, 2.0)": "F.hardtanh(v, -2.0, 2.0)",
    "Threshold(0.1, 0.0)": "F.threshold(v, 0.1, 0.0)",
    "Softmax(dim=0)": "F.softmax(v, dim=0)",
    "LogSoftmax(dim=-1)": "F.log_softmax(v, dim=-1)",
    "Identity()": "v",
    "MSELoss(reduction='none')": "F.mse_loss(v, one, reduction='none')",
    "L1Loss(reduction='none')": "F.l1_loss(v, one, reduction='none')",
    "HuberLoss(reduction='none', delta=0.5)": "F.huber_loss(v, one, reduction='none', delta=0.5)",
    "SmoothL1Loss(reduction='none', beta=2.0)": "F.smooth_l1_loss(v, one, reduction='none', beta=2.0)",
    "BCEWithLogitsLoss(reduction='none')": "F.binary_cross_entropy_with_logits(v, one, reduction='none')",
    "SoftMarginLoss(reduction='none')": "F.soft_margin_loss(v, one, reduction='none')",
    "KLDivLoss(reduction='none', log_target=True)": "F.kl_div(v, one, reduction='none', log_target=True)",
    "MarginRankingLoss(0.5, reduction='none')": "F.margin_ranking_loss(v, one, one, 0.5, reduction='none')",
}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_are_functions_wherever_they_are_made(layer: str) -> None:
    function = LAYERS[layer]
    given = function.partition("(")[2].partition(")")[0].split(", ") if "(" in function else ["v"]
    operands = ", ".join(g for g in given if g in ("v", "one"))
    lines = ("v = -beta * x", "one = torch.ones_like(v)")
    plain = candidate(*lines, f"return {function} + v")
    assert _same(candidate(*lines, f"f = nn.{layer}", f"return f({operands}) + v"), plain)
    assert _same(candidate(*lines, f"return nn.{layer}({operands}) + v"), plain)
    assert _same(candidate(*lines, f"return f({operands}) + v", before=f"f = nn.{layer}\n"), plain)
    made = (
        f"class L(nn.Module):\n    def __init__(self, beta=0.1):\n        super().__init__()\n        self.beta = beta\n"
        f"        self.f = nn.{layer}\n\n    def forward(self, {FOUR}):\n"
        "        x = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)\n"
        f"        v = -self.beta * x\n        one = torch.ones_like(v)\n        return self.f({operands}) + v\n"
    )
    assert _same(made, plain)


@pytest.mark.parametrize(
    "line",
    [
        'assert x.shape == policy_chosen_logps.shape, f"shapes {x.shape}"',
        'assert beta > 0, f"beta is {beta:.3f}, and x {x!r}"',
        'assert x.dim() == 1 and len(x.shape) == 1, (f"rank {x.dim()}", "%d" % 3)',
        'assert not torch.isnan(x).any(), "NaN in {}".format(x)',
        'if beta <= 0:\n        raise ValueError(f"beta must be positive, got {beta}")',
        'if x.dim() != 1:\n        raise ValueError("rank {}".format(x.dim()))',
        'assert isinstance(beta, float), f"{type(beta)}"',
        'assert x.shape[0] >= 1, f"""empty\n    batch {x.shape}"""',
    ],
)
def test_the_message_of_an_assertion_is_ignored(line: str) -> None:
    assert _same(candidate(line, "return F.softplus(-beta * x)"))


UP, DOWN = "(policy_chosen_logps - reference_chosen_logps)", "(policy_rejected_logps - reference_rejected_logps)"
CUTS = {
    "chunk": f"a, b = torch.cat([{UP}, {DOWN}]).chunk(2)",
    "chunk_of_a_function": f"a, b = torch.tanh(torch.cat([{UP}, {DOWN}]) * 0.5).chunk(2, dim=0)",
    "torch_chunk": f"a, b = torch.chunk(torch.cat(({UP}, {DOWN}), dim=-1), 2, -1)",
    "split": f"a, b = torch.cat([{UP}, {DOWN}]).split(len(x))",
    "split_by_size": f"a, b = torch.split(torch.cat([{UP}, {DOWN}]), x.shape[0], dim=0)",
    "split_by_sizes": f"a, b = torch.cat([{UP}, {DOWN}]).split([len(x), x.size(0)])",
    "slices": f"n = len(x)\n    z = torch.cat([{UP}, {DOWN}])\n    a, b = z[:n], z[n:]",
    "slices_from_the_end": f"n = x.shape[0]\n    z = torch.cat([{UP}, {DOWN}])\n    a, b = z[:-n], z[-n:]",
    "slices_of_three": f"n = x.shape[0]\n    z = torch.cat([{UP}, x, {DOWN}])\n    a, b = z[0:n], z[2 * n:3 * n]",
    "view": f"a, b = torch.cat([{UP}, {DOWN}]).view(2, -1)",
    "view_with_size": f"z = torch.cat([{UP}, {DOWN}]).reshape(2, len(x))\n    a, b = z[0], z[1]",
    "stack": f"a, b = torch.stack([{UP}, {DOWN}])",
    "stack_unbind": f"a, b = torch.stack([{UP}, {DOWN}], dim=1).unbind(dim=1)",
    "stack_split": f"a, b = [v.squeeze(0) for v in torch.stack([{UP}, {DOWN}]).split(1)]",
    "cat_of_columns": f"z = torch.cat([{UP}[:, None], {DOWN}[:, None]], dim=0)\n    a, b = [v.squeeze(1) for v in z.chunk(2)]",
    "cat_of_cats": f"z = torch.cat([torch.cat([{UP}, x]), torch.cat([x, {DOWN}])])\n    a, c, d, b = z.chunk(4)",
    "cat_and_a_constant": f"a, b, c = torch.cat([{UP}, {DOWN}, torch.zeros_like(x)]).chunk(3)",
}


@pytest.mark.parametrize("name", CUTS)
def test_batches_that_are_concatenated_and_split_stay_pointwise(name: str) -> None:
    graph = _graph(candidate(CUTS[name], "return F.softplus(-beta * (a - b))"))
    assert is_pointwise(graph) and is_equivariant(graph)


def test_a_loss_over_both_halves_is_not_coupled() -> None:
    verdict = vet(candidate(CUTS["chunk_of_a_function"], "return F.softplus(-beta * (a - b))"))
    assert not {f.rule for f in verdict.findings} & {"SBX326", "SBX330"}
    assert not verdict.refusals


@pytest.mark.parametrize(
    ("cut", "equivariant"),
    [
        (f"z = torch.cat([{UP}, {DOWN}]).view(-1, 2)\n    a, b = z[:, 0], z[:, 1]", False),
        (f"z = torch.cat([{UP}, {DOWN}]).flip(0)\n    a, b = z.chunk(2)", False),
        (f"z = torch.cat([{UP}, {DOWN}]).cumsum(0)\n    a, b = z.chunk(2)", False),
        (f"z = torch.cat([{UP}, {DOWN}]).roll(1)\n    a, b = z.chunk(2)", False),
        (f"z = torch.softmax(torch.cat([{UP}, {DOWN}]), dim=0)\n    a, b = z.chunk(2)", True),
        (f"z = torch.cat([{UP}, {DOWN}])\n    z = z - z.mean()\n    a, b = z.chunk(2)", True),
        (f"z = torch.stack([{UP}, {DOWN}], 1).view(-1)\n    a, b = z.chunk(2)", False),
        (f"z = torch.cat([{UP}, {DOWN}.sort().values])\n    a, b = z.chunk(2)", False),
    ],
)
def test_mixing_items_does_not_count_as_slicing(cut: str, equivariant: bool) -> None:
    graph = _graph(candidate(cut, "return F.softplus(-beta * (a - b))"))
    assert not is_pointwise(graph)
    assert is_equivariant(graph) is equivariant


def test_a_slice_within_the_batch_depends_on_the_position() -> None:
    for cut in ("z[:len(x) - 1]", "z[len(x) // 2:]", "z[1:len(x)]", "z[-len(x) - 1:]"):
        answer = trace(candidate(f"z = torch.cat([{UP}, {DOWN}])", f"return F.softplus({cut})"), PREFERENCE)
        assert [c.code for c in answer.violations] == ["SBX249"], cut


# --- what remedies suggest ----------------------------------------------------------------------------------------------

_X, _Y, _Z = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.3, 0.2, 0.7]), torch.tensor([1.5, 2.0, 3.0])
_TORCH = {
    "acos": lambda: torch.acos(_X),
    "acosh": lambda: torch.acosh(_Z),
    "arccos": lambda: torch.arccos(_X),
    "arccosh": lambda: torch.arccosh(_Z),
    "arcsin": lambda: torch.arcsin(_X),
    "arctanh": lambda: torch.arctanh(_X),
    "asin": lambda: torch.asin(_X),
    "atanh": lambda: torch.atanh(_X),
    "entr": lambda: torch.special.entr(_X),
    "float_power": lambda: torch.float_power(_X, _Y).float(),
    "fmax": lambda: torch.fmax(_X, _Y),
    "fmin": lambda: torch.fmin(_X, _Y),
    "log_cosh": lambda: torch.log(torch.cosh(_X)),
    "logcosh": lambda: torch.log(torch.cosh(_X)),
    "np.select": lambda: torch.from_numpy(np.select([_X.numpy() > 0], [_Y.numpy()], _Z.numpy())),
    "np.std": lambda: torch.from_numpy(_X.numpy().std(keepdims=True))[0],
    "np.transpose": lambda: torch.from_numpy(_X.numpy()[None].transpose())[:, 0],
    "np.var": lambda: torch.from_numpy(_X.numpy().var(keepdims=True))[0],
    "power": lambda: torch.pow(_X, _Y),
    "prelu": lambda: F.prelu(_X - 0.5, _Y[:1]),
    "xlog1py": lambda: torch.special.xlog1py(_X, _Y),
}


@pytest.mark.parametrize("name", EQUAL)
def test_suggested_expressions_are_equal(name: str) -> None:
    x = _Z if "cosh" in name and "log" not in name else _X - 0.5 if name == "prelu" else _X
    scope = {"torch": torch, "math": math, "x": x, "y": _Y[:1] if name == "prelu" else _Y, "z": _Z}
    if name == "np.transpose":
        scope["x"] = _X[None]
    found = eval(EQUAL[name], scope)  # an expression of our own table
    torch.testing.assert_close(found.squeeze(), _TORCH[name](), rtol=1e-5, atol=1e-6)
    if name not in ("np.std", "np.transpose", "np.var"):
        graph = _graph(candidate("y, z = x * 0.5, x + 9.0", f"return ({EQUAL[name]}) * 1.0"))
        assert graph.operations


def test_the_expression_for_log_ndtr_is_near_it_and_has_a_gradient() -> None:
    expression = suggestion("torch.special.log_ndtr").split("`")[1]
    x = torch.linspace(-40, 8, 481, dtype=torch.float64, requires_grad=True)
    found, exact = eval(expression, {"torch": torch, "math": math, "x": x}), torch.special.log_ndtr(x)
    assert (found - exact).abs().max() < 0.04
    slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, exact)]
    torch.testing.assert_close(*slopes, rtol=0.05, atol=1e-9)
    assert vet(candidate("x = beta * x", f"return -{expression}")).accepted


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("torch.tensordot", "torch.matmul"),
        ("torch.softplus", "F.softplus"),
        ("F.log_sigmoid", "F.logsigmoid"),
        ("torch.log_sigmoid", "F.logsigmoid"),
        ("x.softplus", "F.softplus"),
        ("torch.soft_margin_loss", "F.soft_margin_loss"),
        ("F.Softplus", "F.softplus"),
        ("torch.logsummexp", "torch.logsumexp"),
        ("F.binary_cross_entropy_with_logit", "F.binary_cross_entropy_with_logits"),
        ("torch.sigmiod", "torch.sigmoid"),
        ("F.smooth_loss_l1", "F.smooth_l1_loss"),
        ("np.tanh", "torch.tanh"),
    ],
)
def test_an_obviously_intended_name_is_suggested(asked: str, said: str) -> None:
    found = suggestion(asked)
    assert f"`{said}`" in found or found.endswith(f" {said}.")


FAR = [
    "torch.lgamma", "torch.digamma", "x.lgamma", "torch.sinc", "torch.fmod", "torch.cummax",
    "torch.logspace", "torch.hann_window", "F.glu", "torch.erfinv", "torch.polygamma", "F.conv1d", "math.gcd",
    "math.comb", "x.storage",
]  # fmt: skip


@pytest.mark.parametrize(
    "asked",
    FAR,
)
def test_no_suggestion_without_a_similar_name(asked: str) -> None:
    assert suggestion(asked) == ""


def test_no_other_function_of_torch_counts_as_a_typing_error() -> None:
    """Every torch name that losses may not call is in the table, has the letters of an available name, or gets no suggestion."""
    modules = {
        "torch": torch,
        "F": F,
        "x": torch.Tensor,
        "torch.special": torch.special,
        "torch.linalg": torch.linalg,
        "nn": torch.nn,
    }
    full = {"F": "torch.nn.functional", "x": "Tensor", "nn": "torch.nn"}
    for shown, module in modules.items():
        for name in dir(module):
            if name[0] != "_" != name[-1] and f"{full.get(shown, shown)}.{name}" not in BY_PATH:
                assert "Similar" not in suggestion(f"{shown}.{name}"), name
