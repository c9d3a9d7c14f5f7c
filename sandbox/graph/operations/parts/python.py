"""Python forms of operations. Vetting turns each back into the same operation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.graph.operations.parts.written import ATOM, POWER, SUM, UNARY, Form, Text, Written


def at(text: Text, level: int) -> str:
    """The text as an operand of an expression of precedence `level`, in parentheses if necessary."""
    return text.text if text.level >= level else f"({text.text})"


def number(value: Any) -> Text:
    """A constant number."""
    if isinstance(value, bool):
        return Text(str(value))
    if isinstance(value, float) and math.isinf(value):
        return Text("math.inf") if value > 0 else Text("-math.inf", UNARY)
    return Text(repr(value), UNARY if value < 0 or repr(value)[0] == "-" else ATOM)


def literal(value: Any) -> str:
    """An attribute's value."""
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, tuple) else number(value).text if value is not None else "None"


# ---- operands --------------------------------------------------------------------------------------------------------


def tensor(w: Written, place: int) -> str:
    """An operand as a tensor; a number is wrapped in torch.tensor."""
    text = w.operands[place].text
    return f"torch.tensor({text})" if w.types[place].is_number else text


def float_tensor(w: Written, place: int) -> str:
    """An operand as a float tensor."""
    if w.types[place].dtype == "float":
        return tensor(w, place)
    text = tensor(w, place) if w.types[place].is_number else at(w.operands[place], ATOM)
    return f"{text}.float()"


def operand(w: Written, place: int) -> str:
    """An operand of a call: a tensor, or a float tensor if the operation computes in floats."""
    return float_tensor(w, place) if w.floating else tensor(w, place)


def size(w: Written, value: int | str) -> str:
    """A size: a number, or the length of an axis of one of the arguments."""
    if isinstance(value, int):
        return str(value)
    for argument in w.contract.tensors:
        if argument.shape is not None and value in argument.shape:
            return f"{argument.name}.shape[{argument.shape.index(value)}]"
    raise KeyError(value)


def sizes(w: Written, values: Sequence[int | str]) -> str:
    """A shape."""
    inner = ", ".join(size(w, v) for v in values)
    return f"({inner},)" if len(values) == 1 else f"({inner})"


def device(w: Written) -> str:
    """The keyword argument that creates a tensor on the device of the arguments."""
    return f"device={w.contract.tensors[0].name}.device"


# ---- forms -----------------------------------------------------------------------------------------------------------


def infix(symbol: str, level: int) -> Form:
    """`a + b`. The right operand has a higher precedence level, so a - (b - c) and a + (b + c) keep their parentheses."""

    def form(w: Written) -> Text:
        left, right = w.operands
        return Text(f"{at(left, max(level, SUM))} {symbol} {at(right, level + 1)}", level)

    return form


def power(w: Written) -> Text:
    """`a ** b`."""
    base, exponent = w.operands
    return Text(f"{at(base, ATOM)} ** {at(exponent, ATOM)}", POWER)


def minus(w: Written) -> Text:
    """`-a`."""
    return Text("-" + at(w.operands[0], UNARY), UNARY)


def called(
    module: str = "torch", *, first: str = "", always: Sequence[str] = (), plain_numbers: bool = False, method: str = ""
) -> Form:
    """`torch.NAME(operands, attributes that differ from their defaults)`.

    `first` is written before the attributes. Attributes in `always` are written even at their defaults, since torch's default
    differs. With `plain_numbers`, operands after the first may be Python numbers. `method` is appended to the call.
    """

    def form(w: Written) -> Text:
        operands = [
            w.operands[i].text if plain_numbers and i and w.types[i].is_number else operand(w, i)
            for i in range(len(w.operands))
        ]
        attrs = [f"{k}={literal(v)}" for k, v in w.attrs.items() if k in always or _differs_from_default(w, k, v)]
        return Text(f"{module}.{w.op}({', '.join([*operands, *([first] if first else []), *attrs])}){method}")

    return form


