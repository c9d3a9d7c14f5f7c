"""Check of a candidate's syntax tree: each node, name and attribute against the allow-lists of `allowlist`."""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox.child.allowlist import calls, limits
from sandbox.child.protocol import SourceSpan, Violation
from sandbox.child.static.class_forms import KINDS
from sandbox.child.static.imports import TYPE_PARTS, Imports, full_name, is_exposed
from sandbox.child.static.syntax import first_line, head_span, is_default, is_docstring, is_guarded_name
from sandbox.child.static.unwrapping import MARKERS, GradBlock, Guard
from sandbox.contracts.contract import Contract
from sandbox.graph.operations.parts.attributes import MAX_INTEGER

_OF_CLASSES = frozenset({"self", "super", "object", *KINDS})
"""Names by which the forms of classes are recognised."""
_BUILTINS = frozenset(dir(builtins)) | {"exit", "quit", "help", "copyright", "credits", "license", "__builtins__"}
_TOP_LEVEL = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Pass)
_ATTRIBUTES = (
    calls.METHODS
    | calls.IN_PLACE.keys()
    | limits.TENSOR_PROPERTIES
    | limits.PAIR_ATTRIBUTES
    | limits.CONTAINER_METHODS
    | limits.FINFO_ATTRIBUTES.keys()
)


_KNOWN = limits.SYNTAX | MARKERS


