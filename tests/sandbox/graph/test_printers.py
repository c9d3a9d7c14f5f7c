"""Printed graphs: Python source that vets back to the same graph and computes the same values, and valid LaTeX and TRL files."""

import ast
import math
import random
import re

import pytest
import torch
from random_graphs import any_graph, random_graph
from written import traced, written

from sandbox import known
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import GraphError, make_node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.printers import to_latex, to_python, to_trl
from sandbox.identity.canonical import canonical_hash


@pytest.mark.parametrize("name", known.names())
def test_known_losses_print_and_vet_back(name):
    graph = known.graph(name)
    assert canonical_hash(traced(to_python(graph, name), graph.contract)) == canonical_hash(graph)


def test_random_graphs_print_and_vet_back():
    rng = random.Random(5)
    seen: set[str] = set()
    for _ in range(400):
        graph = random_graph(rng)
        seen.update(n.op for n in graph.nodes)
        source = to_python(graph)
        assert canonical_hash(traced(source)) == canonical_hash(graph), source
    assert len(seen) > 0.8 * len(OPERATIONS)


def test_random_classification_graphs_print_and_vet_back():
    rng = random.Random(6)
    for _ in range(150):
        graph = random_graph(rng, "classification")
        source = to_python(graph)
        assert canonical_hash(traced(source, "classification")) == canonical_hash(graph), source


def _prints_and_vets_back(seed: int) -> None:
    rng = random.Random(seed)
    contract = rng.choice(["preference", "preference", "classification"])
    make = any_graph if rng.random() < 0.7 else random_graph
    graph = make(rng, contract, rng.choice([4, 8, 12, 25]))
    source = to_python(graph)
    assert canonical_hash(traced(source, contract)) == canonical_hash(graph), source


def test_random_verified_graphs_print_and_vet_back():
    for seed in range(300):
        _prints_and_vets_back(seed)


@pytest.mark.soak
def test_many_random_verified_graphs_print_and_vet_back():
    for seed in range(1000, 11_000):
        _prints_and_vets_back(seed)


@pytest.mark.parametrize(
    ("op", "values", "shown"),
    [
        ("log", (2,), "0.6931471805599453"),
        ("cosh", (1e10,), "math.inf"),
        ("div", (1, 4), "0.25"),
        ("floor", (2.5,), "2"),
        ("pow", (2, 10), "1024"),
        ("maximum", (1, 2.0), "2.0"),
        ("sqrt", (True,), "1.0"),
        ("neg", (-0.5,), "0.5"),
    ],
)
def test_numbers_computed_from_constants_are_printed_as_their_value(op, values, shown):
    nodes = [make_node("input", (), {"name": "policy_chosen_logps"})]
    nodes += [make_node("const", (), {"value": v}) for v in values]
    nodes += [make_node(op, range(1, len(nodes))), make_node("mul", (0, len(nodes)))]
    graph = LossGraph.from_nodes("preference", nodes, len(nodes) - 1)
    assert f"policy_chosen_logps * {shown}\n" in to_python(graph)
    assert canonical_hash(traced(to_python(graph))) == canonical_hash(graph)


@pytest.mark.parametrize(
    ("op", "values"),
    [("log", (0,)), ("div", (1, 0)), ("sqrt", (-1.0,)), ("pow", (0, -1)), ("remainder", (1, 0)), ("sub", (math.inf, math.inf)),
     ("floor", (math.inf,)), ("log1p", (-1,)), ("pow", (-8.0, 1 / 3)), ("pow", (7, 4000))],
)  # fmt: skip
def test_a_graph_with_an_undefined_number_is_refused(op, values):
    nodes = [make_node("input", (), {"name": "policy_chosen_logps"})]
    nodes += [make_node("const", (), {"value": v}) for v in values]
    nodes += [make_node(op, range(1, len(nodes))), make_node("mul", (0, len(nodes)))]
    with pytest.raises(GraphError) as error:
        LossGraph.from_nodes("preference", nodes, len(nodes) - 1)
    assert error.value.code == "SBX215"


def run(source: str, name: str):
    """The printed function, executed with Python and torch; only text from the printer is executed."""
    scope: dict[str, object] = {}
    exec(source, scope)
    return scope[name]


@pytest.mark.parametrize("name", known.names("preference"))
def test_printed_source_computes_the_same_with_real_torch(name):
    generator = torch.Generator().manual_seed(0)
    inputs = [-100 + 10 * torch.randn(6, generator=generator) for _ in range(4)]
    expected = compile_loss(known.graph(name))(*inputs, 0.1)
    torch.testing.assert_close(run(to_python(known.graph(name), name), name)(*inputs, 0.1), expected)


def test_thirty_squarings_print_in_thirty_lines():
    graph = written("\n".join(["y = x", *["y = y * y"] * 30, "y"]))
    assert len(to_python(graph).splitlines()) < 45
    assert len(to_latex(graph)) < 3000


HOSTILE = [
    "os.system('x')",
    "x): pass\nimport os\ndef y(",
    "'''\nimport os",
    "__import__",
    "class",
    "match",
    "beta",
    "t1",
    "torch",
    "9lives",
    "\u202eevil",
    "",
    "a" * 500,
    "naïve loss № 5",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out_of_the_printed_source(name):
    graph = known.graph("lrml")
    for source in (to_python(graph, name), to_trl(graph, name)):
        tree = ast.parse(source)
        functions = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        assert len(functions) == 1 and re.fullmatch(r"[a-z][a-z0-9_]{0,45}", functions[0])
        imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert imported <= {"torch", "torch.nn.functional", "math"}
    assert canonical_hash(traced(to_python(graph, name))) == canonical_hash(graph)


@pytest.mark.parametrize("name", known.names())
def test_latex_is_balanced_and_ascii(name):
    text = to_latex(known.graph(name))
    assert text.isascii()
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")
    assert text.count(r"\begin") == text.count(r"\end")
    assert r"\mathcal{L} &=" in text


def test_latex_uses_the_symbols_of_the_field():
    text = to_latex(known.graph("dpo"))
    assert r"x &= \beta \, \rho" in text and r"-\log\sigma\left(x\right)" in text


def test_trl_prints_preference_losses_only():
    with pytest.raises(ValueError, match="classification"):
        to_trl(known.graph("cross_entropy"))


def test_readable_names_and_shared_terms():
    source = to_python(known.graph("lrml"), "LRML")
    assert "rho = policy_margin - reference_margin" in source
    assert "x = beta * rho" in source
    assert source.startswith("import torch\n") and "def lrml(" in source


def test_numbers_survive_printing():
    graph = written(
        "torch.clamp(1e-7 * x - 3 * rho, min=-math.inf, max=2.5e30) + (-2.0) ** 2 - torch.exp(-(beta**-2) * x)"
    )
    assert canonical_hash(traced(to_python(graph))) == canonical_hash(graph)