def _differs_from_default(w: Written, key: str, value: Any) -> bool:
    default = w.specifications[key].default
    return bool(value != default) or type(value) is not type(default)


def elementwise_loss(w: Written) -> Text:
    """A loss of torch.nn.functional with reduction="none"."""
    return _LOSS(w)


_LOSS = called("F", first='reduction="none"')


def values_along(w: Written) -> Text:
    """A call that returns values and indices if it has an axis; the values are used."""
    return _VALUES(w) if w.attrs["dim"] is not None else _CALLED(w)


_CALLED, _VALUES = called(), called(method=".values")


def positional(*names: str) -> Form:
    """A call with positional attributes, since torch names them differently."""

    def form(w: Written) -> Text:
        return Text(f"torch.{w.op}({', '.join([*w.texts, *(literal(w.attrs[n]) for n in names)])})")

    return form


def listed(w: Written) -> Text:
    """`torch.NAME([operands], dim=...)`."""
    return Text(f"torch.{w.op}([{', '.join(w.texts)}], dim={w.attrs['dim']})")


def bare(w: Written) -> Text:
    """`torch.NAME(operands)`, without conversions."""
    return Text(f"torch.{w.op}({', '.join(w.texts)})")


def shaped(call: str) -> Form:
    """`torch.CALL(operand, shape)`."""
    return lambda w: Text(f"torch.{call}({w.operands[0].text}, {sizes(w, w.attrs['shape'])})")


def sized(w: Written) -> Text:
    """`torch.NAME(size, device=...)`."""
    return Text(f"torch.{w.op}({size(w, w.attrs['symbol'])}, {device(w)})")


def clamp(bound: str) -> Form:
    """torch.clamp with one bound, which may be a number."""
    return lambda w: Text(f"torch.clamp({operand(w, 0)}, {bound}={w.operands[1].text})")


def where(w: Written) -> Text:
    """torch.where on a condition."""
    condition = w.operands[0].text
    if w.types[0].dtype != "bool":
        condition = f"{tensor(w, 0) if w.types[0].is_number else at(w.operands[0], ATOM)}.bool()"
    return Text(f"torch.where({condition}, {', '.join(w.texts[1:])})")


def lerp(w: Written) -> Text:
    """torch.lerp, whose weight may be a number."""
    weight = w.operands[2].text if w.types[2].is_number else float_tensor(w, 2)
    return Text(f"torch.lerp({float_tensor(w, 0)}, {float_tensor(w, 1)}, {weight})")


_METHODS: Mapping[str, str] = {"float": "float", "int": "long", "bool": "bool"}


def cast(w: Written) -> Text:
    """`x.float()`, `x.long()` or `x.bool()`."""
    x = tensor(w, 0) if w.types[0].is_number else at(w.operands[0], ATOM)
    return Text(f"{x}.{_METHODS[w.attrs['to']]}()")


def as_float(w: Written) -> Text:
    """The operand as a float tensor; unchanged if it is one."""
    if w.types[0].dtype == "float" and not w.types[0].is_number:
        return w.operands[0]
    return Text(float_tensor(w, 0))


def full(w: Written) -> Text:
    """`torch.full(...)`, or `torch.tensor(number)` without axes."""
    if not w.attrs["shape"]:
        return Text(f"torch.tensor({w.operands[0].text})")
    return Text(f"torch.full({sizes(w, w.attrs['shape'])}, {w.operands[0].text}, {device(w)})")


def slices(w: Written) -> Text:
    """`x[:, a:b]`."""
    dim = w.attrs["dim"] % len(w.types[0].dims)
    start, stop = w.attrs["start"], w.attrs["stop"]
    return Text(f"{at(w.operands[0], ATOM)}[{':, ' * dim}{start or ''}:{'' if stop is None else stop}]")
