"""Match of code with a contract by the parameters of its functions. Works on text only; the code is not parsed."""

from __future__ import annotations

import re

from sandbox.contracts.contract import Contract
from sandbox.contracts.naming import by_meaning

_HEAD = re.compile(r"^[ \t]*def[ \t]+[A-Za-z_]\w{0,199}[ \t]*\(", re.MULTILINE)
_NAME = re.compile(r"\s*(?:\*{0,2})([A-Za-z_]\w*)")
_MARK = re.compile(r"[()\[\]{},]")
LONGEST = 2000
"""Maximum characters of a list of parameters."""
MOST = 64
"""Maximum number of functions that are checked in a block."""


def fit(code: str, contract: Contract) -> int:
    """2 if a function or method takes all tensors of the contract, 1 if it takes those with a gradient, else 0."""
    learn = {t.name for t in contract.tensors if t.learns}
    everything = {t.name for t in contract.tensors}
    best = 0
    for number, head in enumerate(_HEAD.finditer(code)):
        if number >= MOST or best == 2:
            break
        names = _parameters(code[head.end() : head.end() + LONGEST])
        meant = everything & set(names) | set(by_meaning(names, contract))
        best = max(best, 2 if meant >= everything else 1 if meant >= learn and contract.swap else 0)
    return best


def _parameters(text: str) -> list[str]:
    """The names up to the closing parenthesis."""
    names: list[str] = []
    depth, begin = 0, 0
    for mark in _MARK.finditer(text):
        closes = depth == 0 and mark[0] == ")"
        if closes or (depth == 0 and mark[0] == ","):
            name = _NAME.match(text[begin : mark.start()])
            names += [name[1]] if name else []
            begin = mark.end()
        if closes:
            return names
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(mark[0], 0)
    return names
