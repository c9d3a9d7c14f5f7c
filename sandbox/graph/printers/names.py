"""Names of values in printed graphs. No torch.

A value that is used more than once gets a name, so that the length of the text is linear in the graph. Common terms such as the
margin and the log-ratios are recognised and get their usual names.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.graph.loss_graph import VerifiedGraph

_PC, _PR, _RC, _RR = (f"{m}_{s}_logps" for m in ("policy", "reference") for s in ("chosen", "rejected"))
_MARGINS: Final[Mapping[frozenset[tuple[str, float]], str]] = MappingProxyType(
    {
        frozenset({(_PC, 1.0), (_PR, -1.0), (_RC, -1.0), (_RR, 1.0)}): "rho",
        frozenset({(_PC, 1.0), (_PR, -1.0)}): "policy_margin",
        frozenset({(_RC, 1.0), (_RR, -1.0)}): "reference_margin",
        frozenset({(_PC, 1.0), (_RC, -1.0)}): "chosen_ratio",
        frozenset({(_PR, 1.0), (_RR, -1.0)}): "rejected_ratio",
    }
)
_SCALED: Final = {"rho": "x", "chosen_ratio": "chosen_reward", "rejected_ratio": "rejected_reward"}
_RESERVED: Final = frozenset(
    {"torch", "F", "math", "nn", "self", "beta", "x", "rho", *_MARGINS.values(), *_SCALED.values(), "print", "printed"}
)
_MAX_NAME = 40


def function_name(text: str) -> str:
    """A short identifier from any text: letters, digits and underscores; neither a keyword nor a name that printers use."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()[:200]).strip("_")[:_MAX_NAME].strip("_")
    clash = keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in _RESERVED or re.fullmatch(r"t\d+", name)
    if not name or name[0].isdigit() or clash:
        return f"loss_{name}".rstrip("_") if name else "loss"
    return name


def known_names(graph: VerifiedGraph) -> dict[int, str]:
    """Node -> usual name, for margins, log-ratios and rewards. Each name is given once; repeated terms stay unnamed."""
    linear: list[Mapping[str, float] | None] = []
    names: dict[int, str] = {}
    for i, node in enumerate(graph.nodes):
        parts = [linear[a] for a in node.args]
        linear.append(_combined(node.op, str(node.attrs.get("name", "")), parts))
        name = _MARGINS.get(frozenset((linear[i] or {}).items()), "")
        if node.op == "mul":
            scaled = {graph.nodes[a].attrs.get("name"): b for a, b in (node.args, node.args[::-1])}
            name = _SCALED.get(names.get(scaled.get("beta", -1), ""), "")
        if name and name not in names.values():
            names[i] = name
    return names


def uses(graph: VerifiedGraph) -> Counter[int]:
    """Node -> how many operands refer to it."""
    return Counter(a for node in graph.nodes for a in node.args)


def _combined(op: str, name: str, parts: list[Mapping[str, float] | None]) -> Mapping[str, float] | None:
    """A node as a linear combination, input -> coefficient, or None if it is not one."""
    if op == "input":
        return {name: 1.0}
    if any(p is None for p in parts):
        return None
    known = [p for p in parts if p is not None]
    if op == "neg":
        return {n: -c for n, c in known[0].items()}
    if op not in ("add", "sub"):
        return None
    sign = 1.0 if op == "add" else -1.0
    total = {n: known[0].get(n, 0.0) + sign * known[1].get(n, 0.0) for n in {**known[0], **known[1]}}
    return {n: c for n, c in total.items() if c}
