"""Rewriting of how functions are defined: `loss = lambda ...: ...` becomes a function, and a `/` among parameters is dropped."""

from __future__ import annotations

import ast
from collections.abc import Iterable

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


def without_slashes(nodes: Iterable[ast.AST]) -> None:
    """Make positional-only parameters ordinary ones, in place, where no `**` could take their names."""
    for node in nodes:
        if isinstance(node, ast.arguments) and node.kwarg is None:
            node.args, node.posonlyargs = [*node.posonlyargs, *node.args], []
