"""What operations cost: the CPU time of probing and fingerprint, in the trusted process. No torch.

A unit is about 0.1 ms for a loss that looks at its batch, which is probed batch by batch; an addition of vectors takes two or
three. The records say what `scripts/bench_costs.py` measured, rounded up: an operation takes its calls, whatever it is given, and a
time for each 4,096 numbers, the size of a batch's comparison of all pairs at 64 items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from sandbox.graph.operations import Operation
from sandbox.graph.types import Shape, Type

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
    own = operation.cost
    if not own.numbers:
        return own.calls
    return own.calls + own.operands * len(operands) + round(own.numbers * work(operation, operands, result) / 4096)


@lru_cache(maxsize=1024)
def _nominal(shape: Shape) -> int:
    return math.prod(d.at(_NOMINAL) for d in shape)
