"""Cost model of operations: the CPU time of numeric tests and fingerprint in the trusted process. No torch.

A unit is about 0.1 ms, for a loss that is not pointwise and so is evaluated batch by batch. An addition of vectors costs two or
three units. The records hold the measurements of `scripts/bench_costs.py`, rounded up: a constant cost per operation, and a cost
per 4,096 numbers, which is the size of a matrix of all pairs of 64 items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from sandbox.graph.operations import OPERATIONS, Operation
from sandbox.graph.types import Type

_NOMINAL: Final = {"B": 64, "C": 10}


class Price(NamedTuple):
    """What one operation takes, for 64 items and 10 classes."""

    work: int
    """The numbers that it reads or writes, whichever is more; for a matrix product, the number of multiplications."""
    cost: int
    """In units. Inputs, sizes and constants cost nothing."""


@lru_cache(maxsize=4096)
def price(name: str, operands: tuple[Type, ...], result: Type) -> Price:
    """The price of the operation called `name` with operands and a result of these types."""
    operation = OPERATIONS[name]
    numbers, own = _work(operation, operands, result), operation.cost
    if not own.numbers:
        return Price(numbers, own.calls)
    return Price(numbers, own.calls + own.operands * len(operands) + round(own.numbers * numbers / 4096))


def _work(operation: Operation, operands: Sequence[Type], result: Type) -> int:
    sizes = [math.prod(d.at(_NOMINAL) for d in type_.dims) for type_ in (*operands, result)]
    if operation.rule == "matmul" and len(operands[1].dims) == 2:
        return sizes[0] * operands[1].dims[1].at(_NOMINAL)
    return max(sizes)
