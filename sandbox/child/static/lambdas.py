"""A loss that is written as a lambda: `loss = lambda policy_chosen_logps, ...: ...` becomes a function of that name."""

from __future__ import annotations

import ast

from sandbox.child.static.syntax import WAS_LAMBDA


def as_functions(tree: ast.Module) -> None:
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
