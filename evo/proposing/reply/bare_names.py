"""Functions of torch that code calls without their module, as `relu(x)` for `torch.relu(x)`. Works on text only."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from functools import cache

from sandbox.child.allowlist.calls import CALLS

_MODULES = {"torch": "torch", "torch.nn.functional": "F"}
_CALL = re.compile(r"(?<![\w.])([a-z]\w*)(?=\()")
_BEFORE_DEF = re.compile(r"\b(?:def|class)[ \t]+\Z")


def qualified(code: str) -> str:
    """The code with the module before each call of a function that the sandbox knows and that the code neither defines nor imports.

    Such a name can mean only one thing: a function has the same value in torch and in torch.nn.functional. Python's own functions,
    such as `abs`, are left as they are, and so is a name that occurs other than in a call.
    """
    known = _modules()
    called = {call[1] for call in _CALL.finditer(code)} & known.keys()
    bare = {name for name in called if not _is_bound(name, code)}
    return _CALL.sub(lambda call: f"{known[call[1]]}.{call[1]}" if call[1] in bare else call[1], code) if bare else code


def _is_bound(name: str, code: str) -> bool:
    """Whether the code may give the name a meaning of its own."""
    if re.search(rf"(?<![\w.]){name}\b(?!\()", code):
        return True
    return any(
        _BEFORE_DEF.search(code, max(0, at.start() - 40), at.start()) for at in re.finditer(rf"\b{name}\(", code)
    )


@cache
def _modules() -> Mapping[str, str]:
    """The module of each function by name; torch's own where it is in both."""
    found: dict[str, str] = {}
    for call in CALLS:
        module, _, name = call.path.rpartition(".")
        if module in _MODULES and not hasattr(builtins, name) and found.get(name) != "torch":
            found[name] = _MODULES[module]
    return found
