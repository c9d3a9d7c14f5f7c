"""Rewriting of a class around a loss: `class DPOLoss(nn.Module)` with `__init__`, `forward` and helper methods.

The result is plain functions, under names that no source can write (`DPOLoss.forward`), and one assignment that binds them to the
class's name. Inheritance, metaclasses, decorators, descriptors and computations in the class body are not rewritten, and so are
refused. No Python class is ever created.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.child.protocol import SourceSpan, Violation
from sandbox.child.static.class_forms import simplify
from sandbox.child.static.imports import full_name
from sandbox.child.static.syntax import first_line, is_constant, is_docstring, is_self, name_span
from sandbox.child.static.unwrapping import Unwrapper, constant, guard, statement

INIT = "__init__"
ENTRIES = ("forward", "__call__")
"""Methods that hold the loss, if a class has one of them."""
_MAGIC = frozenset({INIT, *ENTRIES})


@dataclass(frozen=True, slots=True)
class ClassSource:
    """A rewritten class: its name, the location of the name, and its methods by name."""

    name: str
    span: SourceSpan
    methods: Mapping[str, ast.FunctionDef]


def take_apart(
    node: ast.ClassDef, names: Mapping[str, str], notes: list[Violation]
) -> tuple[ClassSource, list[ast.stmt]] | Violation:
    """The class and the statements that replace it, or the violation for which it is refused."""
    simplify(node)
    refused = _refused(node, names)
    if refused is not None:
        return Violation("SBX117", first_line(refused))
    methods = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
    constants = [s for s in node.body if isinstance(s, ast.Assign | ast.AnnAssign) and s.value is not None]
    span = name_span(node)
    if constants:
        init = methods.setdefault(INIT, _empty_init(node))
        sets: list[ast.stmt] = [_set(_target(s), s.value, s) for s in constants if s.value is not None]
        init.body = [*sets, *init.body]
    attributes = {_target(s) for s in constants} | _assigned(methods.get(INIT)) | methods.keys() - {INIT, "__call__"}
    for name, method in methods.items():
        _Method(names, notes, frozenset(attributes), name == INIT).visit(method)
        method.name = f"{node.name}.{name}"
    parts: list[ast.expr] = []
    for name, method in methods.items():
        parts += [constant(f".{name}", node), _name(method.name, node)]
    made = guard("_class_", parts, node)
    binding = ast.copy_location(ast.Assign([_name(node.name, node, ast.Store())], made), node)
    notes.append(Violation("SBX250", span))
    return ClassSource(node.name, span, methods), [*methods.values(), binding]


def _refused(node: ast.ClassDef, names: Mapping[str, str]) -> ast.AST | None:
    """The first part of a class that cannot be rewritten, or None."""
    if node.decorator_list:
        return node.decorator_list[0]
    if node.keywords or getattr(node, "type_params", None) or len(node.bases) > 1:
        return node
    for base in node.bases:
        if full_name(base, names) != "torch.nn.Module":
            return base
    methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            fine = methods.count(part.name) == 1 and _is_plain_method(part)
        elif isinstance(part, ast.Assign):
            fine = len(part.targets) == 1 and _is_setting(part.targets[0], part.value, methods)
        elif isinstance(part, ast.AnnAssign):
            fine = _is_setting(part.target, part.value, methods)
        else:
            fine = isinstance(part, ast.Pass) or is_docstring(part)
        if not fine:
            return part
    return None if set(methods) - {INIT} else node


def _is_plain_method(method: ast.FunctionDef) -> bool:
    a = method.args
    takes_self = bool(a.args) and a.args[0].arg == "self" and not a.posonlyargs and len(a.defaults) < len(a.args)
    return takes_self and (not method.name.startswith("__") or method.name in _MAGIC)


def _is_setting(target: ast.expr, value: ast.expr | None, methods: list[str]) -> bool:
    """Whether `target = value` assigns a constant to a name that is not a method, or only annotates the name."""
    named = isinstance(target, ast.Name) and not target.id.startswith("__") and target.id not in methods
    return named and (value is None or is_constant(value))


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    assert isinstance(target, ast.Name)
    return target.id


def _assigned(init: ast.FunctionDef | None) -> set[str]:
    """The attributes of `self` that `__init__` assigns."""
    found: set[str] = set()
    for node in ast.walk(init) if init is not None else ():
        name = _self_target(node)
        if name is not None:
            found.add(name)
    return found


def _self_target(node: ast.AST) -> str | None:
    """The name x in a statement `self.x = value` or `self.x: type = value`; None for any other statement."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target = node.target
    else:
        return None
    if isinstance(target, ast.Attribute) and is_self(target.value) and not target.attr.startswith("__"):
        return target.attr
    return None


class _Method(Unwrapper):
    """Rewrites one method: reads and writes of attributes of `self` become calls of the guards `_self_` and `_set_`."""

    def __init__(
        self, names: Mapping[str, str], notes: list[Violation], attributes: frozenset[str], is_init: bool
    ) -> None:
        super().__init__(names, notes)
        self._attributes = attributes
        self._is_init = is_init

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if is_self(node.value) and isinstance(node.ctx, ast.Load) and node.attr in self._attributes:
            return guard("_self_", [node.value, constant(node.attr, node)], node)
        return super().visit_Attribute(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return self._setting(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self._setting(node)

    def _setting(self, node: ast.Assign | ast.AnnAssign) -> ast.AST:
        name = _self_target(node) if self._is_init else None
        if name is None or node.value is None:
            return self.generic_visit(node)
        return _set(name, self.visit(node.value), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Drop `super().__init__()`, which has no effect on the loss."""
        if self._is_init and _is_super_init(node.value):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _is_super_init(call: ast.expr) -> bool:
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name("super"), args=given, keywords=[]), attr="__init__"),
            args=[],
            keywords=[],
        ):
            return not given or (len(given) == 2 and isinstance(given[0], ast.Name) and is_self(given[1]))
    return False


def _set(name: str, value: ast.expr, at: ast.stmt) -> ast.Expr:
    me = ast.copy_location(ast.Name("self", ast.Load()), at)
    return statement(guard("_set_", [me, constant(name, at), value], at), at)


def _empty_init(node: ast.ClassDef) -> ast.FunctionDef:
    me = ast.copy_location(ast.arg("self"), node)
    arguments = ast.arguments(posonlyargs=[], args=[me], kwonlyargs=[], kw_defaults=[], defaults=[])
    body: list[ast.stmt] = [ast.copy_location(ast.Pass(), node)]
    made = ast.FunctionDef(name=INIT, args=arguments, body=body, decorator_list=[], returns=None)
    if "type_params" in ast.FunctionDef._fields:
        made.type_params = []  # type: ignore[attr-defined]
    return ast.copy_location(made, node)


def _name(name: str, at: ast.AST, ctx: ast.expr_context | None = None) -> ast.Name:
    return ast.copy_location(ast.Name(name, ctx or ast.Load()), at)