class Vocabulary:
    """Visits a whole module and collects `violations`, at most `limits.MAX_FINDINGS` of them."""

    def __init__(self, contract: Contract, imports: Imports) -> None:
        self.violations: list[Violation] = []
        self._names = imports.names
        self._protected = frozenset({*imports.names, *imports.annotations, *limits.BUILTINS})
        self._tensors = frozenset(a.name for a in contract.tensors)
        self._of_self = frozenset({*(s.name for s in contract.scalars), *contract.constants})
        self._bound: set[str] = set()

    def visit(self, tree: ast.Module, nodes: Iterable[ast.AST]) -> None:
        """Check the module; `nodes` are all the nodes in it."""
        self._bound = _bound_names(nodes)
        for statement in tree.body:
            if is_docstring(statement):
                continue
            if isinstance(statement, _TOP_LEVEL) or type(statement) not in _KNOWN or _is_plain(statement):
                self._visit(statement)
            else:
                self._refuse("SBX112", statement)

    def _refuse(self, code: str, node: ast.AST, span: SourceSpan | None = None) -> None:
        if len(self.violations) < limits.MAX_FINDINGS:
            self.violations.append(Violation(code, span or SourceSpan.of(node)))

    def _visit(self, node: ast.AST) -> None:
        if type(node) not in _KNOWN:
            self._refuse(limits.REFUSED_SYNTAX.get(type(node).__name__, "SBX113"), node, first_line(node))
            return
        special = _SPECIAL.get(type(node))
        if special is not None:
            special(self, node)
        else:
            self._children(node)

    def _children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if type(child) not in _KNOWN and not hasattr(child, "lineno"):
                self._refuse("SBX113", node)  # an operator has no location of its own
            else:
                self._visit(child)

    # --- statements ---

    def _function(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            self._refuse("SBX120", decorator)
        self._store(node.name, node, head_span(node))
        if getattr(node, "type_params", None):
            self._refuse("SBX113", node, first_line(node))
        self._arguments(node)
        self._annotation(node.returns)
        for statement in node.body:
            if not is_docstring(statement):
                self._visit(statement)

    def _lambda(self, node: ast.Lambda) -> None:
        self._arguments(node)
        self._visit(node.body)

    def _arguments(self, function: ast.FunctionDef | ast.Lambda) -> None:
        a = function.args
        for argument in a.posonlyargs:
            self._refuse("SBX113", argument)
        for rest in filter(None, (a.vararg, a.kwarg)):
            self._store(rest.arg, rest)
            self._annotation(rest.annotation)
        for i, argument in enumerate([*a.args, *a.kwonlyargs]):
            if not (i == 0 and argument.arg == "self" and isinstance(function, ast.FunctionDef)):
                self._store(argument.arg, argument)
            self._annotation(argument.annotation)
        for default in [*a.defaults, *(d for d in a.kw_defaults if d is not None)]:
            if not isinstance(default, Guard) and not is_default(default) and not _makes_own(default):
                self._refuse("SBX136", default)
            self._visit(default)

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        for part in ast.walk(node):
            if not isinstance(part, TYPE_PARTS):
                self._refuse("SBX139", node)
                return

    def _assign(self, node: ast.Assign) -> None:
        """`x[key] = value`, alone, is the call of a guard; other targets are names."""
        match node.targets:
            case [ast.Subscript(value=container, slice=key)]:
                for part in (node.value, container, key):
                    self._visit(part)
            case _:
                self._children(node)

    def _changed(self, node: ast.AugAssign) -> None:
        """`x[key] += value` is the call of a guard; other targets are names."""
        if not isinstance(node.target, ast.Subscript):
            self._children(node)
            return
        for part in (node.target.value, node.target.slice, node.value):
            self._visit(part)
        for inner in ast.walk(node.value):  # `restricted` makes a lambda of the value
            if isinstance(inner, ast.NamedExpr):
                self._refuse("SBX113", inner)
        if type(node.op) not in _KNOWN:
            self._refuse("SBX113", node)

    def _while(self, node: ast.While) -> None:
        """A loop that nothing ends is refused here, others as they are traced."""
        ends = any(isinstance(n, ast.Break | ast.Return) for n in ast.walk(node))
        if isinstance(node.test, ast.Constant) and node.test.value and not ends:
            self._refuse("SBX114", node, first_line(node))
        self._children(node)

    def _delete(self, node: ast.Delete) -> None:
        """Names may be deleted: a later use of one is an error in Python, and here."""
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._visit(target)
            else:
                self._refuse("SBX138", node)

    def _annotated(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        self._visit(node.target)
        if node.value is not None:
            self._visit(node.value)

    def _import(self, node: ast.AST) -> None:
        """Imports are checked by `imports.resolve`."""

    def _expression_statement(self, node: ast.Expr) -> None:
        if not is_docstring(node):
            self._visit(node.value)

    # --- names ---

    def _store(self, name: str, node: ast.AST, span: SourceSpan | None = None) -> None:
        if is_guarded_name(name):
            self._refuse("SBX125", node, span)
        elif len(name) > limits.MAX_NAME:
            self._refuse("SBX108", node, span)
        elif name in self._protected or name in _OF_CLASSES:
            self._refuse("SBX135", node, span)

    def _name(self, node: ast.Name) -> None:
        name = node.id
        if not isinstance(node.ctx, ast.Load):
            self._store(name, node)
        elif name in self._names or name in limits.BUILTINS or name in self._bound:
            if is_guarded_name(name):
                self._refuse("SBX125", node)
        elif name in limits.REFUSED_NAMES:
            self._refuse(limits.REFUSED_NAMES[name], node)
        elif name in _BUILTINS:
            self._refuse("SBX127", node)
        else:
            self._refuse("SBX125" if is_guarded_name(name) else "SBX126", node)

    def _attribute(self, node: ast.Attribute) -> None:
        name = node.attr
        if not isinstance(node.ctx, ast.Load):
            self._refuse("SBX134", node)
            return
        if name.startswith("_"):
            self._refuse("SBX125", node)
            return
        path = full_name(node, self._names)
        if path is not None:
            if not is_exposed(path):
                self._refuse(_refused_attribute(path.split(".")[1:], "SBX130"), node)
            return
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            if name not in self._of_self:
                self._refuse("SBX129", node)
        elif name in calls.IN_PLACE and isinstance(node.value, ast.Name) and node.value.id in self._tensors:
            self._refuse("SBX132", node)
        elif name not in _ATTRIBUTES:
            self._refuse(_refused_attribute([name], "SBX129"), node)
        self._visit(node.value)

    def _keyword(self, node: ast.keyword) -> None:
        if node.arg == "out":
            self._refuse("SBX208", node)
        elif node.arg is not None and is_guarded_name(node.arg):
            self._refuse("SBX125", node)
        self._visit(node.value)

    def _call(self, node: ast.Call) -> None:
        """Only x.to(...) and x.type(...) may name torch.float64, torch.int32 and the like; the tracer checks what x is."""
        converts = isinstance(node.func, ast.Attribute) and node.func.attr in ("to", "type")
        self._visit(node.func)
        parts: list[tuple[ast.AST, ast.expr]] = [(a, a) for a in node.args] + [(k, k.value) for k in node.keywords]
        for given, value in parts:
            if not (converts and (full_name(value, self._names) or "") in calls.OTHER_FLOATS.keys() | calls.SMALL_INTS):
                self._visit(given)

    def _guard(self, node: Guard) -> None:
        """A guard call inserted by `static.unwrapping` or `static.classes`: only its arguments come from the source."""
        for argument in node.args:
            self._visit(argument)

    # --- expressions ---

    def _subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._refuse("SBX134", node)
            return
        self._children(node)

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bytes | complex):
            self._refuse("SBX113", node)
        elif isinstance(value, str) and len(value) > limits.MAX_STRING:
            self._refuse("SBX108", node, first_line(node))
        elif (isinstance(value, float) and math.isinf(value)) or (isinstance(value, int) and value > MAX_INTEGER):
            self._refuse("SBX108", node)

    def _binary(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            self._refuse("SBX122", node)
            return
        self._children(node)

    def _joined(self, node: ast.JoinedStr) -> None:
        """An f-string without formats: `restricted` makes a guard call of it, which accepts texts and whole numbers."""
        for part in node.values:
            if isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None:
                self._visit(part.value)
            else:
                self._visit(part)

    def _starred(self, node: ast.Starred) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._refuse("SBX121", node)
        else:
            self._visit(node.value)

    def _set(self, node: ast.Set) -> None:
        """A set of constants, for `in`: the order of a set's items differs between runs."""
        if not all(isinstance(item, ast.Constant) for item in node.elts):
            self._refuse("SBX113", node)
        self._children(node)

    def _compare(self, node: ast.Compare) -> None:
        """A walrus in a later operand is refused: `restricted` makes a lambda of it, in which the name would be another one."""
        self._visit(node.left)
        for place, (operator, operand) in enumerate(zip(node.ops, node.comparators, strict=True)):
            if place:
                for part in ast.walk(operand):
                    if isinstance(part, ast.NamedExpr):
                        self._refuse("SBX113", part)
            if type(operator) not in _KNOWN:
                self._refuse("SBX113", node)
            if isinstance(operand, ast.Set) and isinstance(operator, ast.In | ast.NotIn):
                self._children(operand)
            else:
                self._visit(operand)

    def _comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            self._refuse("SBX119", node.target)
        self._children(node)


def _is_plain(statement: ast.stmt) -> bool:
    """Whether a branch, a loop or a change outside of a function computes constants only: it defines and imports nothing."""
    if not isinstance(statement, ast.If | ast.For | ast.AugAssign | ast.Assert):
        return False
    defines = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Lambda, ast.Delete, GradBlock)
    return not any(
        isinstance(n, defines) or (isinstance(n, ast.Name) and n.id == "__name__") for n in ast.walk(statement)
    )


def _makes_own(default: ast.expr) -> bool:
    """Whether a default is `Config(margin=0.1)`: made once, of constants, and protected from changes like other constants."""
    match default:
        case ast.Call(ast.Name(name), arguments, keywords) if name not in _BUILTINS:
            return all(map(is_default, [*arguments, *(k.value for k in keywords)]))
    return False


def _refused_attribute(parts: list[str], otherwise: str) -> str:
    for part in parts:
        if part in limits.REFUSED_ATTRIBUTES:
            return limits.REFUSED_ATTRIBUTES[part]
        if part.startswith("_"):
            return "SBX125"
        if part.endswith("_"):
            return "SBX132"
    return otherwise


def _bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """All names that the source binds anywhere, except by imports."""
    bound = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


_SPECIAL: Mapping[type[ast.AST], Callable[[Vocabulary, Any], None]] = {
    ast.FunctionDef: Vocabulary._function,
    ast.Lambda: Vocabulary._lambda,
    Guard: Vocabulary._guard,
    ast.Call: Vocabulary._call,
    ast.Assign: Vocabulary._assign,
    ast.AnnAssign: Vocabulary._annotated,
    ast.AugAssign: Vocabulary._changed,
    ast.Delete: Vocabulary._delete,
    ast.While: Vocabulary._while,
    ast.Import: Vocabulary._import,
    ast.ImportFrom: Vocabulary._import,
    ast.Expr: Vocabulary._expression_statement,
    ast.Name: Vocabulary._name,
    ast.Attribute: Vocabulary._attribute,
    ast.keyword: Vocabulary._keyword,
    ast.Subscript: Vocabulary._subscript,
    ast.Constant: Vocabulary._constant,
    ast.BinOp: Vocabulary._binary,
    ast.Compare: Vocabulary._compare,
    ast.Set: Vocabulary._set,
    ast.Starred: Vocabulary._starred,
    ast.JoinedStr: Vocabulary._joined,
    ast.comprehension: Vocabulary._comprehension,
}
