"""Imports in a candidate, resolved to our own facades: nothing is ever imported on a candidate's behalf.

An import becomes an assignment of our facade to the name, at its place, so that Python's own rules say where and when the name
is bound. No name may stand for two things anywhere in a source. Names of `typing` and its kin are for annotations, which are
dropped: such a name is good for nothing else.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sandbox.child.allowlist import calls as exposed
from sandbox.child.allowlist import limits as policy
from sandbox.child.allowlist.layers import LAYERS
from sandbox.child.protocol import Refusal, Spot
from sandbox.child.static.syntax import is_guarded_name

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Imports:
    """What the imports of a source bind: facades by full name, and names that only annotations may use."""

    names: Mapping[str, str]
    annotations: frozenset[str]


def resolve(nodes: Iterable[ast.AST]) -> Imports:
    """What each imported name stands for: a module of `allowlist.limits.MODULES` or a call of `allowlist.calls`, by
    full name. Raises Refusal."""
    names = dict(policy.PRELUDE)
    annotations: set[str] = set()
    for node in nodes:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for alias in node.names:
            _check(node, alias)
            bound, path = binding(node, alias)
            taken = bound in annotations if path is not None else bound in names
            if is_guarded_name(bound):
                raise Refusal("SBX125", spot=Spot.of(node))
            if taken or (path is not None and names.get(bound, path) != path) or bound in ("self", *_BUILTINS):
                raise Refusal("SBX124", spot=Spot.of(node))
            if path is not None:
                names[bound] = path
            else:
                annotations.add(bound)
    return Imports(names, frozenset(annotations))


def bindings(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names that an import binds, each with the full name of its facade; not those for annotations."""
    for alias in node.names:
        bound, path = binding(node, alias)
        if path is not None:
            yield bound, path


def binding(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> tuple[str, str | None]:
    """The name that one part of an import binds, and what it stands for: None where that is for annotations only."""
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        path = None if module in policy.TYPING_MODULES else f"{module}.{alias.name}"
        return alias.asname or alias.name, path
    top = alias.name.partition(".")[0]
    bound, path = (alias.asname, alias.name) if alias.asname is not None else (top, top)
    return bound, None if alias.name in policy.TYPING_MODULES else path


def _check(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> None:
    """Raises Refusal for what may not be imported."""
    if isinstance(node, ast.Import):
        if alias.name not in policy.MODULES | policy.TYPING_MODULES:
            raise Refusal("SBX123", spot=Spot.of(alias))
        return
    module = node.module or ""
    if node.level:
        raise Refusal("SBX123", spot=Spot.of(node))
    if module in policy.TYPING_MODULES:
        fine = alias.name == "annotations" if module == "__future__" else alias.name[0] not in "_*"
    else:
        path = f"{module}.{alias.name}"
        fine = module in policy.MODULES and (is_exposed(path) or path in policy.FORMS)
    if not fine:
        raise Refusal("SBX123", spot=Spot.of(alias))


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
