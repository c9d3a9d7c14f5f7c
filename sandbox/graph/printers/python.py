"""VerifiedGraph -> Python source that people read, models learn from, and vetting turns back into the same graph. No torch.

Nothing but the graph is printed: operation names, numbers, and names from fixed tables, so nothing that a model wrote can
come back as code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS, computes_in_floats
from sandbox.graph.printers.names import SOURCES, function_name, known_names, uses

_LONG = 64
"""Characters from which on an expression gets a name."""
_SUM, _TERM, _UNARY, _POWER, _ATOM = 1, 2, 3, 4, 5
_INFIX = {
    "add": ("+", _SUM),
    "sub": ("-", _SUM),
    "mul": ("*", _TERM),
    "div": ("/", _TERM),
    "floordiv": ("//", _TERM),
    "remainder": ("%", _TERM),
    "pow": ("**", _POWER),
    "lt": ("<", 0),
    "le": ("<=", 0),
    "gt": (">", 0),
    "ge": (">=", 0),
    "eq": ("==", 0),
    "ne": ("!=", 0),
}


_Special = Callable[["_Printer", int, Node], str]


class _Text:
    """A piece of source and how tightly it binds."""

    def __init__(self, text: str, level: int = _ATOM) -> None:
        self.text = text
        self.level = level

    def at(self, level: int) -> str:
        """The text as an operand of something that binds at `level`."""
        return self.text if self.level >= level else f"({self.text})"


def to_python(graph: VerifiedGraph, name: str = "loss") -> str:
    """The loss as a Python function with its imports. `name` may be any text: it becomes a plain identifier.

    Linear in the size of the graph. Vetting the result gives a graph with the same canonical hash.
    """
    printer = _Printer(graph)
    body = printer.body()
    signature = contract_named(graph.contract).signature
    code = "\n".join([f"def {function_name(name)}({signature}):", *(f"    {line}" for line in body)]) + "\n"
    imports = [i for i, used in ((_MATH, "math."), (_TORCH, "torch."), (_F, "F.")) if used in code]
    if imports[:1] == [_MATH] and len(imports) > 1:
        imports.insert(1, "")
    return "\n".join([*imports, "", "", code]) if imports else code


_MATH, _TORCH, _F = "import math", "import torch", "import torch.nn.functional as F"


class _Printer:
    def __init__(self, graph: VerifiedGraph) -> None:
        self.graph = graph
        self.types = graph.types
        self.names = known_names(graph)
        self.uses = uses(graph)
        self.texts: list[_Text] = []
        self.lines: list[str] = []
        self.temporaries = 0

    def body(self) -> list[str]:
        """The lines of the function's body."""
        for i, node in enumerate(self.graph.nodes):
            text = self._text(i, node)
            if i != self.graph.output and node.op not in SOURCES and self._bound(i, text):
                name = self.names.get(i) or self._temporary()
                self.lines.append(f"{name} = {text.text}")
                text = _Text(name)
            self.texts.append(text)
        return [*self.lines, f"return {self.texts[self.graph.output].text}"]

    def _temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries}"

    def _bound(self, index: int, text: _Text) -> bool:
        return index in self.names or self.uses[index] > 1 or len(text.text) > _LONG

    def _text(self, index: int, node: Node) -> _Text:
        if node.op in SOURCES:
            return self._source(node)
        if index in self.graph.constants:
            return _number(self.graph.constants[index])
        number = all(self.types[a].is_number for a in node.args) and bool(node.args)
        if node.op in _INFIX:
            return self._infix(node)
        if node.op == "neg":
            return _Text("-" + self.texts[node.args[0]].at(_UNARY), _UNARY)
        if number and OPERATIONS[node.op].scalar:
            return _Text(f"{_NUMBER_NAMES.get(node.op, f'math.{node.op}')}({self._listed(node.args)})")
        if node.op == "tensor" and not number and self.types[node.args[0]].dtype == "float":
            return self.texts[node.args[0]]
        special = _SPECIAL.get(node.op)
        if special is not None:
            return _Text(special(self, index, node))
        return _Text(self._call(index, node))

    def _source(self, node: Node) -> _Text:
        if node.op == "input":
            return _Text(str(node.attrs["name"]))
        if node.op == "size":
            return _Text(self._size(node.attrs["symbol"]))
        return _number(node.attrs["value"])

    def _size(self, size: int | str) -> str:
        if isinstance(size, int):
            return str(size)
        for argument in contract_named(self.graph.contract).tensors:
            if argument.shape is not None and size in argument.shape:
                return f"{argument.name}.shape[{argument.shape.index(size)}]"
        raise KeyError(size)

    def _sizes(self, sizes: Sequence[int | str]) -> str:
        inner = ", ".join(self._size(s) for s in sizes)
        return f"({inner},)" if len(sizes) == 1 else f"({inner})"

    def _device(self) -> str:
        """A new tensor must lie where the others are."""
        return f"device={contract_named(self.graph.contract).tensors[0].name}.device"

    def _infix(self, node: Node) -> _Text:
        symbol, level = _INFIX[node.op]
        left, right = (self.texts[a] for a in node.args)
        if level == _POWER:
            return _Text(f"{left.at(_ATOM)} ** {right.at(_ATOM)}", _POWER)
        # The right operand binds tighter: a - (b - c), and a + (b + c) keeps the order of its rounding.
        return _Text(f"{left.at(max(level, _SUM))} {symbol} {right.at(level + 1)}", level)

    def _tensor(self, index: int) -> str:
        """An operand where torch wants a tensor."""
        text = self.texts[index].text
        return f"torch.tensor({text})" if self.types[index].is_number else text

    def _operand(self, node: Node, place: int, floating: bool) -> str:
        """An operand of a call: a tensor, floating where the operation computes in floats."""
        index = node.args[place]
        if self.types[index].is_number and place > 0 and node.op in _NUMBERS_WELCOME:
            return self.texts[index].text
        if floating and self.types[index].dtype != "float":
            text = self._tensor(index) if self.types[index].is_number else self.texts[index].at(_ATOM)
            return f"{text}.float()"
        return self._tensor(index)

    def _listed(self, args: Sequence[int]) -> str:
        return ", ".join(self.texts[a].text for a in args)

    def _call(self, index: int, node: Node) -> str:
        module = "F" if node.op in _FUNCTIONAL else "torch"
        floating = computes_in_floats(node.op, self.types[index].dtype)
        operands = [self._operand(node, i, floating) for i in range(len(node.args))]
        extra = [f"{k}={_literal(v)}" for k, v in node.attrs.items() if self._worth(node, k, v)]
        if node.op in _REDUCED_LOSSES:
            extra.insert(0, 'reduction="none"')
        return f"{module}.{node.op}({', '.join([*operands, *extra])})"

    def _worth(self, node: Node, key: str, value: Any) -> bool:
        default = OPERATIONS[node.op].attrs[key].default
        return value != default or type(value) is not type(default) or key in _ALWAYS


