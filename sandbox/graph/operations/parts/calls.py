"""The calls through which source uses an operation: their names and parameters, as in torch and math."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, get_args

REQUIRED: Final = object()
"""Default of a parameter that is required."""

ParameterKind = Literal[
    "tensor",  # a tensor only: torch rejects a Python number here
    "value",  # a tensor or a number
    "scalar",  # a number: constant, or computed from beta and sizes
    "number",  # a constant number
    "int",
    "flag",
    "text",
    "axis",  # a constant int or None
    "axes",  # a constant int, several of them, or None
    "shape",  # sizes: constant ints or symbolic sizes, as one tuple or as separate arguments (*shape)
    "tensors",  # a list or tuple of tensors
    "dtype",
    "fixed",  # accepted with its default value only
    "ignored",  # accepted, without effect: device, memory format
    "any",
]
PARAMETER_KINDS: Final = frozenset(get_args(ParameterKind))


class Parameter(NamedTuple):
    """One parameter: its name, kind and default. A `variadic` one takes all further positional arguments."""

    name: str
    kind: ParameterKind
    default: Any = REQUIRED
    variadic: bool = False
    keyword_only: bool = False


class Spelling(NamedTuple):
    """Full names of one call, such as torch.exp and Tensor.exp, with their common parameters.

    `by` names the lowering that turns the call into operations (`trace.lowering`). If it is empty, the call is the operation of the
    record: parameters of the kinds `tensor`, `value` and `tensors` are its operands, the others its attributes. `layers` are the
    classes of torch.nn that apply the same function.
    """

    paths: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    by: str = ""
    layers: tuple[str, ...] = ()


class _Keywords:
    """The `*` of a signature."""


KEYWORDS: Final = _Keywords()
"""The parameters after it are keyword-only."""

P = Parameter
"""Short name for use in the tables of calls."""


def rest(name: str, kind: ParameterKind) -> Parameter:
    """A parameter that takes all further positional arguments: `*name`."""
    return Parameter(name, kind, variadic=True)


def call(paths: str, *parameters: Parameter | _Keywords, by: str = "", layers: str = "") -> Spelling:
    """A spelling from space-separated names in source notation, for example "F.relu torch.relu Tensor.relu"."""
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
"""The first tensor of a function, and the object of a method."""
OTHER: Final = P("other", "value")
OUT: Final = P("out", "fixed", None)
DTYPE: Final = P("dtype", "fixed", None)
INPLACE: Final = P("inplace", "fixed", False)
WEIGHT: Final = P("weight", "fixed", None)
WEIGHTS: Final = P("weight", "tensor", None)
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
"""The reduction parameters of the losses in torch.nn.functional."""


def on_numbers(name: str) -> Spelling:
    """The call math.NAME on a Python number."""
    return call(f"math.{name}", P("x", "scalar"), by=f"math_{name}")
