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
_INFERENCE: Final = (
    "Use torch.no_grad() or .detach(): values made in inference mode may not be part of a loss. Write: "
    "`weight = torch.sigmoid(rho).detach()`"
)
CASES: Final[Mapping[str, Sequence[Case]]] = {
    "SBX105": ((r"[\u03b2\u0392]", "Write `beta`"),),
    "SBX112": (
        (r"if __name__\b", "Remove the block: a loss is only called, and everything in a source is checked"),
        (r"if (typing\.)?TYPE_CHECKING\b", "Remove the block; names for annotations may be imported from typing"),
    ),
    "SBX113": (
        (r".*:=", "Assign in a statement of its own, and use the name afterwards. Write: `y = rho.clamp(min=-30.0)`"),
        (r"match\b", "Patterns are constants, on a name, without a guard; or use if and elif. Write: `if kind == 1:`"),
        (r"\{", "Use a tuple instead of a set. Write: `if kind in (1, 2):`"),
    ),
    "SBX116": (
        (
            r".*inference_mode",
            _INFERENCE,
        ),
        (r".*autocast", "Remove it: losses are computed in float32. Only `enabled=False` is accepted"),
    ),
    "SBX117": (
        (
            r"(enum\.)?(Str|Int)?(Enum|Flag)\b",
            "Members are different texts or numbers, without methods; or use a constant. Write: `kind = 'sigmoid'`",
        ),
        (r"\w*Trainer\b", "Give the method that computes the loss as a function, without the trainer"),
        (
            r"[A-Z]\w*(Loss|Base\w*|Mixin)\b",
            "Define the base class once, above this class, or write its methods into this class",
        ),
    ),
    "SBX120": (
        (
            r".*inference_mode",
            _INFERENCE,
        ),
        (r"(staticmethod|classmethod|property)\b", "Remove it, and write a function outside of the class"),
    ),
    "SBX123": (
        (
            r"itertools\b",
            "Remove the import, and write the loops. Write: `pairs = [(i, j) for i in (0, 1) for j in (2, 3)]`",
        ),
        (r"operator\b", "Remove the import, and write the operator in a lambda. Write: `add = lambda p, q: p + q`"),
        (
            r"(cache|lru_cache|cached_property)\b",
            "Remove the import, and use a loop or a helper. Of functools there are partial and reduce. "
            "Write: `scaled = lambda z: 0.5 * z`",
        ),
        (
            r"(field|asdict|replace|enum|Enum|StrEnum|IntEnum|namedtuple)\b",
            "Remove the import. A dataclass or NamedTuple with constant defaults is accepted, and so is a class of constants",
        ),
        (
            r"(trl|transformers|\w*Trainer|accelerate|deepspeed|peft|datasets|PreTrained\w*)\b",
            "Remove the import, and give the function or method that computes the loss alone, without the trainer",
        ),
        (r"(warnings|logging|sys|os)\b", "Remove the import, and what it is used for: a loss only computes"),
    ),
    "SBX126": (
        (
            r"(cast|TypeVar|NewType|ParamSpec|Annotated|Literal)\b",
            "Names of typing are for annotations only: remove the call. Write: `y = rho.clamp(min=-30.0)`",
        ),
    ),
    "SBX122": (
        (
            r".",
            "Remove the text, or print it in a statement of its own: an f-string there may have formats such as {x:.3f}",
        ),
    ),
    "SBX127": (
        (r"(getattr|hasattr|setattr)\b", "Use a parameter with a constant default, or the attribute by its name"),
    ),
    "SBX128": ((r".", "Let print(...) be a statement of its own, without `file`; or remove it"),),
    "SBX129": (
        (r".*\.(is_cuda|get_device)\b", "Remove it: devices have no effect on a loss. `device=x.device` is accepted"),
        (r"self\.training\b", "Remove it: a loss is only computed in training"),
        (
            r"self\.(\w*type|kind|mode|variant|reduction|f_divergence\w*)\b",
            "Set it in __init__ of a class around the method, or use a name of your own. Write: `loss_type = 'sigmoid'`",
        ),
        (
            r"self\.(\w+_free|ipo|use_\w+|is_\w+)\b",
            "Set it in __init__ of a class around the method, or use a name of your own. Write: `reference_free = False`",
        ),
    ),
    "SBX130": (
        (r"torch\.device\b", "Remove it: devices have no effect on a loss. Write: `y = torch.zeros_like(rho)`"),
        (
            r".*\bParameter\b",
            "A loss has no weights that are trained. Use a constant, or a parameter with a default. Write: `tau = 0.5`",
        ),
        (r"torch\.u?int(8|16|32)?\b", "There are int64 and bool. Write: `mask = (rho < 0).float()`"),
    ),
    "SBX131": (
        (r".*\bempty", "Its values are undefined: use zeros, or torch.where. Write: `out = torch.zeros_like(rho)`"),
    ),
    "SBX132": (
        (r".*\brequires_grad_\b", "Remove the call: the policy's arguments have a gradient, the reference's have none"),
    ),
    "SBX133": (
        (r"(int|round)\(", _QUANTILE),
        (
            r".*\.(cpu|item|tolist|numpy)\b",
            "Keep the tensor, and detach it to stop the gradient; item() may stand in a dict of metrics or after the loss that is "
            "returned. Write: `y = rho.mean().detach()`",
        ),
    ),
    "SBX134": (
        (r".*\.requires_grad\b", "Remove it, and use .detach(). Write: `weight = torch.sigmoid(rho).detach()`"),
        (
            r".*\[.*[:,].*\]",
            "Build the tensor of its columns. Write: `y = torch.stack([rho, torch.zeros_like(rho)], dim=1)`",
        ),
    ),
    "SBX201": (
        (r"max\(", "Use torch.maximum for tensors. Write: `y = torch.maximum(a, b)`"),
        (r"min\(", "Use torch.minimum for tensors. Write: `y = torch.minimum(a, b)`"),
    ),
    "SBX206": (
        (
            r".*einsum\(",
            "At most three tensors and four axes, each axis once in a tensor, no ellipsis. "
            "Write: `y = torch.einsum('i,i->i', a, b)`",
        ),
        (
            r".*\.(repeat|tile)\(",
            "An axis of constant size may be repeated up to 64 times, one of size one as often as the batch has items. "
            "Write: `y = rho.unsqueeze(1).repeat(1, 3).mean(dim=1)`",
        ),
        (r".*quantile\(", "q is a number, or a tensor of constants. Write: `low = torch.quantile(x.detach(), 0.25)`"),
    ),
    "SBX207": (
        (
            r"(np|numpy)\.",
            "numpy computes on numbers only here: use torch for tensors. Write: `y = torch.exp(-rho.abs())`",
        ),
        (r".*quantile\(", "q must be a constant. Write: `low = torch.quantile(x.detach(), 0.25)`"),
        (r".*(topk|kthvalue)\(", _QUANTILE),
    ),
    "SBX235": (
        (
            r".*\]\s*=",
            "Use torch.where, or make a tensor of your own first. Write: `y = torch.where(rho > 5.0, 0.0, losses)`",
        ),
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
