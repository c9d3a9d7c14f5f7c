"""Generated small Python programs in the subset that a loss may use. The traced result must equal that of Python and torch.

`program(rng)` gives the text of a loss. Its statements make numbers, lists, dicts, iterators, closures and tensors in all the
ways in which a careless tracer would differ from Python: aliases, scopes, order of execution, integers and floats, iterators that
are used up. Some programs fail in Python; those must be refused. These texts are the only ones that tests ever execute.
"""

from __future__ import annotations

import random
from collections.abc import Callable

SIGNATURE = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta"
_HEAD = """    x = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    y = policy_chosen_logps - reference_chosen_logps
"""
_IMPORTS = ("import math", "import torch as th", "from torch.nn import functional as G", "from math import sqrt as root",
            "import numpy as np", "from typing import Optional", "import torch.nn as nn")  # fmt: skip
_MODULE = """
SCALE = {n}
WEIGHTS = ({n}, {n}, {n})
TABLE = {{"low": {n}, "high": {n}, "items": {n}}}

def helper(function, items=2, *unused, name=1.5, **kwargs):
    return function * items - name

def nested(self, args):
    def inner(value, depth=2):
        return value if depth == 0 else inner(value + args, depth - 1)
    return inner(self) if args > 0 else -inner(-self)

def _folded(values, start=0.0):
    total = start
    for value in values:
        if value > 50:
            break
        if value == 0:
            continue
        total += value
    else:
        total = total + 0.5
    return total

def many(op, values):
    return [op(v) for v in values]
"""


