"""What the code of a loss may call, common operations first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sandbox.child.allowlist.calls import CALLS

_MODULES = {"torch.": "torch.", "torch.nn.functional.": "F.", "math.": "math."}
_NOT_ADVISED = frozenset({"unsupported_type", "is_tensor", "is_floating_point", "finfo", "count", "rank"})
"""Lowerings that the sandbox understands but that no loss needs."""


_COMMON = (
    *("sigmoid", "tanh", "exp", "log", "log1p", "abs", "sqrt", "square", "pow", "clamp", "where", "minimum", "maximum"),
    *(
        "softplus",
        "logsigmoid",
        "relu",
        "log_softmax",
        "softmax",
        "cross_entropy",
        "one_hot",
        "huber_loss",
        "gelu",
        "elu",
    ),
    *(
        "mean",
        "sum",
        "std",
        "var",
        "quantile",
        "logsumexp",
        "logaddexp",
        "gather",
        "stack",
        "zeros_like",
        "ones_like",
        "detach",
    ),
)
"""Operations of most published losses, in the order in which they are listed; the others follow by name."""


@cache
def vocabulary() -> Mapping[str, tuple[str, ...]]:
    """What source may call, by the prefix that it is called with; of several names for one thing the first."""
    named: dict[str, dict[str, str]] = {prefix: {} for prefix in _MODULES.values()}
    for call in CALLS:
        module, _, name = call.path.rpartition(".")
        prefix = _MODULES.get(module + ".")
        if prefix and call.lowering not in _NOT_ADVISED:
            named[prefix].setdefault(call.lowering, name)
    return {prefix: tuple(sorted(names.values(), key=_place)) for prefix, names in named.items()}


def _place(name: str) -> tuple[int, str]:
    return (_COMMON.index(name) if name in _COMMON else len(_COMMON)), name
