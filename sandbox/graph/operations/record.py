"""The record of an operation: all its properties in one place. Creating a record that lacks a part raises IncompleteRecord."""

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
from sandbox.graph.operations.parts.printed import Form
from sandbox.graph.operations.parts.shapes import COMBINE_ENTRIES, RULES
from sandbox.graph.types import Type


class IncompleteRecord(Exception):
    """A record lacks a part, or a part does not fit the others. The message names the operation and the part."""


MISSING: Final[Any] = object()
"""Default of the required parts."""


class Gradient(NamedTuple):
    """How torch differentiates an operation. `flows`: whether a gradient can flow back through it."""

    flows: bool = True
    undefined: tuple[int, ...] = ()
    """Operands that torch tracks but cannot differentiate: a loss that passes policy values there cannot be trained."""
    undefined_name: str = ""
    """The word for these operands in a finding."""
    untracked: tuple[int, ...] = ()
    """Operands of a floating result that autograd does not track."""


FLOWS: Final = Gradient()
STOPS: Final = Gradient(flows=False)


class OnNumbers(NamedTuple):
    """The operation on Python numbers: beta, sizes and constants.

    `written` is the function that printed Python calls for it; empty if numbers and tensors are printed alike.
    """

    compute: Callable[..., Any]
    written: str = ""


class Cost(NamedTuple):
    """The cost of testing an operation, in units of about 0.1 ms (measured by `scripts/bench_costs.py`)."""

    calls: int = 3
    """Constant cost."""
    numbers: float = 12
    """Cost per 4,096 numbers that it reads or writes, or multiplications."""
    operands: int = 0
    """Cost per operand."""


CHEAP: Final = Cost()
"""The cost of an addition."""
FREE: Final = Cost(0, 0)


class Genetic(NamedTuple):
    """Whether and how the genetic proposer may use the operation.

    `replaced_by` are the operations that it may be replaced by, `replaces` those that it may replace. `tunable` are the attributes
    that a refinement changes, each with its range.
    """

    allowed: bool = True
    replaced_by: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    tunable: Mapping[str, tuple[float, float]] = MappingProxyType({})


PROPOSED: Final = Genetic()
NOT_PROPOSED: Final = Genetic(allowed=False)

Result = Literal["float", "bool", "int", "promote", "same", "rounded", "sum", "where", "cast", "const", "input"]
"""The dtype of the result: `promote` the widest operand's, `same` the first operand's, `rounded` the same but int for a Python
number, `sum` the same but int for booleans; `where`, `cast`, `const` and `input` follow the operation of that name."""
Booleans = Literal["any", "not all", "none"]
"""Which operands may be boolean."""
Parity = Literal["even", "odd"]
Order = Literal["free", "place", "sorted"]
"""Effect of reordering the entries along the axes. `free`: the result is reordered alike (a reduction does not change). `place`:
the result depends on the positions. `sorted`: the result does not change, since it is sorted."""
TypeCheck = Callable[[Sequence[Type], Mapping[str, Any]], None]


