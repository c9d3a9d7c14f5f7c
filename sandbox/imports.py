"""Imports in a candidate, resolved to our own facades and removed: nothing is ever imported on a candidate's behalf."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping

from sandbox import exposed, policy
from sandbox.layers import LAYERS
from sandbox.refusal import Refusal, Spot

_BUILTINS = frozenset(dir(builtins))


def resolve(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """What each imported name stands for: a module of `policy.MODULES` or a call of `exposed`, by full name.

    An import binds its name in the whole source, so no name may stand for two things. Raises Refusal.
    """
    names = dict(policy.PRELUDE)
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in policy.TYPING_MODULES:
                    _bind(names, node, *_module(alias))
        elif isinstance(node, ast.ImportFrom):
            _from(names, node)
    return names


def _module(alias: ast.alias) -> tuple[str, str]:
    if alias.name not in policy.MODULES:
        raise Refusal("SBX123", spot=Spot.of(alias))
    if alias.asname is None:
        top = alias.name.partition(".")[0]
        return top, top
    return alias.asname, alias.name


def _from(names: dict[str, str], node: ast.ImportFrom) -> None:
    module = node.module or ""
    if node.level:
        raise Refusal("SBX123", spot=Spot.of(node))
    for alias in node.names:
        if module == "__future__" and alias.name != "annotations":
            raise Refusal("SBX123", spot=Spot.of(alias))
        if module in policy.TYPING_MODULES and not alias.name.startswith("_"):
            continue
        path = f"{module}.{alias.name}"
        if module not in policy.MODULES or not (is_exposed(path) or path in policy.FORMS):
            raise Refusal("SBX123", spot=Spot.of(alias))
        _bind(names, node, alias.asname or alias.name, path)


def _bind(names: dict[str, str], node: ast.AST, name: str, path: str) -> None:
    if name.startswith("_"):
        raise Refusal("SBX125", spot=Spot.of(node))
    if names.get(name, path) != path or name in ("self", *_BUILTINS):
        raise Refusal("SBX124", spot=Spot.of(node))
    names[name] = path


def is_exposed(path: str) -> bool:
    """Whether a full name such as torch.nn.functional.relu means something to us."""
    return (
        path in policy.MODULES
        or path in exposed.BY_PATH
        or path in exposed.CONSTANTS
        or path in exposed.DTYPES
        or path in exposed.TYPES
        or path in LAYERS
    )


def full_name(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """The full name that a dotted expression such as F.relu stands for; None where it does not start at a module."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])
