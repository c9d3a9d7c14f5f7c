"""Predicates and locations of syntax nodes, shared by the static layer."""

from __future__ import annotations

import ast

from sandbox.child.protocol import SourceSpan

WAS_LAMBDA = "lambda"
"""The type comment of a function that `signatures` made of a lambda. The parser, which reads no type comments, never sets one."""

NAMED_TUPLE = ".NamedTuple"
"""The base of a class that was written as a call of namedtuple. No source can write this name."""


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement consists of a string only."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_self(node: ast.expr) -> bool:
    """Whether an expression is the name `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def is_constant(node: ast.expr) -> bool:
    """Whether a default value consists of constants only, and so cannot change between calls."""
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
        case ast.Call(func=ast.Name("float") | ast.Attribute(value=ast.Name("math")), args=arguments, keywords=[]):
            return all(map(is_constant, arguments))  # a number, since no source can bind these names
    return False


def is_default(node: ast.expr) -> bool:
    """Whether a default value, or a constant of a class, consists of constants, names, lists, dicts and operators only."""
    match node:
        case ast.Name():
            return True
        case ast.UnaryOp(operand=operand):
            return is_default(operand)
        case ast.BinOp(left=left, right=right):
            return is_default(left) and is_default(right)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return all(map(is_default, elements))
        case ast.Dict(keys=keys, values=values):
            return all(k is not None and is_default(k) for k in keys) and all(map(is_default, values))
    return is_constant(node)


def is_guarded_name(name: str) -> bool:
    """Whether a name is reserved: dunder names, and names of guards such as `_call_`.

    For a method, which `classes` names Loss.__init__, the name of the class decides.
    """
    name = name.partition(".")[0]
    return name != "_" and name.startswith("_") and (name.startswith("__") or name.endswith("_"))


def first_line(node: ast.AST) -> SourceSpan:
    """The range of a node, limited to its first line."""
    span = SourceSpan.of(node)
    return span if span.end_line == span.line else SourceSpan(span.line, span.column, span.line, 10**6)


def name_span(node: ast.FunctionDef | ast.ClassDef) -> SourceSpan:
    """The range of the name in the definition of a function or class."""
    column = node.col_offset + len(_before_name(node))
    return SourceSpan(node.lineno, column, node.lineno, column + len(node.name))


def head_span(node: ast.FunctionDef) -> SourceSpan:
    """The range from the beginning of the definition of a function to the end of its name."""
    name = name_span(node)
    return SourceSpan(name.line, node.col_offset, name.line, name.end_column)


def _before_name(node: ast.FunctionDef | ast.ClassDef) -> str:
    if isinstance(node, ast.ClassDef):
        return "" if any(isinstance(b, ast.Name) and b.id == NAMED_TUPLE for b in node.bases) else "class "
    return "" if node.type_comment == WAS_LAMBDA else "def "
