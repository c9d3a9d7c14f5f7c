"""Match of code with a contract by the parameters of its functions. Works on text only; the code is not parsed."""

from __future__ import annotations

import re

from sandbox.contracts.argument_names import by_meaning
from sandbox.contracts.contract import Contract

_HEAD = re.compile(r"^[ \t]*def[ \t]+[A-Za-z_]\w{0,199}[ \t]*\(", re.MULTILINE)
_NAME = re.compile(r"\s*(?:\*{0,2})([A-Za-z_]\w*)")
_MARK = re.compile(r"[()\[\]{},]")
_DEPTH = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
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


def without_unused(code: str, contract: Contract) -> str:
    """The code without parameters that are no argument of the contract, have no default and occur nowhere else.

    Models add such parameters to a signature that they were given. They have no effect, so there is only one way to read the
    loss. Functions that do not take all arguments of the contract are left as they are.
    """
    wanted = {a.name for a in contract.arguments}
    for number, head in enumerate(_HEAD.finditer(code)):
        if number >= MOST:
            break
        end = _end(code, head.end())
        if end is None:
            continue
        parts = _split(code[head.end() : end])
        names = [name[1] if (name := _NAME.match(part)) else "" for part in parts]
        if not wanted <= set(names):
            continue
        kept = [part for part, name in zip(parts, names, strict=True) if not _is_unused(part, name, wanted, code)]
        if len(kept) < len(parts):
            return code[: head.end()] + ",".join(kept) + code[end:]
    return code


def _is_unused(part: str, name: str, wanted: set[str], code: str) -> bool:
    plain = bool(name) and name not in wanted and name != "self" and "=" not in part and "*" not in part
    return plain and len(re.findall(rf"\b{re.escape(name)}\b", code)) == 1


def _end(code: str, begin: int) -> int | None:
    """The position of the parenthesis that closes a list of parameters; None if it is too long or is not closed."""
    depth = 0
    for mark in _MARK.finditer(code, begin, begin + LONGEST):
        if depth == 0 and mark[0] == ")":
            return mark.start()
        depth += _DEPTH.get(mark[0], 0)
    return None


def _split(text: str) -> list[str]:
    """The parameters in a list, each with what stands around it."""
    parts, depth, begin = [], 0, 0
    for mark in _MARK.finditer(text):
        if depth == 0 and mark[0] == ",":
            parts.append(text[begin : mark.start()])
            begin = mark.end()
        depth += _DEPTH.get(mark[0], 0)
    return [*parts, text[begin:]]


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
        depth += _DEPTH.get(mark[0], 0)
    return names
