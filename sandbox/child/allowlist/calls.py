"""The calls that source may make: torch.X, torch.nn.functional.X, Tensor.X, math.X, each with its parameters, as data.

A line of the table says under which names a recipe is exposed and with which parameters:

    (recipe, "where where ...", "name: kind = default, ...")

A recipe is the name of an operation of `operations.OPERATIONS` (then parameters of the kinds `tensor` and `value` become its
operands, the others its attributes) or of a function in `trace.lowering`. Names and defaults are torch's. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sandbox.child.allowlist.call_table import TABLE

REQUIRED: Final = object()
"""Default of a parameter that must be given."""

KINDS: Final = frozenset(
    {
        "tensor",  # a tensor, and nothing else: where torch refuses a Python number
        "value",  # a tensor or a number
        "scalar",  # a number, constant or made from beta and sizes
        "number",  # a constant number
        "int",
        "flag",
        "text",
        "axis",  # a constant int or None
        "axes",  # a constant int, several of them, or None
        "shape",  # sizes: constant ints or sizes of the batch, as one tuple or one by one (*shape)
        "tensors",  # a list or tuple of tensors
        "dtype",
        "fixed",  # accepted with its default only
        "ignored",  # accepted and of no effect: device, memory format
        "any",
    }
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, what it may be, its default; `variadic` takes all further positional arguments."""

    name: str
    kind: str
    default: Any = REQUIRED
    variadic: bool = False
    keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One exposed call. `number` is its place in the table: all that a jailed child says of it."""

    path: str
    recipe: str
    parameters: tuple[Parameter, ...]
    number: int

    @property
    def name(self) -> str:
        """The name as source writes it: F.softplus, torch.exp, x.clamp."""
        return self.path.replace("torch.nn.functional.", "F.").replace("Tensor.", "x.")

    @property
    def signature(self) -> str:
        """The call with its parameters, as help for whoever got them wrong."""
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
"""The types that a loss may name. All floating numbers are what the loss is computed in: float32 in training."""

OTHER_FLOATS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "torch.float64": "float64",
        "torch.double": "float64",
        "torch.float16": "float16",
        "torch.half": "float16",
        "torch.bfloat16": "bfloat16",
    }
)
"""Types that may be named in x.to(...) only, as the very last step, where they are dropped."""

TYPES: Final = frozenset({"torch.Tensor", "torch.FloatTensor", "torch.LongTensor", "torch.BoolTensor"})
"""Classes that annotations and isinstance may name."""


def _parameters(text: str) -> Iterator[Parameter]:
    keyword_only = False
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part == "*":
            keyword_only = True
            continue
        name, _, rest = part.partition(":")
        kind, equals, default = (s.strip() for s in rest.partition("="))
        variadic = name.startswith("*")
        assert kind in KINDS, part
        yield Parameter(name.lstrip("*"), kind, _literal(default) if equals else REQUIRED, variadic, keyword_only)
        keyword_only = keyword_only or variadic


def _literal(text: str) -> Any:
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    if text.startswith("'"):
        return text[1:-1]
    return float(text) if any(c in text for c in ".e") else int(text)


def _calls() -> Iterator[Call]:
    number = 0
    for recipe, where, text in TABLE:
        parameters = tuple(_parameters(text))
        for path in where.split():
            yield Call(path, recipe, parameters, number)
            number += 1


CALLS: Final[tuple[Call, ...]] = tuple(_calls())
BY_PATH: Final[Mapping[str, Call]] = MappingProxyType({c.path: c for c in CALLS})
"""Every exposed call by its full name; methods are under `Tensor.`."""

METHODS: Final = frozenset(c.path.removeprefix("Tensor.") for c in CALLS if c.path.startswith("Tensor."))
