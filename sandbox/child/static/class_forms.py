"""Usual forms in the body of a class, replaced by the plain ones that `classes` rewrites. Nothing is executed here.

self.beta, self.eps = beta, eps       two assignments
self.beta = self.scale = beta         two assignments
self.register_buffer("w", value)      self.w = value
@staticmethod                         a method that does not use `self`
__constants__, extra_repr, __repr__   left out: torch uses them to print a module or to compile it
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from sandbox.child.static.syntax import is_self

_FOR_PRINTING = frozenset({"extra_repr", "__repr__", "__str__"})


def simplify(node: ast.ClassDef) -> None:
    """Replace the forms above, in place. Other forms stay as they are."""
    node.body = [part for part in node.body if not _is_left_out(part)] or [ast.copy_location(ast.Pass(), node)]
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            _with_self(part)
            if part.name == "__init__":
                part.body = list(_plain(part.body))


def _is_left_out(part: ast.stmt) -> bool:
    if isinstance(part, ast.FunctionDef):
        a = part.args
        return part.name in _FOR_PRINTING and [p.arg for p in a.args] == ["self"] and not part.decorator_list
    return (
        isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name) and part.targets[0].id == "__constants__"
    )


def _with_self(method: ast.FunctionDef) -> None:
    """Give a static method the parameter `self`, since methods are called with it."""
    match method.decorator_list:
        case [ast.Name("staticmethod")] if not method.args.posonlyargs and "self" not in _names(method):
            me = ast.copy_location(ast.arg("self"), method.args.args[0] if method.args.args else method)
            method.args.args.insert(0, me)
            method.decorator_list = []


def _names(method: ast.FunctionDef) -> set[str]:
    found = {n.id for n in ast.walk(method) if isinstance(n, ast.Name)}
    return found | {n.arg for n in ast.walk(method) if isinstance(n, ast.arg)}


def _plain(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        match statement:
            case ast.Assign():
                yield from _split(statement)
            case ast.Expr(ast.Call(ast.Attribute(me, "register_buffer"), [ast.Constant(str() as name), value])) if (
                is_self(me)
            ):
                target = ast.Attribute(me, name, ast.Store())
                yield _assign(target, value, statement)
            case _:
                yield statement


def _split(node: ast.Assign) -> list[ast.stmt]:
    """One assignment for each target, if some are attributes of `self` and this has the same effect."""
    first, *others = node.targets
    targets, values = [first, *others], [node.value, *(_read(first) for _ in others)]
    if not others and isinstance(first, ast.Tuple | ast.List) and isinstance(node.value, ast.Tuple | ast.List):
        targets, values = first.elts, node.value.elts
    written = [_written(t) for t in targets]
    plain = len(targets) == len(values) and None not in written
    if not plain or all(isinstance(t, ast.Name) for t in targets) or (not others and _reads_earlier(written, values)):
        return [node]
    return [_assign(target, value, node) for target, value in zip(targets, values, strict=True)]


def _written(target: ast.expr) -> str | None:
    """The name or attribute of `self` that a target is, as text; None for any other target."""
    match target:
        case ast.Name(name):
            return name
        case ast.Attribute(me, name) if is_self(me):
            return f"self.{name}"
    return None


def _reads_earlier(written: list[str | None], values: list[ast.expr]) -> bool:
    """Whether a value reads a target that stands before its own."""
    return any(
        _written(part) in written[:place]
        for place, value in enumerate(values)
        for part in ast.walk(value)
        if isinstance(part, ast.expr)
    )


def _read(target: ast.expr) -> ast.expr:
    """The value of a name or an attribute of `self`."""
    match target:
        case ast.Name(name):
            return ast.copy_location(ast.Name(name, ast.Load()), target)
        case ast.Attribute(_, name):
            me = ast.copy_location(ast.Name("self", ast.Load()), target)
            return ast.copy_location(ast.Attribute(me, name, ast.Load()), target)
    return target


def _assign(target: ast.expr, value: ast.expr, at: ast.stmt) -> ast.Assign:
    ast.copy_location(target, at)
    return ast.copy_location(ast.Assign([target], value), at)
