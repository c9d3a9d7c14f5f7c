"""Bounds on the size of values, from the contract's ranges. They say where regrouping a sum or product is harmless."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

LARGEST_INPUT = 2e3
"""No log-probability in nats, logit or batch size is larger in size."""
LARGEST_SCALAR = 16.0
"""No beta is larger."""

_Bound = Callable[[Sequence[float]], float]


_BOUNDS: Mapping[str, _Bound] = MappingProxyType(
    {
        **dict.fromkeys(("input", "size", "arange"), lambda sizes: LARGEST_INPUT),
        **dict.fromkeys(
            (
                "sigmoid", "tanh", "sin", "cos", "erf", "sign", "softmax", "softsign", "hardsigmoid", "lt", "le", "eq", "ne",
                "logical_and", "logical_or", "logical_xor", "logical_not", "isfinite", "isnan", "isinf", "one_hot", "normalize",
                "any", "all", "frac", "eye",
            ),
            lambda sizes: 1.0,
        ),
        **dict.fromkeys(
            (
                "abs", "detach", "cast", "relu", "leaky_relu", "maximum", "minimum", "mean", "amax", "amin", "max", "min",
                "median", "quantile", "sort", "unsqueeze", "squeeze", "reshape", "expand", "transpose", "slice", "select",
                "gather", "flip", "roll", "cat", "stack", "diagonal", "triu", "tril", "silu", "gelu", "tanhshrink",
                "hardswish", "mish", "fill", "atan", "asinh", "softshrink", "hardshrink",
            ),
            lambda sizes: max(sizes),
        ),
        **dict.fromkeys(
            ("softplus", "elu", "celu", "selu", "log_softmax", "floor", "ceil", "round", "trunc", "logaddexp", "std"),
            lambda sizes: 2 * max(sizes) + 2.0,
        ),
        "where": lambda sizes: max(sizes[1:]),
        "clamp_min": lambda sizes: max(sizes),
        "clamp_max": lambda sizes: max(sizes),
        "square": lambda sizes: sizes[0] ** 2,
        "var": lambda sizes: 4 * sizes[0] ** 2,
    }
)  # fmt: skip


def bound_of(op: str, sizes: Sequence[float]) -> float:
    """A bound on the size of what `op` gives for operands within `sizes`; infinity where none is known."""
    rule = _BOUNDS.get(op)
    return rule(sizes) if rule is not None else math.inf
