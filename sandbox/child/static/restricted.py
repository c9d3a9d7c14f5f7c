"""Compilation with RestrictedPython: every operator, comparison, call, attribute, subscript and loop becomes a guard call.

RestrictedPython alone leaves operators and calls unguarded, so `10**10**10` or `[0] * 9**9` would run natively. The tree has
already passed `vocabulary`; RestrictedPython's own checks are a second, independent layer.
"""

from __future__ import annotations

import ast
from types import CodeType
from typing import Any

from RestrictedPython.compile import compile_restricted_exec
from RestrictedPython.transformer import RestrictingNodeTransformer

from sandbox.child.protocol import Refusal
from sandbox.child.source_locations import FILENAME
from sandbox.child.static.imports import bindings
from sandbox.child.static.syntax import is_guarded_name
from sandbox.child.static.unwrapping import GradBlock, Guard, TryBlock

_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


class _Policy(RestrictingNodeTransformer):  # type: ignore[misc]
    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        """Allow names such as `_helper`: no guard has such a name, nor do the temporaries that RestrictedPython creates."""
        if name is None or not name.startswith("_") or is_guarded_name(name):
            super().check_name(node, name, allow_magic_methods)

    def gen_tmp_name(self) -> str:
        """A temporary name that no source can write."""
        return "." + str(super().gen_tmp_name())

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        operator = type(node.op).__name__
        node = self.node_contents_visit(node)
        return _guard("_binary_", [ast.Constant(operator), node.left, node.right], node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        operator = type(node.op).__name__
        node = self.node_contents_visit(node)
        if operator == "Not" or isinstance(node.operand, ast.Constant):
            return node
        return _guard("_unary_", [ast.Constant(operator), node.operand], node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """In `a < b < c`, c is computed only if a < b holds, so c and later operands become lambdas."""
        operators = [type(o).__name__ for o in node.ops]
        node.comparators = [
            _as_tuple(c) if isinstance(o, ast.In | ast.NotIn) else c
            for o, c in zip(node.ops, node.comparators, strict=True)
        ]
        node = self.node_contents_visit(node)
        later = [ast.copy_location(ast.Lambda(_NO_ARGUMENTS, c), c) for c in node.comparators[1:]]
        operands = [node.left, node.comparators[0], *later]
        return _guard("_compare_", [ast.Constant(" ".join(operators)), *operands], node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        is_starred = any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords)
        node = super().visit_Call(node)
        if is_starred:  # RestrictedPython has made _apply_(function, ...) of it
            node.func = node.args.pop(0)
        node.args.insert(0, node.func)
        node.func = ast.copy_location(ast.Name("_call_", ast.Load()), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """An f-string becomes the call of a guard with its parts."""
        parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
        return _guard("_text_", [self.visit(part) for part in parts] or [ast.Constant("")], node)

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        """`*x` iterates over the guarded x."""
        node = self.node_contents_visit(node)
        node.value = _guard("_getiter_", [node.value], node)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """`**x` is a guarded dict."""
        node = self.node_contents_visit(node)
        if node.arg is None:
            node.value = _guard("_mapping_", [node.value], node.value)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Each test of the condition counts a step."""
        node = self.node_contents_visit(node)
        node.test = _guard("_while_", [node.test], node.test)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """`x[key] += value` becomes the call of a guard, which reads the item before it computes the value."""
        if isinstance(node.target, ast.Subscript):
            *parts, value = [self.visit(part) for part in (node.target.value, node.target.slice, node.value)]
            parts.append(ast.copy_location(ast.Lambda(_NO_ARGUMENTS, value), value))
            name = ast.copy_location(ast.Constant(type(node.op).__name__), node)
            return ast.copy_location(ast.Expr(_guard("_changeitem_", [name, *parts], node)), node)
        return super().visit_AugAssign(node)

    def visit_Set(self, node: ast.Set) -> ast.AST:
        """A set of constants, for `in` only."""
        return _guard("_constants_", [self.visit(item) for item in node.elts], node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        """`x[key] = value` becomes the call of a guard; the value is computed first, as in Python."""
        match node.targets:
            case [ast.Subscript(value=container, slice=key)]:
                parts = [self.visit(part) for part in (node.value, container, key)]
                return ast.copy_location(ast.Expr(_guard("_setitem_", parts, node)), node)
        return super().visit_Assign(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        node = self.node_contents_visit(node)
        node.values = [
            _guard("_mapping_", [v], v) if k is None else v for k, v in zip(node.keys, node.values, strict=True)
        ]
        node.keys = [k if k is None or isinstance(k, ast.Constant) else _guard("_key_", [k], k) for k in node.keys]
        return node

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        node = super().visit_DictComp(node)
        node.key = _guard("_key_", [node.key], node.key)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if not isinstance(node.target, ast.Name):
            return ast.copy_location(ast.Pass(), node)
        made = ast.copy_location(ast.Assign([node.target], node.value or _none(node)), node)
        # `x: float` assigns no value but makes the name local; so does an assignment that never runs
        never = ast.copy_location(ast.Constant(False), node)
        return self.visit(made if node.value else ast.copy_location(ast.If(never, [made], []), node))

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return _imported(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return _imported(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return self.node_contents_visit(node)  # type: ignore[no-any-return]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return super().visit_FunctionDef(node)

    def visit_Guard(self, node: Guard) -> ast.AST:
        arguments = [self.visit(argument) for argument in node.args]
        return ast.copy_location(ast.Call(node.func, arguments, []), node)

    def visit_TryBlock(self, node: TryBlock) -> list[ast.stmt]:
        """The body between two guards, like that of a GradBlock."""
        body = [made for inner in node.body for made in _listed(self.visit(inner))]
        before, after = (_statement(name, [], node) for name in ("_try_", "_tried_"))
        return [before, ast.copy_location(ast.Try(body=body, handlers=[], orelse=[], finalbody=[after]), node)]

    def visit_GradBlock(self, node: GradBlock) -> list[ast.stmt]:
        """The body between two guards, with `try: ... finally:` so that the second always runs."""
        body = [made for inner in node.body for made in _listed(self.visit(inner))]
        before, after = (
            _statement(name, arguments, node) for name, arguments in (("_grad_", [node.test]), ("_back_", []))
        )
        return [before, ast.copy_location(ast.Try(body=body, handlers=[], orelse=[], finalbody=[after]), node)]


def _as_tuple(node: ast.expr) -> ast.expr:
    """A set as a tuple of its items, and any other expression as it is."""
    return ast.copy_location(ast.Tuple(node.elts, ast.Load()), node) if isinstance(node, ast.Set) else node


def _imported(node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
    """`name = _import_(full name)` for each name that an import binds."""
    made: list[ast.stmt] = [ast.copy_location(ast.Pass(), node)]
    for name, path in bindings(node):
        target = ast.copy_location(ast.Name(name, ast.Store()), node)
        value = _guard("_import_", [ast.Constant(path)], node)
        made.append(ast.copy_location(ast.Assign([target], value), node))
    return made


def _none(at: ast.AST) -> ast.expr:
    return ast.copy_location(ast.Constant(None), at)


def _listed(made: Any) -> list[ast.stmt]:
    return made if isinstance(made, list) else [made]


def _statement(name: str, arguments: list[ast.expr], at: ast.AST) -> ast.stmt:
    call = ast.Call(ast.Name(name, ast.Load()), arguments, [])
    made = ast.Expr(call)
    for new in (made, call, call.func):
        ast.copy_location(new, at)
    return made


def _guard(name: str, arguments: list[ast.expr], node: ast.AST) -> ast.Call:
    function = ast.Name(name, ast.Load())
    call = ast.Call(function, arguments, [])
    # the other arguments have a location already; RestrictedPython's helper would visit them again
    for new in (function, call, arguments[0]):
        ast.copy_location(new, node)
    return call


def compile_checked(tree: ast.Module) -> CodeType:
    """Byte code of a tree that has passed `vocabulary`. Modifies the tree. Raises Refusal."""
    try:
        result = compile_restricted_exec(tree, FILENAME, policy=_Policy)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refusal("SBX140") from None
    if result.code is None or result.errors:
        raise Refusal("SBX140")
    return result.code  # type: ignore[no-any-return]
