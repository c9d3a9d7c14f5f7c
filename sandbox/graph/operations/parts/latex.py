"""LaTeX forms of operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.graph.operations.parts.written import ATOM, COMPARISON, POWER, SUM, TERM, UNARY, Form, Text, Written


def at(text: Text, level: int) -> str:
    """The text as an operand of an expression of precedence `level`, in parentheses if necessary."""
    return text.text if text.level >= level else rf"\left({text.text}\right)"


def named(function: str = "") -> Form:
    r"""A function of its operands, such as `\log(x)`; by default, with the operation's name."""

    def form(w: Written) -> Text:
        symbol = function or rf"\operatorname{{{escaped(w.op)}}}"
        given = ", ".join(f"{escaped(k)}={_value(v)}" for k, v in w.attrs.items() if _matters(w, k, v))
        subscript = rf"_{{\text{{{given}}}}}" if given else ""
        return Text(rf"{symbol}{subscript}\left({', '.join(w.texts)}\right)")

    return form


NAMED: Final[Form] = named()


def wrapped(before: str, after: str, level: int = ATOM) -> Form:
    """The operand between two texts."""
    return lambda w: Text(f"{before}{w.operands[0].text}{after}", level)


def infix(symbol: str) -> Form:
    """A sum or difference."""
    return lambda w: Text(f"{at(w.operands[0], SUM)} {symbol} {at(w.operands[1], TERM)}", SUM)


def relation(symbol: str) -> Form:
    """A comparison."""
    return lambda w: Text(f"{at(w.operands[0], SUM)} {symbol} {at(w.operands[1], SUM)}", COMPARISON)


def product(w: Written) -> Text:
    """Two adjacent factors."""
    return Text(rf"{at(w.operands[0], TERM)} \, {at(w.operands[1], UNARY + 1)}", TERM)


def fraction(w: Written) -> Text:
    """The first operand over the second."""
    return Text(rf"\frac{{{w.operands[0].text}}}{{{w.operands[1].text}}}", POWER)


def minus(w: Written) -> Text:
    """The operand with a minus sign."""
    return Text(f"-{at(w.operands[0], UNARY)}", UNARY)


def power(w: Written) -> Text:
    """The second operand as a superscript of the first."""
    return Text(f"{at(w.operands[0], ATOM)}^{{{w.operands[1].text}}}", POWER)


def square(w: Written) -> Text:
    """The operand squared."""
    return Text(f"{at(w.operands[0], ATOM)}^{{2}}", POWER)


def cases(w: Written) -> Text:
    """A `cases` environment: one value if the condition holds, else another."""
    condition, yes, no = w.texts
    return Text(rf"\begin{{cases}} {yes} & {condition} \\ {no} & \text{{otherwise}} \end{{cases}}", SUM)


def cast(w: Written) -> Text:
    """Iverson brackets for a condition that becomes a float, else a function."""
    return Text(rf"\left[{w.operands[0].text}\right]") if w.attrs["to"] == "float" else NAMED(w)


def _matters(w: Written, key: str, value: Any) -> bool:
    return bool(value != w.specifications[key].default) and value is not None


def escaped(name: str) -> str:
    """A name with its underscores escaped."""
    return name.replace("_", r"\_")


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_value(v) for v in value) + ")"
    if isinstance(value, float):
        return f"{value:.6g}"
    return escaped(str(value))


SIZES: Final[Mapping[str, str]] = {"B": "n", "C": "c"}