def _number(value: Any) -> _Text:
    if isinstance(value, bool):
        return _Text(str(value))
    if isinstance(value, float) and math.isinf(value):
        return _Text("math.inf") if value > 0 else _Text("-math.inf", _UNARY)
    return _Text(repr(value), _UNARY if value < 0 or repr(value)[0] == "-" else _ATOM)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, tuple) else _number(value).text if value is not None else "None"


_NUMBER_NAMES = {"abs": "abs", "maximum": "max", "minimum": "min"}
_FUNCTIONAL = frozenset(
    {
        "logsigmoid", "relu6", "silu", "mish", "softsign", "tanhshrink", "hardsigmoid", "hardswish", "softplus", "leaky_relu",
        "elu", "celu", "gelu", "softshrink", "hardshrink", "hardtanh", "threshold", "mse_loss", "l1_loss", "smooth_l1_loss",
        "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss", "kl_div", "cross_entropy",
        "nll_loss", "normalize",
    }
)  # fmt: skip
_REDUCED_LOSSES = frozenset(
    {
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
        "soft_margin_loss", "kl_div", "cross_entropy", "nll_loss",
    }
)  # fmt: skip
_NUMBERS_WELCOME = frozenset({"xlogy"})
"""Calls whose further operands may be plain numbers."""
_ALWAYS = frozenset({"eps"})
"""Attributes that are printed even at their default, because torch's own default is another one."""


def _clamp(p: _Printer, index: int, node: Node) -> str:
    bound = "min" if node.op == "clamp_min" else "max"
    x = p._operand(node, 0, computes_in_floats(node.op, p.types[index].dtype))
    return f"torch.clamp({x}, {bound}={p.texts[node.args[1]].text})"


