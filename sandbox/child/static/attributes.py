"""Rewriting of `getattr(x, "name")` to `x.name`, so that the name is checked like any other."""

from __future__ import annotations

import ast
import keyword

from sandbox.child.static.syntax import is_guarded_name


def without_getattr(tree: ast.Module) -> None:
    """Rewrite the calls with a constant name and without a default, in place."""
    bound = any(
        (isinstance(n, ast.Name) and n.id == "getattr" and not isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.arg) and n.arg == "getattr")
        or (isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == "getattr")
        for n in ast.walk(tree)
    )
    if not bound:
        _Attributes().visit(tree)


class _Attributes(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name("getattr"), [value, ast.Constant(str(name))], []) if (
                name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and not is_guarded_name(name)
            ):
                return ast.copy_location(ast.Attribute(value, name, ast.Load()), node)
        return node
