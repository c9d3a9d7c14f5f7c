"""Small questions about syntax nodes that several parts of the static layer ask."""

from __future__ import annotations

import ast

from sandbox.child.protocol import Spot


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a string alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_self(node: ast.expr) -> bool:
    """Whether an expression is the name `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def is_constant(node: ast.expr) -> bool:
    """Whether a default is made of constants only, and so cannot be changed between calls."""
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=operand):
            return is_constant(operand)
        case ast.BinOp(left=left, right=right):
            return is_constant(left) and is_constant(right)
        case ast.Tuple(elts=elements):
            return all(map(is_constant, elements))
        case ast.Attribute(value=ast.Name()):
            return True
    return False


def is_guarded_name(name: str) -> bool:
    """Whether a name is one of those that source may never write: dunder names, and the guards' own (`_call_`).

    A method goes by its class: `classes` calls it Loss.__init__.
    """
    name = name.partition(".")[0]
    return name != "_" and name.startswith("_") and (name.startswith("__") or name.endswith("_"))


def first_line(node: ast.AST) -> Spot:
    """Where a node lies, as far as its first line goes."""
    spot = Spot.of(node)
    return spot if spot.end_line == spot.line else Spot(spot.line, spot.column, spot.line, 10**6)


def name_spot(node: ast.FunctionDef | ast.ClassDef) -> Spot:
    """Where the name of a function or a class stands in its definition."""
    column = node.col_offset + (len("class ") if isinstance(node, ast.ClassDef) else len("def "))
    return Spot(node.lineno, column, node.lineno, column + len(node.name))
