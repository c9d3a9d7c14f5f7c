"""The record of an operation: everything that is known of it, in one place. A record that lacks a part fails when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

from sandbox.graph.operations.parts.attributes import NORMAL, Attr
from sandbox.graph.operations.parts.bounds import Bound
from sandbox.graph.operations.parts.calls import PARAMETER_KINDS, Spelling
from sandbox.graph.operations.parts.edges import Edges
from sandbox.graph.operations.parts.kernels import KernelMaker
from sandbox.graph.operations.parts.shapes import ABOUT_AXES, RULES
from sandbox.graph.operations.parts.written import Form
from sandbox.graph.types import Type


class IncompleteRecord(Exception):
    """A record lacks a part, or a part does not fit the others. Names the operation and the part."""


MISSING: Final[Any] = object()
"""Stands where a record does not say anything."""


class Gradient(NamedTuple):
    """How torch differentiates an operation. `flows` says whether anything flows back through it at all."""

    flows: bool = True
    undefined: tuple[int, ...] = ()
    """Operands in which torch has no derivative, though it tracks them: a loss that sends policy values there cannot be trained."""
    undefined_name: str = ""
    """What to call these operands in a finding."""
    untracked: tuple[int, ...] = ()
    """Operands that a floating result does not depend on for autograd."""


FLOWS: Final = Gradient()
STOPS: Final = Gradient(flows=False)


class OnNumbers(NamedTuple):
    """The operation on Python numbers: on beta, sizes and constants. `written` is the function that Python source calls for it;
    empty where the operation is written alike for numbers and tensors."""

    compute: Callable[..., Any]
    written: str = ""


class Cost(NamedTuple):
    """What an operation costs to test, in units of about 0.1 ms (`scripts/bench_costs.py` measures them)."""

    calls: int = 3
    """Whatever it is given."""
    numbers: float = 12
    """For each 4,096 numbers that it reads or writes, or multiplies."""
    operands: int = 0
    """For each operand."""


CHEAP: Final = Cost()
"""As an addition."""
FREE: Final = Cost(0, 0)


class Genetic(NamedTuple):
    """Whether the genetic proposer may write the operation into a loss, and how.

    `replaced_by` are the operations that may stand in its place, `replaces` those in whose place it may stand; `tunable` are
    attributes that a refinement changes, each with the range that it keeps them in.
    """

    allowed: bool = True
    replaced_by: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    tunable: Mapping[str, tuple[float, float]] = MappingProxyType({})


PROPOSED: Final = Genetic()
NOT_PROPOSED: Final = Genetic(allowed=False)

Result = Literal["float", "bool", "int", "promote", "same", "rounded", "sum", "where", "cast", "const", "input"]
"""The kind of number that comes out: `promote` the widest operand's, `same` the first operand's, `rounded` the same but whole where
the operand is a Python number, `sum` the same but whole for booleans; the others are those of the operation of that name."""
_RESULTS: Final = get_args(Result)
Booleans = Literal["any", "not all", "none"]
"""Which operands may be boolean."""
Parity = Literal["even", "odd"]
Order = Literal["free", "place", "sorted"]
"""What reordering the entries along the axes does to the result: `free` reorders it alike (a reduction stays as it is), `place`
changes it, `sorted` leaves it, since it has an order of its own."""
TypeCheck = Callable[[Sequence[Type], Mapping[str, Any]], None]


PARTS: Final[Mapping[str, str]] = {
    "calls": "the calls by which source may ask for it, () where there are none",
    "arity": "the least and the largest number of operands",
    "attrs": "its attributes, {} where it has none",
    "rule": "the name of its shape rule (parts/shapes.py)",
    "result": "the kind of number that comes out",
    "kernel": "what computes it: a function of the module torch that returns the kernel (parts/kernels.py)",
    "bound": "a bound on the size of its values, `unbounded` where none is known (parts/bounds.py)",
    "edges": "where it can change a loss abruptly, `smooth(...)` where it cannot (parts/edges.py)",
    "gradient": "how torch differentiates it: FLOWS, STOPS, or a Gradient",
    "python": "how it is written in Python (parts/python.py)",
    "latex": "how it is written in LaTeX (parts/latex.py)",
    "cost": "its cost as scripts/bench_costs.py measures it, CHEAP for that of an addition",
    "genetic": "whether the genetic proposer may use it: NOT_PROPOSED, PROPOSED, or a Genetic",
}
"""What every record must say, and how."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Operation:
    """One operation. What has no default must be said by every record; IncompleteRecord tells what was left out."""

    name: str

    calls: tuple[Spelling, ...] = MISSING
    arity: tuple[int, int] = MISSING
    attrs: Mapping[str, Attr] = MISSING
    rule: str = MISSING
    result: Result = MISSING
    kernel: KernelMaker = MISSING
    bound: Bound = MISSING
    edges: Edges = MISSING
    gradient: Gradient = MISSING
    python: Form = MISSING
    latex: Form = MISSING
    cost: Cost = MISSING
    genetic: Genetic = MISSING

    on_numbers: OnNumbers | None = None
    """None where it is defined on tensors only."""
    booleans: Booleans = "any"
    check: TypeCheck | None = None
    """What else the types must fulfil. Raises ShapeError."""
    order: Order | None = None
    """Said by operations along axes, and by no others."""
    counts: bool | None = None
    """Whether the result tells how many items there are, as a sum does and a mean does not. Operations along axes must say so."""
    commutative: bool = False
    parity: Parity | None = None
    """Of functions f with f(-x) = f(x) or f(-x) = -f(x)."""
    keeps_operands: bool = False
    """True where torch does not turn integer operands into floats for a floating result."""
    shares_memory: bool = False
    """True where torch's result is a view of the operand, so that changing one in place changes the other."""
    scalar: bool = field(init=False)
    """Whether it is defined on Python numbers."""

    def __post_init__(self) -> None:
        for part, what in PARTS.items():
            if getattr(self, part) is MISSING:
                raise IncompleteRecord(f"the operation {self.name!r} lacks the part {part!r}: {what}")
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))
        object.__setattr__(self, "scalar", self.on_numbers is not None)
        for name, fault in self._faults():
            raise IncompleteRecord(f"the operation {self.name!r} has a wrong part {name!r}: {fault}")

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can flow back through it."""
        return self.gradient.flows

    def _faults(self) -> Iterator[tuple[str, str]]:
        """Parts that do not fit, each with what is wrong."""
        least, most = self.arity
        if not 0 <= least <= most:
            yield "arity", f"expected (least, most), got {self.arity}"
        for name, attr in self.attrs.items():
            if attr.kind not in NORMAL:
                yield "attrs", f"{name} is of the unknown kind {attr.kind!r}, expected one of {', '.join(NORMAL)}"
        for p in (p for spelling in self.calls for p in spelling.parameters):
            if p.kind not in PARAMETER_KINDS:
                yield "calls", f"the parameter {p.name} is of the unknown kind {p.kind!r}"
        if self.rule not in RULES:
            yield "rule", f"{self.rule!r} is none of {', '.join(RULES)}"
        if self.result not in _RESULTS:
            yield "result", f"{self.result!r} is none of {', '.join(_RESULTS)}"
        if self.rule in ABOUT_AXES:
            if self.order is None:
                yield "order", "an operation along axes says what reordering does"
            if self.counts is None:
                yield "counts", "an operation along axes says whether"
        elif self.order is not None:
            yield "order", "only operations along axes have one"
        for part in ("kernel", "bound", "python", "latex"):
            value: Any = getattr(self, part)
            if not callable(value):
                yield part, f"expected a function, got {value!r}"
        if any(k >= most for k in (*self.gradient.undefined, *self.gradient.untracked)):
            yield "gradient", "it speaks of an operand that there is none of"
        if not all(a in self.attrs and self.attrs[a].kind == "number" for a in self.genetic.tunable):
            yield "genetic", "a tunable attribute is no number"
        if not self.genetic.allowed and self.genetic != NOT_PROPOSED:
            yield "genetic", "it is not allowed, but says how"
        for spelling in self.calls:
            if not spelling.by:
                yield from (("calls", fault) for fault in self._misfits(spelling))

    def _misfits(self, call: Spelling) -> Iterator[str]:
        """What does not fit in a call that is the operation as it stands."""
        path, (least, most) = call.paths[0], self.arity
        operands, several = 0, False
        others: set[str] = set()
        for p in call.parameters:
            operands += p.kind in ("tensor", "value")
            several = several or p.kind == "tensors"
            if p.kind not in ("tensor", "value", "tensors", "fixed", "ignored"):
                others.add(p.name)
        if not several and not least <= operands <= most:
            yield f"{path} has {operands} operands, expected {least} to {most}"
        for name in others - self.attrs.keys():
            yield f"the parameter {name!r} of {path} is no attribute of it"
        for name, attr in self.attrs.items():
            if attr.default is ... and name not in others:
                yield f"{path} has no parameter for its attribute {name!r}"
