"""Rewriting of how functions are defined: a lambda with a name becomes a function, `/` is dropped, decorators become calls."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from sandbox.child.static.syntax import WAS_LAMBDA


def lambdas_to_functions(tree: ast.Module) -> None:
    """Rewrite, in place, the lambdas that the module gives a name, if the module defines no function and no class."""
    if not any(isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for s in tree.body):
        tree.body = [_function(s) or s for s in tree.body]


def _function(statement: ast.stmt) -> ast.FunctionDef | None:
    match statement:
        case ast.Assign([ast.Name(name)], ast.Lambda(arguments, value)):
            returned = ast.copy_location(ast.Return(value), value)
            made = ast.FunctionDef(name, arguments, [returned], [], None, WAS_LAMBDA)
            return ast.copy_location(made, statement)
    return None


def decorated(function: ast.FunctionDef, once: Collection[str]) -> list[ast.stmt]:
    """The statements `f = decorator(f)` for the decorators of a function, which are dropped, in place.

    They must be functions of the source, with names that are bound once. Otherwise all decorators stay, and are refused.
    """
    found = function.decorator_list
    if function.name not in once or not all(_is_own(d, once) for d in found):
        return []
    if len(found) > 1 and any(isinstance(d, ast.Call) for d in found):
        return []  # Python computes all decorators before it calls one
    function.decorator_list = []
    made: list[ast.stmt] = []
    for decorator in reversed(found):
        target, argument = (ast.Name(function.name, ctx) for ctx in (ast.Store(), ast.Load()))
        call = ast.Call(decorator, [argument], [])
        statement = ast.Assign([target], call)
        for new in (target, argument, call, statement):
            ast.copy_location(new, decorator)
        made.append(statement)
    return made


def _is_own(decorator: ast.expr, once: Collection[str]) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(function, ast.Name) and function.id in once


def without_slashes(nodes: Iterable[ast.AST]) -> None:
    """Make positional-only parameters ordinary ones, in place, where no `**` could take their names."""
    for node in nodes:
        if isinstance(node, ast.arguments) and node.kwarg is None:
            node.args, node.posonlyargs = [*node.posonlyargs, *node.args], []
