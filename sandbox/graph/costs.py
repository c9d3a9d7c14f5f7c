"""Cost model of operations: the CPU time of numeric tests and fingerprint in the trusted process. No torch.

A unit is about 0.1 ms, for a loss that is not pointwise and so is evaluated batch by batch. An addition of vectors costs two or
three units. The records hold the measurements of `scripts/bench_costs.py`, rounded up: a constant cost per operation, and a cost
per 4,096 numbers, which is the size of a matrix of all pairs of 64 items.
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
    """The numbers that the operation reads or writes, whichever is more, for 64 items and 10 classes.

    For a matrix product, the number of multiplications.
    """
    sizes = [_nominal(t.dims) for t in (*operands, result)]
    if operation.rule == "matmul" and len(operands[1].dims) == 2:
        return sizes[0] * operands[1].dims[1].at(_NOMINAL)
    return max(sizes)


def cost(operation: Operation, operands: Sequence[Type], result: Type, numbers: int | None = None) -> int:
    """The cost of the operation in units, for 64 items and 10 classes. Inputs, sizes and constants cost nothing. `numbers`: its
    `work`, if that is known."""
    own = operation.cost
    if not own.numbers:
        return own.calls
    if numbers is None:
        numbers = work(operation, operands, result)
    return own.calls + own.operands * len(operands) + round(own.numbers * numbers / 4096)


@lru_cache(maxsize=1024)
def _nominal(shape: Shape) -> int:
    return math.prod(d.at(_NOMINAL) for d in shape)
