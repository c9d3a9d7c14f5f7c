"""Symbolic sizes, and the types of a graph's values.

A size is a polynomial in the contract's symbols (`B` items, `C` classes) with integer coefficients: `cat` of two vectors has size
2 B, and a matrix of pairwise differences has B * B entries. Symbols have no particular value: (B,) never broadcasts with (2,).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

MAX_ELEMENTS_FACTOR = 64
"""A value may hold at most this many times batch^2 (and classes^2) numbers."""
MAX_DEGREE = 2


@dataclass(frozen=True, slots=True)
class Dim:
    """A size: a sum of coefficient * product of symbols, as sorted ((symbols...), coefficient) terms."""

    terms: tuple[tuple[tuple[str, ...], int], ...]

    @classmethod
    def of(cls, size: int | str) -> Dim:
        """The size that is a constant or one symbol."""
        if isinstance(size, str):
            return cls((((size,), 1),))
        return cls((((), size),) if size else ())

    @property
    def constant(self) -> int | None:
        """The size as an int, or None if it depends on a symbol."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    def __add__(self, other: Dim) -> Dim:
        return _dim([*self.terms, *other.terms])

    def __mul__(self, other: Dim) -> Dim:
        return _dim([(tuple(sorted(a + b)), ca * cb) for a, ca in self.terms for b, cb in other.terms])

    def divide(self, other: Dim) -> Dim | None:
        """The exact quotient by a single-term size, or None."""
        if len(other.terms) != 1:
            return None
        symbols, coefficient = other.terms[0]
        out = []
        for own, c in self.terms:
            rest = list(own)
            for s in symbols:
                if s not in rest:
                    return None
                rest.remove(s)
            if c % coefficient:
                return None
            out.append((tuple(rest), c // coefficient))
        return _dim(out)

    def batches(self, symbol: str) -> int | None:
        """The size as a multiple of the symbol: 2 for 2 B, None for B * B, B + 1 and 3."""
        found = self.divide(Dim.of(symbol))
        return found.constant if found is not None else None

    def at(self, sizes: Mapping[str, int]) -> int:
        """The size for given values of the symbols."""
        return sum(c * math.prod(sizes[s] for s in symbols) for symbols, c in self.terms)

    @property
    def bounded(self) -> bool:
        """Whether the size stays within MAX_ELEMENTS_FACTOR * batch^2 * classes^2."""
        weight = sum(abs(c) for _, c in self.terms)
        return weight <= MAX_ELEMENTS_FACTOR and all(
            symbols.count(s) <= MAX_DEGREE for symbols, _ in self.terms for s in symbols
        )

    def __str__(self) -> str:
        parts = ["*".join([*([str(c)] if c != 1 or not s else []), *s]) for s, c in self.terms]
        return " + ".join(parts) or "0"


def _dim(terms: Sequence[tuple[tuple[str, ...], int]]) -> Dim:
    total: dict[tuple[str, ...], int] = {}
    for symbols, c in terms:
        total[symbols] = total.get(symbols, 0) + c
    return Dim(tuple(sorted((s, c) for s, c in total.items() if c)))


ONE = Dim.of(1)
Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value: `dtype` of float, int, bool, and its shape, None for a Python number."""

    dtype: str
    shape: Shape | None
    _hash: int = field(init=False, repr=False, compare=False)
    """Kept, because types are the keys of caches."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.dtype, self.shape)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Type], tuple[str, Shape | None]]:
        return Type, (self.dtype, self.shape)  # hashes of text differ from process to process

    @property
    def is_number(self) -> bool:
        """Whether this is a Python number rather than a tensor."""
        return self.shape is None

    @property
    def dims(self) -> Shape:
        """The shape, () for a Python number."""
        return self.shape or ()

    def __str__(self) -> str:
        if self.shape is None:
            return f"Python {self.dtype}"
        inner = ", ".join(map(str, self.shape)) + ("," if len(self.shape) == 1 else "")
        return f"{self.dtype} tensor ({inner})"


@lru_cache(maxsize=1024)
def elements(shape: Shape) -> Dim:
    """The number of elements of a value of this shape."""
    total = ONE
    for d in shape:
        total = total * d
    return total
