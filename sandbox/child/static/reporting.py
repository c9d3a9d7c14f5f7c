"""Rewriting of what a loss says about itself: prints, log messages, warnings, and the numbers that it returns beside the loss.

print(f"{x.mean():.3f}"), logger.info(...), warnings.warn(...)   a guard call that evaluates the arguments; as statements only
{"accuracy": x.mean().item()}, metrics["accuracy"] = ...         a guard call whose value no computation accepts
logger = logging.getLogger(__name__)                             left out

All other uses of these names are refused by the vocabulary check. Nothing is executed here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

from sandbox.child.protocol import Violation
from sandbox.child.static.imports import full_name
from sandbox.child.static.syntax import first_line
from sandbox.child.static.unwrapping import constant, guard

_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "critical"})
_REPORTS = frozenset({"warnings.warn", *(f"logging.{name}" for name in _LOG_METHODS)})
_OPTIONS = frozenset({"sep", "end", "flush", "stacklevel", "exc_info", "category"})
_CATEGORIES = frozenset({"UserWarning", "RuntimeWarning", "FutureWarning", "DeprecationWarning", "Warning"})
_LEAVING = frozenset({"item", "tolist"})
_FORMAT = re.compile(r"[<>^]?[+]?[0-9]{0,2},?((\.[0-9]{1,2})?[efgs%]?|d)")


def without_reports(tree: ast.Module, names: Mapping[str, str]) -> list[Violation]:
    """Rewrite the reports, in place. Returns a note for each."""
    if not any(_is_of_a_report(n, names) for n in ast.walk(tree)):
        return []
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    loggers = {name for s in tree.body if (name := _logger(s, names)) and _times_stored(tree, name) == 1}
    tree.body = [s for s in tree.body if _logger(s, names) not in loggers]
    rewriter = _Reports(names, loggers, has_print="print" not in bound)
    rewriter.visit(tree)
    return rewriter.notes


def _is_of_a_report(node: ast.AST, names: Mapping[str, str]) -> bool:
    """Whether a node may belong to a report: few sources have such a node, and the others need no further look."""
    match node:
        case ast.Attribute(attr=name):
            return name in _LEAVING or name in _LOG_METHODS or name in ("warn", "getLogger")
        case ast.Name(name):
            return name == "print" or names.get(name, "") in _REPORTS or names.get(name) == "logging.getLogger"
    return False


def _logger(statement: ast.stmt, names: Mapping[str, str]) -> str:
    """The name that a statement binds to a logger; "" for any other statement."""
    match statement:
        case ast.Assign(
            [ast.Name(name)], ast.Call(function, [ast.Name("__name__") | ast.Constant(str())] | [], [])
        ) if full_name(function, names) == "logging.getLogger":
            return name
    return ""


def _times_stored(tree: ast.Module, name: str) -> int:
    return sum(
        (isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.arg) and n.arg == name)
        or (isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)
        for n in ast.walk(tree)
    )


class _Reports(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str], loggers: Iterable[str], *, has_print: bool) -> None:
        self.notes: list[Violation] = []
        self._names = names
        self._loggers = frozenset(loggers)
        self._has_print = has_print

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Rewrite a call that reports."""
        call = node.value
        if not isinstance(call, ast.Call) or not self._is_report(call.func):
            return self.generic_visit(node)
        parts = [p for p in call.args if not (isinstance(p, ast.Name) and p.id in _CATEGORIES)]
        known = all(k.arg in _OPTIONS and _is_option(k.arg, k.value) for k in call.keywords)
        if not known or any(isinstance(p, ast.Starred) for p in parts):
            return node
        needs = not isinstance(call.func, ast.Name) or call.func.id != "print"
        is_warning = full_name(call.func, self._names) == "warnings.warn"
        if (needs and not parts) or (is_warning and len(parts) > 1):
            return node
        self.notes.append(Violation("SBX264", first_line(node)))
        node.value = guard("_report_", [_said(p) for p in parts], call)
        return node

    def _is_report(self, function: ast.expr) -> bool:
        match function:
            case ast.Name("print"):
                return self._has_print
            case ast.Attribute(ast.Name(name), method) if name in self._loggers:
                return method in _LOG_METHODS
        return full_name(function, self._names) in _REPORTS

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        """Rewrite the numbers among the values."""
        self.generic_visit(node)
        node.values = [_number(value) for value in node.values]
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """Rewrite the numbers that are returned after the loss."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Tuple):
            node.value.elts[1:] = [_number(value) for value in node.value.elts[1:]]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Rewrite a number that becomes an item of a dict."""
        self.generic_visit(node)
        match node.targets:
            case [ast.Subscript()]:
                node.value = _number(node.value)
        return node


def _is_option(name: str | None, value: ast.expr) -> bool:
    match value:
        case ast.Name(kind):
            return name == "category" and kind in _CATEGORIES
        case ast.Constant(given):
            return given is None or isinstance(given, str if name in ("sep", "end") else bool | int)
    return False


def _said(node: ast.expr) -> ast.expr:
    """A part of a report: a text with numbers, or a number."""
    if not isinstance(node, ast.JoinedStr):
        return _number(node)
    parts: list[ast.expr] = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            if part.conversion != -1 or not _is_short(part.format_spec):
                return node  # refused as it is
            value = _number(part.value)
            written = _written(part.format_spec)
            parts.append(guard("_reported_", [constant(written, part), value], part) if written else value)
    return guard("_reported_", [constant("text", node), *parts], node)


def _is_short(specification: ast.expr | None) -> bool:
    match specification:
        case None | ast.JoinedStr([]):
            return True
        case ast.JoinedStr([ast.Constant(str(text))]):
            return _FORMAT.fullmatch(text) is not None
    return False


def _written(specification: ast.expr | None) -> str:
    match specification:
        case ast.JoinedStr([ast.Constant(str(text))]):
            return text
    return ""


def _number(node: ast.expr, *, single: bool = False) -> ast.expr:
    """`x.item()`, also inside float() and round() or in arithmetic, as a guard call; any other expression as it is."""
    match node:
        case ast.Call(ast.Attribute(value, name), [], []) if name in _LEAVING:
            what = "item" if single or name == "item" else "list"
            return guard("_reported_", [constant(what, node), value], node)
        case ast.Call(ast.Name("float" | "round"), [value, *rest], []) if (
            made := _number(value, single=True)
        ) is not value and all(isinstance(r, ast.Constant) and type(r.value) is int for r in rest):
            return made
        case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right):
            both = _number(left, single=True), _number(right, single=True)
            if both != (left, right):
                return guard("_reported_", [constant("number", node), *both], node)
    return node
