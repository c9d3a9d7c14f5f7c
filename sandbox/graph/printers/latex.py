"""VerifiedGraph -> LaTeX. No torch.

Only symbols from fixed tables and numbers are printed. Shared terms get a name of their own, so the text stays linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.printers.names import SOURCES, known_names, uses

_LONG = 90
_SUM, _TERM, _UNARY, _POWER, _ATOM = 1, 2, 3, 4, 5
_INPUTS = {
    "policy_chosen_logps": r"\ell^{\pi}_{w}",
    "policy_rejected_logps": r"\ell^{\pi}_{l}",
    "reference_chosen_logps": r"\ell^{\mathrm{ref}}_{w}",
    "reference_rejected_logps": r"\ell^{\mathrm{ref}}_{l}",
    "beta": r"\beta",
    "logits": "z",
    "targets": "y",
}
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
_RELATIONS = {"lt": "<", "le": r"\le", "gt": ">", "ge": r"\ge", "eq": "=", "ne": r"\ne"}
_FUNCTIONS = {
    "log": r"\log",
    "sin": r"\sin",
    "cos": r"\cos",
    "tan": r"\tan",
    "tanh": r"\tanh",
    "sinh": r"\sinh",
    "cosh": r"\cosh",
    "sigmoid": r"\sigma",
    "log2": r"\log_{2}",
    "log10": r"\log_{10}",
    "logsigmoid": r"\log\sigma",
    "maximum": r"\max",
    "minimum": r"\min",
    "clamp_min": r"\max",
    "clamp_max": r"\min",
    "amax": r"\max",
    "amin": r"\min",
    "max": r"\max",
    "min": r"\min",
}


class _Text:
    def __init__(self, text: str, level: int = _ATOM) -> None:
        self.text = text
        self.level = level

    def at(self, level: int) -> str:
        return self.text if self.level >= level else rf"\left({self.text}\right)"


def to_latex(graph: VerifiedGraph) -> str:
    r"""The loss as an `aligned` block, for display mathematics: the terms it is made of, then \mathcal{L}.

    h are the log-ratios of policy and reference of the chosen (w) and the rejected (l) completion, rho their difference,
    x = beta rho. [...] is 1 where the condition holds, else 0; \bot marks what no gradient flows through.
    """
    names = {i: _KNOWN[n] for i, n in known_names(graph).items()}
    counts = uses(graph)
    texts: list[_Text] = []
    lines: list[str] = []
    temporaries = 0
    for i, node in enumerate(graph.nodes):
        text = _text(node, texts)
        bound = i in names or counts[i] > 1 or len(text.text) > _LONG
        if i != graph.output and node.op not in SOURCES and bound:
            temporaries += i not in names
            name = names.get(i, f"t_{{{temporaries}}}")
            lines.append(f"{name} &= {text.text}")
            text = _Text(name)
        texts.append(text)
    lines.append(rf"\mathcal{{L}} &= {texts[graph.output].text}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n"


def _text(node: Node, texts: Sequence[_Text]) -> _Text:
    args = [texts[a] for a in node.args]
    op = node.op
    match op:
        case "input":
            return _Text(_INPUTS[node.attrs["name"]])
        case "size":
            return _Text("n" if node.attrs["symbol"] == "B" else "c")
        case "const":
            return _number(node.attrs["value"])
        case "add" | "sub":
            sign = "+" if op == "add" else "-"
            return _Text(f"{args[0].at(_SUM)} {sign} {args[1].at(_TERM)}", _SUM)
        case "mul":
            return _Text(rf"{args[0].at(_TERM)} \, {args[1].at(_UNARY + 1)}", _TERM)
        case "div":
            return _Text(rf"\frac{{{args[0].text}}}{{{args[1].text}}}", _POWER)
        case "neg":
            return _Text(f"-{args[0].at(_UNARY)}", _UNARY)
        case "pow":
            return _Text(f"{args[0].at(_ATOM)}^{{{args[1].text}}}", _POWER)
        case "square":
            return _Text(f"{args[0].at(_ATOM)}^{{2}}", _POWER)
        case "exp":
            return _Text(f"e^{{{args[0].text}}}", _POWER)
        case "sqrt":
            return _Text(rf"\sqrt{{{args[0].text}}}")
        case "abs":
            return _Text(rf"\left|{args[0].text}\right|")
        case "relu":
            return _Text(rf"\max\left(0, {args[0].text}\right)")
        case "detach":
            return _Text(rf"\bot\left({args[0].text}\right)")
        case "where":
            yes, no = args[1].text, args[2].text
            return _Text(rf"\begin{{cases}} {yes} & {args[0].text} \\ {no} & \text{{otherwise}} \end{{cases}}", _SUM)
        case "cast" if node.attrs["to"] == "float":
            return _Text(rf"\left[{args[0].text}\right]")
    if op in _RELATIONS:
        return _Text(f"{args[0].at(_SUM)} {_RELATIONS[op]} {args[1].at(_SUM)}", 0)
    return _Text(_called(node, args))


def _called(node: Node, args: Sequence[_Text]) -> str:
    function = _FUNCTIONS.get(node.op) or rf"\operatorname{{{_escaped(node.op)}}}"
    given = ", ".join(f"{_escaped(k)}={_value(v)}" for k, v in node.attrs.items() if _matters(node.op, k, v))
    subscript = rf"_{{\text{{{given}}}}}" if given else ""
    return rf"{function}{subscript}\left({', '.join(a.text for a in args)}\right)"


def _matters(op: str, key: str, value: Any) -> bool:
    return bool(value != OPERATIONS[op].attrs[key].default) and value is not None


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_value(v) for v in value) + ")"
    if isinstance(value, float):
        return f"{value:.6g}"
    return _escaped(str(value))


def _number(value: Any) -> _Text:
    if isinstance(value, bool):
        return _Text(r"\text{true}" if value else r"\text{false}")
    if isinstance(value, float) and math.isinf(value):
        return _Text(r"\infty" if value > 0 else r"-\infty", _ATOM if value > 0 else _UNARY)
    text = f"{value:.6g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
        return _Text(text, _TERM)
    return _Text(text, _UNARY if value < 0 else _ATOM)
