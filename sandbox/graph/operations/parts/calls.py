"""The calls by which source may ask for an operation: their names and parameters, as torch and math have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, get_args

REQUIRED: Final = object()
"""Default of a parameter that must be given."""

ParameterKind = Literal[
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
]
PARAMETER_KINDS: Final = frozenset(get_args(ParameterKind))


class Parameter(NamedTuple):
    """One parameter: its name, what it may be, its default; `variadic` takes all further positional arguments."""

    name: str
    kind: ParameterKind
    default: Any = REQUIRED
    variadic: bool = False
    keyword_only: bool = False


class Spelling(NamedTuple):
    """Full names that stand for one thing, with their parameters: torch.nn.functional.softplus, Tensor.exp, math.exp.

    `by` names the function that turns the call into operations (`lowering`). Where it is empty, the call is the operation of the
    record: parameters of the kinds `tensor`, `value` and `tensors` are its operands, the others its attributes. `layers` are
    classes of torch.nn that do the same to whatever they are called with.
    """

    paths: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    by: str = ""
    layers: tuple[str, ...] = ()


class _Keywords:
    """The `*` of a signature."""


KEYWORDS: Final = _Keywords()
"""What follows it is given by keyword only."""

P = Parameter
"""Short for the tables of calls."""


def rest(name: str, kind: ParameterKind) -> Parameter:
    """A parameter that takes all further positional arguments: `*name`."""
    return Parameter(name, kind, variadic=True)


def call(paths: str, *parameters: Parameter | _Keywords, by: str = "", layers: str = "") -> Spelling:
    """The calls at these names, written as source writes them (`F.relu torch.relu Tensor.relu`) and parted by spaces."""
    return Spelling(
        tuple(p.replace("F.", "torch.nn.functional.", 1) if p.startswith("F.") else p for p in paths.split()),
        tuple(_marked(parameters)),
        by,
        tuple(f"torch.nn.{name}" for name in layers.split()),
    )


def _marked(parameters: tuple[Parameter | _Keywords, ...]) -> Iterator[Parameter]:
    keyword_only = False
    for p in parameters:
        if isinstance(p, _Keywords):
            keyword_only = True
            continue
        yield Parameter(p.name, p.kind, p.default, p.variadic, keyword_only=True) if keyword_only else p
        keyword_only = keyword_only or p.variadic


X: Final = P("input", "tensor")
"""The tensor that a function works on, and that a method belongs to."""
OTHER: Final = P("other", "value")
OUT: Final = P("out", "fixed", None)
DTYPE: Final = P("dtype", "fixed", None)
INPLACE: Final = P("inplace", "fixed", False)
WEIGHT: Final = P("weight", "fixed", None)
KEEPDIM: Final = P("keepdim", "flag", False)
DEVICE: Final = (
    P("device", "ignored", None),
    P("requires_grad", "fixed", False),
    P("pin_memory", "fixed", False),
    P("layout", "ignored", None),
)
LIKE: Final = (P("dtype", "dtype", None), *DEVICE, P("memory_format", "ignored", None))
MADE: Final = (P("dtype", "dtype", None), *DEVICE, P("out", "fixed", None))
REDUCTION: Final = (
    P("size_average", "fixed", None),
    P("reduce", "fixed", None),
    P("reduction", "text", "mean"),
)
"""How one of F's losses is summed up."""


def on_numbers(name: str) -> Spelling:
    """math.NAME, on a Python number."""
    return call(f"math.{name}", P("x", "scalar"), by=f"math_{name}")