class Writer:
    """Writes the body of one program. It has the names of numbers, lists, dicts and tensors that have a value so far."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.numbers = ["SCALE"]
        self.lists: list[str] = []
        self.tensors = ["x", "y"]
        self.lines: list[str] = []
        self.made = 0

    def name(self, kind: str) -> str:
        self.made += 1
        return f"{self.rng.choice(['', '_'])}{kind}{self.made}"

    def literal(self) -> str:
        return self.rng.choice(
            ["0", "1", "2", "3", "-1", "-2", "7", "0.5", "1.5", "2.5", "-0.5", "0.25", "True", "False", "1e-3"]
        )

    def number(self, depth: int = 2) -> str:
        """An expression that is a number."""
        rng = self.rng
        if depth == 0 or rng.random() < 0.2:
            return rng.choice([self.literal(), rng.choice(self.numbers), rng.choice(self.numbers)])
        a, b, c = (self.number(depth - 1) for _ in range(3))
        made = [f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} / {b})", f"({a} // {b})", f"({a} % {b})", f"-{a}", f"(+{a})",
                f"{rng.choice(['2', '3', '0.5', '1.5'])} ** {rng.choice(['2', '-1', '0.5', '3'])}", f"round({a})", f"round({a}, 1)",
                f"int({a})", f"float({a})", f"abs({a})", f"bool({a})", f"min({a}, {b})", f"max({a}, {b}, {c})", f"pow({a}, 2)",
                f"({a} if {self.condition(depth - 1)} else {b})", f"({a} and {b})", f"({a} or {b})", f"(not {a})",
                f"({a} < {b} < {c})", f"({a} == {b} != {c})", f"(lambda v, k=2: v * k - {a})({b})", f"helper({a}, name={b})",
                f"helper(items={a}, function={b})", f"nested(self={rng.choice(self.numbers)}, args={a})", f"math.floor({a})",
                f"math.sqrt(abs({a}))", "math.pi", f"isinstance({a}, int)", f"isinstance({a}, (float, bool))", "TABLE['items']",
                f"TABLE.get('low', {a})", f"TABLE.get('none', {a})", "WEIGHTS[-1]", f"sum(WEIGHTS, {a})",
                f"dict(items={a}, self={b})['items']", f"sum(v * {a} for v in WEIGHTS if v > {b})",
                f"({a} in ({b}, {c}))", f"({a} is None)", f"len([{a}, {b}][{rng.choice(['1:', ':-1', '::2', '5:'])}])"]  # fmt: skip
        if self.lists:
            items = rng.choice(self.lists)
            made += [f"sum({items})", f"len({items})", f"{items}[{rng.choice(['0', '-1', '1'])}]", f"max({items})",
                     f"_folded({items})",
                     f"sum({items}[{rng.choice(['::-1', '1:3', ':2', '-2:'])}])", f"sum(map(abs, {items}))", f"({a} in {items})",
                     f"sum(i * v for i, v in enumerate({items}, start=1))", f"sorted({items})[0]", f"any({items})", f"all({items})",
                     f"sum(u * v for u, v in zip({items}, reversed({items})))", f"bool({items})"]  # fmt: skip
        return rng.choice(made)

    def condition(self, depth: int = 1) -> str:
        a, b = self.number(depth), self.number(depth)
        return self.rng.choice([f"{a} < {b}", f"{a} >= {b}", f"{a} == {b}", f"not {a}", f"{a} and {b}", f"{a} or {b}", "'a' == 'b'",
                                f"{a} is not None", f"isinstance({a}, float)", f"0 < {a} <= {b}", f"beta > {self.literal()}",
                                f"0.1 < beta < {b}"])  # fmt: skip

    def listed(self) -> str:
        """An expression that is a list of numbers."""
        rng = self.rng
        a, b = self.number(1), self.number(1)
        made = [f"[{a}, {b}, {self.number(1)}]", f"list(range({rng.randint(0, 5)}))", f"[{a}] * {rng.randint(0, 3)}",
                "list(WEIGHTS)",
                f"[v * {a} for v in WEIGHTS]", f"[u + v for u in (1, 2) for v in ({a}, {b})]", f"list(TABLE.values()) + [{a}]",
                f"many(lambda v: v - {a}, WEIGHTS)", "[w for k, w in TABLE.items() if k != 'low']"]  # fmt: skip
        if self.lists:
            items = rng.choice(self.lists)
            made += [items, f"{items} + [{a}]", f"{items}[{rng.choice(['1:', '::-1', ':2'])}]", f"sorted({items})",
                     f"sorted({items}, key=lambda v: (v - {a}) ** 2, reverse=True)", f"list(reversed({items}))",
                     f"[v for v in {items} if v < {a}]", f"list(map(lambda v: v + {a}, {items}))",
                     f"list(filter(lambda v: v > {a}, {items}))", f"[u - v for u, v in zip({items}, {items}[1:])]",
                     f"[i + v for i, v in enumerate({items})]"]  # fmt: skip
        return rng.choice(made)

    def tensor(self, depth: int = 2) -> str:
        """An expression that is a tensor, shape (batch,)."""
        rng = self.rng
        a = rng.choice(self.tensors)
        if depth == 0:
            return a
        b, n = self.tensor(depth - 1), self.number(1)
        return rng.choice([f"({a} + {b})", f"({a} * {n})", f"({n} - {a})", f"({a} - {b} * {n})", f"torch.tanh({b})",
                           f"F.softplus({b})",
                           f"torch.where({a} > {n}, {b}, {a})", f"torch.stack([{a}, {b}]).sum(0)", f"sum([{a}, {b}, {n}])",
                           f"nn.Softplus(beta=2)({b})", f"torch.cat([{a}, {b}]).chunk(2)[1]", f"({b} + len({a}))",
                           f"({a} > {b}).float()", f"helper({b}, items={n})", f"({a} if {self.condition()} else {b})",
                           f"torch.stack([{a}, {b}]).unbind(0)[0]", f"torch.cat([{a}, {b}])[len({a}):]", f"nested({b}, 1)",
                           f"torch.cat([{a}, {b}]).split(len({a}))[0]", f"({b} * beta)", f"{b}.clamp(min=-1.0)"])  # fmt: skip

    def statement(self) -> None:
        """One statement, or a few that belong together."""
        self.rng.choice(_STATEMENTS)(self)

    def add(self, *lines: str) -> None:
        self.lines += [f"    {line}" for line in lines]


def _number(w: Writer) -> None:
    value, name = w.number(), w.name("n")
    w.add(f"{name} = {value}")
    w.numbers.append(name)


def _list(w: Writer) -> None:
    value, name = w.listed(), w.name("l")
    w.add(f"{name} = {value}")
    w.lists.append(name)


def _change_list(w: Writer) -> None:
    if not w.lists:
        return _list(w)
    items, n = w.rng.choice(w.lists), w.number(1)
    return w.add(
        w.rng.choice(
            [
                f"{items} += [{n}]",
                f"{items} *= 2",
                f"{items}.append({n})",
                f"{items}.extend(v * {n} for v in WEIGHTS)",
                f"{items} += {items}",
                f"{items} = {items} + [{n}]",
                f"{items} += (v for v in (1, {n}))",
            ]
        )
    )


def _tensor(w: Writer) -> None:
    value, name = w.tensor(), w.name("t")
    w.add(f"{name} = {value}")
    w.tensors.append(name)


def _change_tensor(w: Writer) -> None:
    fresh, alias = w.name("t"), w.name("t")
    operator = w.rng.choice(["+", "-", "*"])
    w.add(f"{fresh} = {w.tensor()} * 1.0", f"{alias} = {fresh}", f"{fresh} {operator}= {w.number(1)}")
    w.tensors += [fresh, alias]


def _loop(w: Writer) -> None:
    total, step, n = w.name("n"), w.name("i"), w.number(1)
    over = w.rng.choice(
        ["range(4)", "WEIGHTS", "range(3, 0, -1)", "(0.5, 1, True)", "TABLE.values()", "reversed(WEIGHTS)"]
    )
    w.add(
        f"{total} = {n}",
        f"for {step} in {over}:",
        f"    if {step} > {w.number(1)}:",
        f"        {w.rng.choice(['continue', 'break', total + ' -= 1'])}",
        f"    {total} {w.rng.choice(['+', '-', '*', '//', '%', '/'])}= {step} + {w.literal()}",
        *(["else:", f"    {total} = {total} * 2"] if w.rng.random() < 0.4 else []),
    )
    w.numbers += [total, step]


def _iterator(w: Writer) -> None:
    it, first, second = w.name("it"), w.name("n"), w.name("n")
    n = w.number(1)
    made = w.rng.choice(["map(abs, WEIGHTS)", f"(v + {n} for v in WEIGHTS)", "filter(None, WEIGHTS)", "reversed(WEIGHTS)",
                         f"map(lambda u, v: u * v, WEIGHTS, ({n}, 2, 3))", "(i for i, v in enumerate(WEIGHTS))"])  # fmt: skip
    use = w.rng.choice(["sum({})", "len(list({}))", "sum(v for v in {} if v)"])
    w.add(f"{it} = {made}", f"{first} = {use.format(it)}", f"{second} = sum({it}) + len(list({it}))")
    w.numbers += [first, second]


def _closures(w: Writer) -> None:
    made, name, step = w.name("f"), w.name("n"), w.name("i")
    w.add(
        f"{made} = [lambda v: v * {step} + {w.number(1)} for {step} in range(3)]",
        f"{name} = sum(g({w.literal()}) for g in {made})",
    )
    w.numbers.append(name)


def _scopes(w: Writer) -> None:
    made, name, seen = w.name("f"), w.name("n"), w.name("n")
    w.add(
        f"{seen} = {w.number(1)}",
        f"def {made}(value, unused=None):",
        f"    if value > {w.literal()}:",
        f"        return value - {seen}",
        f"    {w.rng.choice(['inner', seen]) if w.rng.random() < 0.3 else 'inner'} = value * 2",
        "    return inner + SCALE" if w.rng.random() < 0.9 else f"    return {seen}",
        f"{seen} = {w.number(1)}",
        f"{name} = {made}({w.number(1)})",
    )
    w.numbers += [name, seen]


def _unpacking(w: Writer) -> None:
    a, b, c = (w.name("n") for _ in range(3))
    w.add(f"{a}, ({b}, {c}) = {w.number(1)}, ({w.number(1)}, {w.literal()})", f"{a}, {b} = {b}, {a}")
    w.numbers += [a, b, c]


def _effects(w: Writer) -> None:
    """Order of evaluation: lazy iterators, short circuits."""
    log, name = w.name("l"), w.name("n")
    n = w.number(1)
    w.add(f"{log} = [0]")
    w.add(
        w.rng.choice(
            [
                f"map({log}.append, WEIGHTS)",
                f"list(map({log}.append, WEIGHTS))",
                f"{n} and {log}.append(1)",
                f"{log}.append(2) or {log}.append(3)",
                f"all({log}.append(v) for v in WEIGHTS)",
                f"any(({log}.append(v) or v > {n}) for v in WEIGHTS)",
                f"zip(map({log}.append, WEIGHTS))",
                f"[{log}.append(v) for v in WEIGHTS if {log}]",
            ]
        )
    )
    w.add(f"{name} = sum({log}) + 3 * len({log})")
    w.lists.append(log)
    w.numbers.append(name)


def _branch(w: Writer) -> None:
    name = w.name("n")
    w.add(f"if {w.condition()}:", f"    {name} = {w.number(1)}", "else:", f"    {name} = {w.number(1)}")
    w.numbers.append(name)


def _late(w: Writer) -> None:
    """Names that have a value in some branches only: Python raises an error in the others."""
    if w.rng.random() < 0.8:
        return _number(w)
    name = w.name("n")
    w.add(f"if {w.condition()}:", f"    {name} = {w.number(1)}", f"{name} = {name} + 1")
    return w.numbers.append(name)


_STATEMENTS: tuple[Callable[[Writer], None], ...] = (
    _number, _number, _list, _list, _change_list, _change_list, _tensor, _tensor, _change_tensor, _loop, _iterator, _closures,
    _scopes, _unpacking, _effects, _branch, _late,
)  # fmt: skip


_CLASS = """
class Loss(nn.Module):
    power: float = {n}
    RATE = {n}

    def __init__(self, beta=0.1, function={n}, **kwargs):
        super().__init__()
        self.beta = beta
        self._items = [{n}, {n}, function]
        self.scale = self._items[0] * self.RATE + sum(self._items)
        self.shrink = nn.LeakyReLU(0.2)
        self.at = {{"self": {n}, "args": self.power}}
        self.plus = lambda value, k=2.0: value * k + {n}

    def _margin(self, a, b, args=1.0):
        return self.shrink(a - b) * args + self.scale * 0.001

    def forward(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, **kw):
        beta = self.beta
        SCALE = self.plus(self.at["self"])
        t0 = self._margin(policy_chosen_logps, b=reference_chosen_logps, args=len(self._items) or self.scale)
"""


def program(rng: random.Random) -> str:
    """Source text of one program: a function or a class `Loss` with the arguments of the preference contract."""
    writer = Writer(rng)
    for _ in range(rng.randint(2, 8)):
        writer.statement()
    in_class = rng.random() < 0.3
    if in_class:
        writer.tensors.append("t0")
    numbers = " + ".join(f"0.001 * {n}" for n in writer.numbers[-4:])
    lists = "".join(f" + 0.01 * sum({n})" for n in writer.lists[-2:])
    result = f"    return {' + '.join(writer.tensors[-3:])} + {numbers}{lists}"
    lines = [*_HEAD.splitlines(), *writer.lines, result]
    imports = "\n".join(rng.sample(_IMPORTS, rng.randint(0, 3)))
    head = _CLASS if in_class else f"\ndef loss({SIGNATURE}):\n"
    body = "".join(f"{'    ' * in_class}{line}\n" for line in lines)
    text = f"{imports}\n{_MODULE}{head}".replace("{{", "{").replace("}}", "}")
    while "{n}" in text:
        text = text.replace("{n}", writer.literal(), 1)
    return text + body