def _where(p: _Printer, index: int, node: Node) -> str:
    condition = p.texts[node.args[0]].text
    if p.types[node.args[0]].dtype != "bool":
        number = p.types[node.args[0]].is_number
        condition = f"{p._tensor(node.args[0]) if number else p.texts[node.args[0]].at(_ATOM)}.bool()"
    return f"torch.where({condition}, {p._listed(node.args[1:])})"


def _lerp(p: _Printer, index: int, node: Node) -> str:
    start, end, weight = (p._operand(node, i, floating=True) for i in range(3))
    if p.types[node.args[2]].is_number:
        weight = p.texts[node.args[2]].text
    return f"torch.lerp({start}, {end}, {weight})"


def _cast(p: _Printer, index: int, node: Node) -> str:
    method = {"float": "float", "int": "long", "bool": "bool"}[node.attrs["to"]]
    if p.types[node.args[0]].is_number:
        return f"torch.tensor({p.texts[node.args[0]].text}).{method}()"
    return f"{p.texts[node.args[0]].at(_ATOM)}.{method}()"


def _full(p: _Printer, index: int, node: Node) -> str:
    if not node.attrs["shape"]:
        return f"torch.tensor({p.texts[node.args[0]].text})"
    return f"torch.full({p._sizes(node.attrs['shape'])}, {p.texts[node.args[0]].text}, {p._device()})"


def _shaped(p: _Printer, index: int, node: Node) -> str:
    """Operations that are given a new shape."""
    call = {"reshape": "reshape", "expand": "broadcast_to"}[node.op]
    return f"torch.{call}({p.texts[node.args[0]].text}, {p._sizes(node.attrs['shape'])})"


def _slice(p: _Printer, index: int, node: Node) -> str:
    x, dim = p.texts[node.args[0]].at(_ATOM), node.attrs["dim"] % len(p.types[node.args[0]].dims)
    start, stop = node.attrs["start"], node.attrs["stop"]
    return f"{x}[{':, ' * dim}{start or ''}:{'' if stop is None else stop}]"


def _valued(p: _Printer, index: int, node: Node) -> str:
    """Operations that give values and indices along an axis."""
    call = p._call(index, node)
    return call if node.attrs.get("dim") is None and node.op != "sort" else f"{call}.values"


def _positional(*names: str) -> _Special:
    """Operations whose attributes are given by position, since torch names them differently."""

    def text(p: _Printer, index: int, node: Node) -> str:
        values = ", ".join(_literal(node.attrs[n]) for n in names)
        return f"torch.{node.op}({p._listed(node.args)}, {values})"

    return text


_SPECIAL: Mapping[str, _Special] = {
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "where": _where,
    "lerp": _lerp,
    "cast": _cast,
    "tensor": lambda p, i, n: p._operand(n, 0, floating=True),
    "full": _full,
    "full_like": lambda p, i, n: f"torch.full_like({p._listed(n.args)})",
    "reshape": _shaped,
    "expand": _shaped,
    "slice": _slice,
    "max": _valued,
    "min": _valued,
    "median": _valued,
    "sort": _valued,
    "flip": lambda p, i, n: f"torch.flip({p._listed(n.args)}, ({n.attrs['dim']},))",
    "roll": _positional("shift", "dim"),
    "select": _positional("dim", "index"),
    "transpose": _positional("dim0", "dim1"),
    "gather": lambda p, i, n: f"torch.gather({p.texts[n.args[0]].text}, {n.attrs['dim']}, {p.texts[n.args[1]].text})",
    "one_hot": lambda p, i, n: f"F.one_hot({p._listed(n.args)}, {p._size(n.attrs['symbol'])})",
    "cat": lambda p, i, n: f"torch.cat([{p._listed(n.args)}], dim={n.attrs['dim']})",
    "stack": lambda p, i, n: f"torch.stack([{p._listed(n.args)}], dim={n.attrs['dim']})",
    "diagonal": lambda p, i, n: f"torch.diagonal({p._listed(n.args)})",
    "arange": lambda p, i, n: f"torch.arange({p._size(n.attrs['symbol'])}, {p._device()})",
    "eye": lambda p, i, n: f"torch.eye({p._size(n.attrs['symbol'])}, {p._device()})",
}
