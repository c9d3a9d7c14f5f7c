"""What operations cost: the CPU time of probing and fingerprint, in the trusted process. No torch.

A unit is about 0.1 ms for a loss that looks at its batch, which is probed batch by batch; an addition of vectors takes two or
three. The tables are what `scripts/bench_operations.py` measured, rounded up: an operation takes its calls, whatever it is
given, and a time for each 4,096 numbers, the size of a batch's comparison of all pairs at 64 items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from sandbox.graph.operations import Operation
from sandbox.graph.types import Shape, Type

_CALLS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "binary_cross_entropy_with_logits": 34,
        "quantile": 27,
        **dict.fromkeys(
            (
                "binary_cross_entropy", "cross_entropy", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
                "smooth_l1_loss", "soft_margin_loss",
            ),
            24,
        ),
        **dict.fromkeys(("dot", "logcumsumexp", "normalize"), 18),
        **dict.fromkeys(("outer", "pow", "std", "sum", "var"), 12),
        **dict.fromkeys(
            (
                "amax", "amin", "atan2", "clamp_max", "clamp_min", "expand", "gather", "hardswish", "hardtanh", "logsumexp",
                "logit", "matmul", "max", "mean", "median", "min", "norm", "prod", "softmax", "softshrink", "sort", "where",
                "xlogy",
            ),
            9,
        ),
        **dict.fromkeys(
            (
                "argmax", "argmin", "argsort", "cumsum", "div", "elu", "flip", "floordiv", "hypot", "log_softmax", "logaddexp",
                "logaddexp2", "maximum", "minimum", "nan_to_num", "relu6", "roll", "softsign", "sqrt",
            ),
            6,
        ),
    }
)  # fmt: skip
"""Units of an operation's calls, by name; the others take _CALL."""
_CALL: Final = 3

_NUMBERS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "matmul": 0.5,
        "logcumsumexp": 200,
        **dict.fromkeys(("binary_cross_entropy_with_logits", "gather"), 65),
        **dict.fromkeys(
            (
                "argsort", "asinh", "binary_cross_entropy", "kl_div", "logaddexp2", "mish", "normalize", "pow", "quantile",
                "soft_margin_loss", "softsign", "std", "xlogy",
            ),
            42,
        ),
        **dict.fromkeys(
            (
                "atan2", "cosh", "gelu", "huber_loss", "l1_loss", "logaddexp", "logsigmoid", "maximum", "minimum", "mse_loss",
                "norm", "sinh", "smooth_l1_loss", "sort", "tanhshrink", "var",
            ),
            24,
        ),
    }
)  # fmt: skip
"""Units for each 4,096 numbers that an operation reads or writes, or multiplies; the others take _NUMBER."""
_NUMBER: Final = 12

_OPERAND: Final = 2
"""Units for each operand of `cat` and `stack`."""
_FREE: Final = frozenset({"input", "size", "const"})
_NOMINAL: Final = {"B": 64, "C": 10}


def work(operation: Operation, operands: Sequence[Type], result: Type) -> int:
    """How many numbers the operation reads or writes for 64 items of 10 classes, whichever is more; of a product of matrices
    its multiplications."""
    sizes = [_nominal(t.dims) for t in (*operands, result)]
    if operation.rule == "matmul" and len(operands[1].dims) == 2:
        return sizes[0] * operands[1].dims[1].at(_NOMINAL)
    return max(sizes)


def cost(operation: Operation, operands: Sequence[Type], result: Type) -> int:
    """How many units the operation costs at 64 items of 10 classes; inputs, sizes and constants cost nothing."""
    if operation.name in _FREE:
        return 0
    units = _CALLS.get(operation.name, _CALL)
    if operation.rule in ("cat", "stack"):
        units += _OPERAND * len(operands)
    return units + round(_NUMBERS.get(operation.name, _NUMBER) * work(operation, operands, result) / 4096)


@lru_cache(maxsize=1024)
def _nominal(shape: Shape) -> int:
    return math.prod(d.at(_NOMINAL) for d in shape)