PARTS: Final[Mapping[str, str]] = {
    "calls": "the calls through which source uses it, () if there are none",
    "arity": "the smallest and the largest number of operands",
    "attrs": "its attributes, {} if it has none",
    "rule": "the name of its shape rule (parts/shapes.py)",
    "result": "the dtype of its result",
    "kernel": "its computation: a function of the module torch that returns the kernel (parts/kernels.py)",
    "bound": "a bound on the absolute value of its result, `unbounded` if none is known (parts/bounds.py)",
    "edges": "where it can change a loss abruptly, `smooth(...)` if nowhere (parts/edges.py)",
    "gradient": "how torch differentiates it: FLOWS, STOPS, or a Gradient",
    "python": "its Python form (parts/python.py)",
    "latex": "its LaTeX form (parts/latex.py)",
    "cost": "its cost as measured by scripts/bench_costs.py, CHEAP for that of an addition",
    "genetic": "whether the genetic proposer may use it: NOT_PROPOSED, PROPOSED, or a Genetic",
}
"""The required parts of a record, each with a description for the error message."""
_TYPES: Final[Mapping[str, type]] = {
    "calls": tuple, "arity": tuple, "attrs": Mapping, "edges": Edges, "gradient": Gradient, "cost": Cost, "genetic": Genetic,
}  # fmt: skip
_CHOICES: Final[Mapping[str, tuple[str | None, ...]]] = {
    "rule": tuple(RULES),
    "result": get_args(Result),
    "booleans": get_args(Booleans),
    "order": (None, *get_args(Order)),
    "parity": (None, *get_args(Parity)),
}
"""The values that each of these parts may have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Operation:
    """One operation. Parts with the default MISSING are required. Raises IncompleteRecord."""

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
    """None if it is defined on tensors only."""
    booleans: Booleans = "any"
    check: TypeCheck | None = None
    """A further check of the operands' types. Raises ShapeError."""
    order: Order | None = None
    """Required for operations along axes, and None for all others."""
    counts: bool | None = None
    """Whether the result depends on the number of entries, as a sum does and a mean does not. Required along axes."""
    commutative: bool = False
    parity: Parity | None = None
    """Even: f(-x) = f(x). Odd: f(-x) = -f(x)."""
    keeps_operands: bool = False
    """True if torch does not convert integer operands to floats for a floating result."""
    shares_memory: bool = False
    """True if torch's result is a view of the operand, so that changing one in place changes the other."""
    scalar: bool = field(init=False)
    """Whether it is defined on Python numbers."""

    def __post_init__(self) -> None:
        for part, what in PARTS.items():
            if getattr(self, part) is MISSING:
                raise IncompleteRecord(f"the operation {self.name!r} lacks the part {part!r}: {what}")
        for part, kind in _TYPES.items():
            if not isinstance(value := getattr(self, part), kind):
                raise IncompleteRecord(
                    f"the operation {self.name!r} has a wrong part {part!r}: expected {kind.__name__}, got {value!r}"
                )
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))
        object.__setattr__(self, "scalar", self.on_numbers is not None)
        for name, fault in self._faults():
            raise IncompleteRecord(f"the operation {self.name!r} has a wrong part {name!r}: {fault}")

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can flow back through it."""
        return self.gradient.flows

    def _faults(self) -> Iterator[tuple[str, str]]:
        """(part, fault) for each part that is invalid or contradicts another."""
        least, most = self.arity
        if not 0 <= least <= most:
            yield "arity", f"expected (least, most), got {self.arity}"
        for name, attr in self.attrs.items():
            if attr.kind not in NORMAL:
                yield "attrs", f"{name} is of the unknown kind {attr.kind!r}, expected one of {', '.join(NORMAL)}"
        for p in (p for spelling in self.calls for p in spelling.parameters):
            if p.kind not in PARAMETER_KINDS:
                yield "calls", f"the parameter {p.name} is of the unknown kind {p.kind!r}"
        for part, choices in _CHOICES.items():
            if (chosen := getattr(self, part)) not in choices:
                yield part, f"{chosen!r} is none of {', '.join(map(str, choices))}"
        if self.rule in COMBINE_ENTRIES:
            if self.order is None:
                yield "order", "required along axes: the effect of reordering the entries"
            if self.counts is None:
                yield "counts", "required along axes: whether the result depends on the number of entries"
        elif self.order is not None:
            yield "order", "only operations along axes have this part"
        for part in ("kernel", "bound", "python", "latex"):
            value: Any = getattr(self, part)
            if not callable(value):
                yield part, f"expected a function, got {value!r}"
        if any(k >= most for k in (*self.gradient.undefined, *self.gradient.untracked)):
            yield "gradient", "it names an operand beyond the arity"
        if not all(a in self.attrs and self.attrs[a].kind == "number" for a in self.genetic.tunable):
            yield "genetic", "a tunable attribute is not of the kind 'number'"
        if not self.genetic.allowed and self.genetic != NOT_PROPOSED:
            yield "genetic", "it is not allowed, but has replacements or tunable attributes"
        for spelling in self.calls:
            if not spelling.by:
                yield from (("calls", fault) for fault in self._misfits(spelling))

    def _misfits(self, call: Spelling) -> Iterator[str]:
        """The faults of a call that is exactly this operation."""
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
            yield f"the parameter {name!r} of {path} is not one of its attributes"
        for name, attr in self.attrs.items():
            if attr.default is ... and name not in others:
                yield f"{path} has no parameter for its attribute {name!r}"
