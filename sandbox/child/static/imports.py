"""Imports of a candidate, resolved to facades: no module is ever imported for a candidate.

An import is replaced by an assignment of the facade to the name, so that Python's own scoping rules apply to it. A name must have
one meaning in the whole source. Names from `typing` and similar modules may occur in annotations only, which are dropped.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sandbox.child.allowlist import calls, limits
from sandbox.child.allowlist.layers import LAYERS
from sandbox.child.protocol import Refusal, SourceSpan
from sandbox.child.static.syntax import is_guarded_name

_BUILTINS = frozenset(dir(builtins))
TYPE_PARTS = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.List, ast.Constant, ast.BinOp, ast.BitOr, ast.Load,
)  # fmt: skip
"""The syntax of annotations."""


@dataclass(frozen=True, slots=True)
class Imports:
    """The names that the imports of a source bind: name -> full name of its facade, and names for annotations only."""

    names: Mapping[str, str]
    annotations: frozenset[str]


def resolve(nodes: Iterable[ast.AST]) -> Imports:
    """The full name of each imported name: a module of `allowlist.limits.MODULES` or a call of `allowlist.calls`.

    Raises Refusal.
    """
    names = dict(limits.PRELUDE)
    annotations: set[str] = set()
    nodes = list(nodes)
    used = {n.id for n in nodes if isinstance(n, ast.Name)}
    for node in nodes:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        node.names = [alias for alias in node.names if not _is_unused(node, alias, used)]
        for alias in node.names:
            _check(node, alias)
            bound, path = binding(node, alias)
            taken = bound in annotations if path is not None else bound in names
            if is_guarded_name(bound):
                raise Refusal("SBX125", span=SourceSpan.of(node))
            if taken or (path is not None and names.get(bound, path) != path) or bound in ("self", *_BUILTINS):
                raise Refusal("SBX124", span=SourceSpan.of(node))
            if path is not None:
                names[bound] = path
            else:
                annotations.add(bound)
    return Imports(names, frozenset(annotations))


def without_aliases(tree: ast.Module, imports: Imports) -> Imports:
    """Take aliases of types, such as `Losses = Tuple[Tensor, Tensor]`, out of the module; they count as names for annotations.

    A Protocol and a TypedDict, which nothing may call, are such names too.
    """
    known, kept = set(imports.annotations), []
    for statement in tree.body:
        alias = _alias(statement, known)
        if alias is None or alias in imports.names or alias in _BUILTINS or is_guarded_name(alias):
            kept.append(statement)
        else:
            known.add(alias)
    tree.body = kept
    return Imports(imports.names, frozenset(known))


def _alias(statement: ast.stmt, types: set[str]) -> str | None:
    """The name that a statement binds to an expression of types; `types` are the names of which one must occur in it."""
    match statement:
        case ast.ClassDef(name, [ast.Name("Protocol" | "TypedDict" as base)], [], body, []) if base in types and all(
            map(_is_type_only, body)
        ):
            return name
        case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
            parts = list(ast.walk(value))
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar":
                given = [*value.args, *(k.value for k in value.keywords)]
                fine = "TypeVar" in types and all(isinstance(p, TYPE_PARTS) for g in given for p in ast.walk(g))
                return name if fine else None
            if all(isinstance(p, TYPE_PARTS) for p in parts):
                return name if any(isinstance(p, ast.Name) and p.id in types for p in parts) else None
    return None


def _is_type_only(part: ast.stmt) -> bool:
    """Whether a part of a Protocol or TypedDict only says what there is: nothing in it could be executed."""
    match part:
        case ast.Pass() | ast.Expr(ast.Constant()):
            return True
        case ast.AnnAssign(ast.Name(), annotation, None):
            return all(isinstance(p, TYPE_PARTS) for p in ast.walk(annotation))
        case ast.FunctionDef(args=arguments, body=body, decorator_list=[], returns=returns):
            written = [returns, *(n.annotation for n in ast.walk(arguments) if isinstance(n, ast.arg))]
            plain = not arguments.defaults and not any(arguments.kw_defaults)
            typed = all(isinstance(p, TYPE_PARTS) for w in written if w is not None for p in ast.walk(w))
            return plain and typed and all(isinstance(s, ast.Pass) or _is_constant_alone(s) for s in body)
    return False


def _is_constant_alone(node: ast.stmt) -> bool:
    """Whether a statement is a constant alone, such as a docstring or `...`."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def without_casts(nodes: Iterable[ast.AST], types: frozenset[str]) -> None:
    """Replace `cast(Tensor, x)` of typing by x, in place."""
    for node in nodes:
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, name, _uncast(value, types))
            elif isinstance(value, list):
                value[:] = [_uncast(v, types) if isinstance(v, ast.expr) else v for v in value]


def _uncast(node: ast.expr, types: frozenset[str]) -> ast.expr:
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast" and "cast" in types:
        match node.args, node.keywords:
            case [kind, value], [] if all(isinstance(p, TYPE_PARTS) for p in ast.walk(kind)):
                node = value
            case _:
                break
    return node


def bindings(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names that an import binds, each with the full name of its facade; names for annotations are left out."""
    for alias in node.names:
        bound, path = binding(node, alias)
        if path is not None:
            yield bound, path


def binding(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> tuple[str, str | None]:
    """The name that one part of an import binds, and its full name, or None if it is for annotations only."""
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        path = None if module in limits.TYPING_MODULES else f"{module}.{alias.name}"
        return alias.asname or alias.name, path
    top = alias.name.partition(".")[0]
    bound, path = (alias.asname, alias.name) if alias.asname is not None else (top, top)
    return bound, None if alias.name in limits.TYPING_MODULES else path


def _is_unused(node: ast.Import | ast.ImportFrom, alias: ast.alias, used: set[str]) -> bool:
    """Whether an import of a harmless module binds a name that occurs nowhere."""
    module = alias.name if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
    if module not in limits.UNUSED_MODULES or alias.name == "*":
        return False
    bound = alias.asname or alias.name
    return bound not in used and not is_guarded_name(bound)


def _check(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> None:
    """Raises Refusal unless the import is allowed."""
    if isinstance(node, ast.Import):
        if alias.name not in limits.MODULES | limits.TYPING_MODULES:
            raise Refusal("SBX123", span=SourceSpan.of(alias))
        return
    module = node.module or ""
    if node.level:
        raise Refusal("SBX123", span=SourceSpan.of(node))
    if module in limits.TYPING_MODULES:
        fine = alias.name == "annotations" if module == "__future__" else alias.name[0] not in "_*"
    else:
        path = f"{module}.{alias.name}"
        fine = module in limits.MODULES and (is_exposed(path) or path in limits.FORMS)
    if not fine:
        raise Refusal("SBX123", span=SourceSpan.of(alias))


def is_exposed(path: str) -> bool:
    """Whether a full name such as torch.nn.functional.relu is on the allow-list."""
    return (
        path in limits.MODULES
        or path in calls.BY_PATH
        or path in calls.CONSTANTS
        or path in calls.DTYPES
        or path in calls.TYPES
        or path in LAYERS
        or path in (calls.PARTIAL, calls.REDUCE, calls.NAMESPACE, calls.SEQUENTIAL)
    )


def full_name(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """The full name of a dotted expression such as F.relu; None if it does not start with an imported name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])
