"""Table of the calls that source may make: torch.X, torch.nn.functional.X, Tensor.X, math.X, each with its parameters.

The entries come from the operations' records and from `composed`. A call's `lowering` is the name of an operation (parameters of
the kinds `tensor` and `value` are then its operands, the others its attributes) or of a function in `trace.lowering`. Names and
defaults are torch's. Torch is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sandbox.child.allowlist.composed import COMPOSED
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.operations.parts.calls import REQUIRED, Parameter, Spelling


@dataclass(frozen=True, slots=True)
class Call:
    """One exposed call. `number` is its index in the table, by which a jailed child refers to it."""

    path: str
    lowering: str
    parameters: tuple[Parameter, ...]
    number: int

    @property
    def name(self) -> str:
        """The name as source writes it: F.softplus, torch.exp, x.clamp."""
        return self.path.replace("torch.nn.functional.", "F.").replace("Tensor.", "x.")

    @property
    def signature(self) -> str:
        """The call with its parameters, for the message about arguments that do not fit."""
        parameters = self.parameters[1:] if self.path.startswith("Tensor.") else self.parameters
        shown = ", ".join(_shown(p) for p in parameters if p.kind not in ("fixed", "ignored"))
        return f"{self.name}({shown})"


def _shown(p: Parameter) -> str:
    star = "*" if p.variadic else ""
    return star + p.name + ("" if p.default is REQUIRED or p.variadic else f"={p.default!r}")


CONSTANTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "math.pi": 3.141592653589793,
        "math.e": 2.718281828459045,
        "math.tau": 6.283185307179586,
        "math.inf": float("inf"),
        "torch.pi": 3.141592653589793,
        "torch.e": 2.718281828459045,
        "torch.inf": float("inf"),
        "numpy.pi": 3.141592653589793,
        "numpy.e": 2.718281828459045,
        "numpy.inf": float("inf"),
        "numpy.euler_gamma": 0.5772156649015329,
    }
)

DTYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "torch.float32": "float",
        "torch.float": "float",
        "torch.int64": "int",
        "torch.long": "int",
        "torch.bool": "bool",
    }
)
"""The dtypes that a loss may name. Every floating tensor has the dtype that the loss is computed in: float32 in training."""

OTHER_FLOATS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "torch.float64": "float64",
        "torch.double": "float64",
        "torch.float16": "float16",
        "torch.half": "float16",
        "torch.bfloat16": "bfloat16",
    }
)
"""Dtypes that may occur in x.to(...) only, as the last step of the loss, where the conversion is dropped."""

SMALL_INTS: Final = frozenset({"torch.int32", "torch.int"})
"""Dtypes that may occur in x.to(...) only, where x is a mask."""

TYPES: Final = frozenset({"torch.Tensor", "torch.FloatTensor", "torch.LongTensor", "torch.BoolTensor"})
"""Classes that annotations and isinstance may name."""


SPELLINGS: Final[tuple[Spelling, ...]] = (
    *(s._replace(by=s.by or o.name) for o in OPERATIONS.values() for s in o.calls),
    *COMPOSED,
)
"""Every spelling of an exposed call, with its lowering."""
CALLS: Final[tuple[Call, ...]] = tuple(
    Call(path, spelling.by, spelling.parameters, number)
    for number, (path, spelling) in enumerate((p, s) for s in SPELLINGS for p in s.paths)
)
NUMPY: Final = (
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "tanh",
    "sinh",
    "cosh",
    "sin",
    "cos",
)
"""Functions of numpy that are those of math here: they accept numbers only."""

_OWN: Final = {c.path: c for c in CALLS}
BY_PATH: Final[Mapping[str, Call]] = MappingProxyType(
    {**_OWN, **{f"numpy.{name}": _OWN[f"math.{name}"] for name in NUMPY if f"math.{name}" in _OWN}}
)
"""Every exposed call by its full name; methods are under `Tensor.`."""

PARTIAL: Final = "functools.partial"
REDUCE: Final = "functools.reduce"
SEQUENTIAL: Final = "torch.nn.Sequential"
NAMESPACE: Final = "types.SimpleNamespace"

METHODS: Final = frozenset(c.path.removeprefix("Tensor.") for c in CALLS if c.path.startswith("Tensor."))

_IN_PLACE = (
    "add sub mul div pow clamp clamp_min clamp_max neg exp log log1p sqrt square abs reciprocal sigmoid tanh relu "
    "masked_fill lerp addcmul addcdiv nan_to_num subtract multiply divide clip scatter scatter_add"
)
IN_PLACE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{f"{name}_": f"Tensor.{name}" for name in _IN_PLACE.split() if name in METHODS},
        "fill_": "torch.full_like",
        "zero_": "torch.zeros_like",
    }
)
"""Methods that change a tensor in place, such as mul_, each with the call that computes the same."""
