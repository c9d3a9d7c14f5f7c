"""Rewriting of common statements around a loss, before the vocabulary check: `torch.no_grad()`, raise, assert, match, decorators
without effect.

Only exact forms are rewritten, and only to functions and to guard calls, which no source can write. All other forms are refused by
the vocabulary check as if this module did not exist. Nothing is executed here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.child.protocol import Violation
from sandbox.child.static.imports import full_name
from sandbox.child.static.matching import as_branches
from sandbox.child.static.syntax import first_line, is_self

_GRAD_MODES = {"torch.no_grad": False, "torch.enable_grad": True}
_INERT_DECORATORS = frozenset({"torch.compile", "torch.jit.script"})
"""They make a function faster and change no value. `staticmethod` changes nothing in a module."""
_PRECISION = frozenset({"torch.autocast", "torch.amp.autocast", "torch.cuda.amp.autocast"})
_WRAPPERS = (ast.With, ast.Raise, ast.Assert, ast.ClassDef, ast.Match, ast.Try)


class Guard(ast.Call):
    """A call of a guard. The parser never creates one."""


class GradBlock(ast.If):
    """The body of `with torch.no_grad():` or `with torch.enable_grad():`; `test` says whether gradients are kept."""


class TryBlock(ast.If):
    """The body of a `try`."""


MARKERS = frozenset({Guard, GradBlock, TryBlock})
"""The node classes that only this module and `classes` create."""


def guard(name: str, arguments: list[ast.expr], at: ast.AST) -> Guard:
    """A call of the guard `name`, with the location of `at`."""
    call = Guard(func=ast.Name(name, ast.Load()), args=arguments, keywords=[])
    for new in (call, call.func):
        ast.copy_location(new, at)
    return call


def constant(value: Any, at: ast.AST) -> ast.Constant:
    """A constant, with the location of `at`."""
    return ast.copy_location(ast.Constant(value), at)


def statement(call: ast.expr, at: ast.AST) -> ast.Expr:
    """An expression as a statement, with the location of `at`."""
    return ast.copy_location(ast.Expr(call), at)


def is_wrapped(nodes: Iterable[ast.AST]) -> bool:
    """Whether there is anything to rewrite."""
    return any(
        isinstance(n, _WRAPPERS)
        or (isinstance(n, ast.Attribute) and n.attr in ("accelerator", "namedtuple"))
        or (isinstance(n, ast.alias) and n.name == "namedtuple")
        or (isinstance(n, ast.FunctionDef) and bool(n.decorator_list))
        for n in nodes
    )


class Unwrapper(ast.NodeTransformer):
    """Rewrites the statements of one function and appends a note for each rewriting to `notes`."""

    _in_module = True
    """Whether the function is no method."""

    def __init__(self, names: Mapping[str, str], notes: list[Violation]) -> None:
        self._names = names
        self._notes = notes

    def _note(self, code: str, node: ast.AST) -> None:
        self._notes.append(Violation(code, first_line(node)))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Rewrite the statements; `@torch.no_grad()` becomes a block around them, and decorators without effect are dropped."""
        self.generic_visit(node)
        for decorator in [d for d in node.decorator_list if self._is_inert(d)]:
            self._note("SBX263", decorator)
            node.decorator_list.remove(decorator)
        mode = self._mode_of(node.decorator_list[0], bare=True) if len(node.decorator_list) == 1 else None
        if mode is not None:
            self._note("SBX256", node.decorator_list[0])
            node.body = [self._block(mode, node.body, node.decorator_list[0])]
            node.decorator_list = []
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Keep a class inside a function; the vocabulary check refuses it."""
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        """`if torch.isnan(x).any(): raise ...` is an assertion: a condition on tensors counts as not met."""
        self.generic_visit(node)
        match node.body, node.orelse:
            case [ast.Expr(Guard(ast.Name("_raise_")))], []:
                node.test = _assumed(node.test, False)
        return node

    def visit_Try(self, node: ast.Try) -> Any:
        """The body, then what `else` has: a trace that raises is refused, so the handlers never run. They are checked too."""
        raises = all(map(_raises, node.handlers))
        self.generic_visit(node)
        caught = [h.name for h in node.handlers if h.name]
        if not all(isinstance(s, ast.Pass) for s in node.finalbody) or not all(map(_is_plain_handler, node.handlers)):
            return node
        self._note("SBX265", node)
        body: list[ast.stmt] = node.body
        if not raises:
            body = [ast.copy_location(TryBlock(test=constant(True, node), body=node.body, orelse=[]), node)]
        rest = [*node.orelse]
        never: list[ast.stmt] = [
            ast.copy_location(
                ast.Assign([ast.copy_location(ast.Name(name, ast.Store()), node)], constant(None, node)), node
            )
            for name in caught
        ]
        for handler in node.handlers:
            never += handler.body
        return [
            *body,
            *rest,
            ast.copy_location(ast.If(constant(False, node), never or [ast.copy_location(ast.Pass(), node)], []), node),
        ]

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Drop the exception: a candidate whose trace reaches the `raise` is refused."""
        self._note("SBX255", node)
        return statement(guard("_raise_", [], node), node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        """One guard call for each part of an `and`. The message is dropped."""
        parts = (
            node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else [node.test]
        )
        return [self._assertion(part, node) for part in parts]

    def _assertion(self, test: ast.expr, node: ast.Assert) -> ast.AST:
        wanted = True
        while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            wanted, test = not wanted, test.operand
        return statement(guard("_assert_", [constant(wanted, node), self.visit(test)], node), node)

    def _is_inert(self, decorator: ast.expr) -> bool:
        match decorator:
            case ast.Call(function, [ast.Name()], []) if full_name(function, self._names) == "functools.wraps":
                return True
        if isinstance(decorator, ast.Call) and _has_constants_only(decorator):
            decorator = decorator.func
        if isinstance(decorator, ast.Name) and decorator.id == "staticmethod":
            return self._in_module
        return full_name(decorator, self._names) in _INERT_DECORATORS

    def visit_With(self, node: ast.With) -> Any:
        """`with torch.no_grad():` and `with torch.enable_grad():`, alone and without `as`; a switched-off autocast is dropped."""
        keeps = self._grad_mode(node)
        self.generic_visit(node)
        if keeps is None and self._is_switched_off(node):
            self._note("SBX263", node)
            return node.body
        if keeps is None:
            return node
        self._note("SBX256", node)
        return self._block(keeps, node.body, node)

    def visit_Match(self, node: ast.Match) -> ast.AST:
        """A chain of branches, if every pattern is a value."""
        self.generic_visit(node)
        return as_branches(node) or node

    def _block(self, keeps: bool, body: list[ast.stmt], at: ast.AST) -> GradBlock:
        return ast.copy_location(GradBlock(test=constant(keeps, at), body=body, orelse=[]), at)

    def _grad_mode(self, node: ast.With) -> bool | None:
        if len(node.items) != 1 or node.items[0].optional_vars is not None:
            return None
        return self._mode_of(node.items[0].context_expr)

    def _mode_of(self, mode: ast.expr, *, bare: bool = False) -> bool | None:
        """Whether `torch.no_grad()`, or another such call, keeps gradients; None for others. A `bare` one is not called."""
        if not isinstance(mode, ast.Call):
            return _GRAD_MODES.get(full_name(mode, self._names) or "") if bare else None
        path = full_name(mode.func, self._names) or ""
        match mode.args, mode.keywords:
            case [], []:
                return _GRAD_MODES.get(path)
            case [ast.Constant(bool() as keeps)], [] if path == "torch.set_grad_enabled" and not bare:
                return keeps
        return None

    def _is_switched_off(self, node: ast.With) -> bool:
        """Whether the statement is `with torch.autocast("cuda", enabled=False):`, which computes in float32."""
        call = node.items[0].context_expr
        if len(node.items) != 1 or node.items[0].optional_vars is not None or not isinstance(call, ast.Call):
            return False
        off = any(
            k.arg == "enabled" and isinstance(k.value, ast.Constant) and k.value.value is False for k in call.keywords
        )
        return off and _has_constants_only(call) and full_name(call.func, self._names) in _PRECISION

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace `self.accelerator.device` by a constant: devices have no effect in a trace."""
        inner = node.value
        if (
            node.attr == "device"
            and isinstance(inner, ast.Attribute)
            and inner.attr == "accelerator"
            and is_self(inner.value)
        ):
            return constant("cpu", node)
        return self.generic_visit(node)


def _assumed(test: ast.expr, outcome: bool) -> ast.expr:
    """The condition, in which each part that depends on tensors has the outcome that makes the whole the `outcome`."""
    match test:
        case ast.UnaryOp(ast.Not(), operand):
            test.operand = _assumed(operand, not outcome)
            return test
        case ast.BoolOp(values=values):
            test.values = [_assumed(value, outcome) for value in values]
            return test
    return guard("_assumed_", [test, constant(outcome, test)], test)


def _raises(handler: ast.ExceptHandler) -> bool:
    """Whether a handler is certain to raise: then a loss whose `try` raises fails with it as without it."""
    leaves = (ast.Return, ast.Break, ast.Continue)
    return isinstance(handler.body[-1], ast.Raise) and not any(isinstance(n, leaves) for n in ast.walk(handler))


def _is_plain_handler(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches exceptions by their names."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
    return all(isinstance(kind, ast.Name) for kind in kinds)


def _has_constants_only(call: ast.Call) -> bool:
    values = [*call.args, *(k.value for k in call.keywords)]
    return all(isinstance(v, ast.Constant) for v in values) and all(k.arg is not None for k in call.keywords)
