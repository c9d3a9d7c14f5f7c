"""VerifiedGraph -> LaTeX. No torch.

Prints only numbers and symbols from fixed tables. Shared terms are named, so the length of the text is linear in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS, SOURCES
from sandbox.graph.operations.parts.written import ATOM, TERM, UNARY, Text, Written
from sandbox.graph.printers.names import known_names, uses

_LONG = 90
_KNOWN = {
    "rho": r"\rho",
    "x": "x",
    "policy_margin": r"\rho^{\pi}",
    "reference_margin": r"\rho^{\mathrm{ref}}",
    "chosen_ratio": "h_{w}",
    "rejected_ratio": "h_{l}",
    "chosen_reward": "r_{w}",
    "rejected_reward": "r_{l}",
}


def to_latex(graph: VerifiedGraph) -> str:
    r"""The loss as an `aligned` block, for display mathematics: its named terms, then \mathcal{L}.

    h are the log-ratios of the chosen (w) and the rejected (l) completion, rho is the margin, and x = beta rho. [...] is 1 if the
    condition holds, else 0. \bot marks a term without gradient.
    """
    names = {i: _KNOWN[n] for i, n in known_names(graph).items()}
    counts = uses(graph)
    texts: list[Text] = []
    lines: list[str] = []
    temporaries = 0
    for i, node in enumerate(graph.nodes):
        text = _text(graph, node, texts)
        bound = i in names or counts[i] > 1 or len(text.text) > _LONG
        if i != graph.output and node.op not in SOURCES and bound:
            temporaries += i not in names
            name = names.get(i, f"t_{{{temporaries}}}")
            lines.append(f"{name} &= {text.text}")
            text = Text(name)
        texts.append(text)
    lines.append(rf"\mathcal{{L}} &= {texts[graph.output].text}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n"


def _text(graph: VerifiedGraph, node: Node, texts: Sequence[Text]) -> Text:
    if node.op == "const":
        return _number(node.attrs["value"])
    operation = OPERATIONS[node.op]
    operands, types = [texts[a] for a in node.args], [graph.types[a] for a in node.args]
    contract = contract_named(graph.contract)
    return operation.latex(Written(node.op, operation.attrs, node.attrs, operands, types, False, contract))


def _number(value: Any) -> Text:
    if isinstance(value, bool):
        return Text(r"\text{true}" if value else r"\text{false}")
    if isinstance(value, float) and math.isinf(value):
        return Text(r"\infty" if value > 0 else r"-\infty", ATOM if value > 0 else UNARY)
    text = f"{value:.6g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
        return Text(text, TERM)
    return Text(text, UNARY if value < 0 else ATOM)
