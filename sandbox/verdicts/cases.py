"""Remedies for frequent cases of a rule, recognised by the excerpt. They take the place of the rule's own advice. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

Case = tuple[str, str]
"""A pattern that the excerpt begins with, and the remedy."""

_QUANTILE: Final = (
    "The batch size is not known. For a part of the batch compare with a quantile. Write: "
    "`keep = (losses.detach() >= torch.quantile(losses.detach(), 0.8)).float()`"
)
CASES: Final[Mapping[str, Sequence[Case]]] = {
    "SBX105": ((r"[\u03b2\u0392]", "Write `beta`"),),
    "SBX113": (
        (r".*:=", "Assign in a statement of its own, and use the name afterwards. Write: `y = rho.clamp(min=-30.0)`"),
        (r"match\b", "Use if and elif on constants. Write: `if kind == 1:`"),
        (r"\{", "Use a tuple instead of a set. Write: `if kind in (1, 2):`"),
        (r"\*", "Write the items one by one, or keep the tuple in one name and use its items by number"),
    ),
    "SBX117": ((r"@?classmethod\b", "Replace the class method by a function, or by __init__"),),
    "SBX120": (
        (r"@?property\b", "Replace the property by an attribute that __init__ sets. Write: `self.scale = 0.5`"),
        (r"@?classmethod\b", "Replace the class method by a function, or by __init__"),
    ),
    "SBX123": (
        (
            r"(functools|partial|reduce|cache|lru_cache)\b",
            "Remove the import, and use a lambda or a helper function. Write: `scaled = lambda z: 0.5 * z`",
        ),
        (
            r"(dataclass|dataclasses|field|enum|Enum|NamedTuple)\b",
            "Remove the import, and use constants or parameters with constant defaults",
        ),
        (r"(warnings|logging|sys|os)\b", "Remove the import, and what it is used for: a loss only computes"),
    ),
    "SBX127": (
        (r"(getattr|hasattr|setattr)\b", "Use a parameter with a constant default, or the attribute by its name"),
    ),
    "SBX131": (
        (r".*\bempty", "Its values are undefined: use zeros, or torch.where. Write: `out = torch.zeros_like(rho)`"),
    ),
    "SBX132": (
        (r".*\brequires_grad_\b", "Remove the call: the policy's arguments have a gradient, the reference's have none"),
    ),
    "SBX133": ((r"(int|round)\(", _QUANTILE),),
    "SBX201": (
        (r"max\(", "Use torch.maximum for tensors. Write: `y = torch.maximum(a, b)`"),
        (r"min\(", "Use torch.minimum for tensors. Write: `y = torch.minimum(a, b)`"),
    ),
    "SBX206": (
        (r".*quantile\(", "q is a number, or a tensor of constants. Write: `low = torch.quantile(x.detach(), 0.25)`"),
    ),
    "SBX207": (
        (r".*quantile\(", "q must be a constant. Write: `low = torch.quantile(x.detach(), 0.25)`"),
        (r".*(topk|kthvalue)\(", _QUANTILE),
    ),
    "SBX231": (
        (
            r".*\.(int|short|byte|char)\(|.*torch\.u?int(8|16|32)?\b",
            "Write .float() for a mask, and .long() for whole numbers. Write: `mask = (rho < 0).float()`",
        ),
    ),
}
"""Cases by rule; the first that fits counts."""


def remedy_of(code: str, excerpt: str) -> str:
    """The remedy for this case of a rule; "" if it is none of the known ones."""
    return next((remedy for pattern, remedy in _compiled(code) if pattern.match(excerpt)), "")


@cache
def _compiled(code: str) -> Sequence[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), remedy) for pattern, remedy in CASES.get(code, ())]
