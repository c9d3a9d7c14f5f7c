"""Rewriting of a class around a loss: `class DPOLoss(nn.Module)` with `__init__`, `forward` and helper methods.

The result is plain functions, under names that no source can write (`DPOLoss.forward`), and one assignment that binds them to the
class's name. A class may derive from an earlier one of the source: it gets its methods and constants. Metaclasses, other bases,
other decorators and computations in the class body are not rewritten, and so are refused.
No Python class is ever created. Attributes of objects and classes are read through a guard, so their names never become attributes
in the byte code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.child.allowlist import calls, limits
from sandbox.child.protocol import SourceSpan, Violation
from sandbox.child.static.class_forms import KINDS, fields_of_tuple, simplify, with_constants
from sandbox.child.static.enums import members_of
from sandbox.child.static.imports import Imports, full_name
from sandbox.child.static.syntax import first_line, is_default, is_docstring, is_guarded_name, is_self, name_span
from sandbox.child.static.unwrapping import Unwrapper, constant, guard, statement

INIT = "__init__"
ENTRIES = ("forward", "__call__")
"""Methods that hold the loss, if a class has one of them."""
_MAGIC = frozenset({INIT, *ENTRIES})


@dataclass(frozen=True, slots=True)
class ClassSource:
    """A rewritten class: its name, the location of the name, and its methods, constants and attributes, with inherited ones.

    `signs` tell how decorated methods are called.
    """

    name: str
    span: SourceSpan
    methods: Mapping[str, ast.FunctionDef]
    signs: Mapping[str, str]
    constants: frozenset[str]
    attributes: frozenset[str]
    parent: str = ""


def take_apart(
    node: ast.ClassDef,
    imports: Imports,
    notes: list[Violation],
    earlier: Mapping[str, ClassSource],
    used: frozenset[str],
) -> tuple[ClassSource, list[ast.stmt]] | Violation:
    """The class and the statements that replace it, or the violation for which it is refused. It may derive from `earlier` ones.

    `used` are the names of attributes that the source reads.
    """
    enum = members_of(node, imports.names)
    if enum is not None:
        return _enum(node, *enum)
    span = name_span(node)
    fields = fields_of_tuple(node, imports)
    signs = simplify(node, imports)
    parent = earlier.get(node.bases[0].id) if len(node.bases) == 1 and isinstance(node.bases[0], ast.Name) else None
    refused = _refused(node, imports.names, signs, parent)
    if refused is not None:
        return Violation("SBX117", first_line(refused))
    own = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
    constants = {
        _target(s): s.value for s in node.body if isinstance(s, ast.Assign | ast.AnnAssign) and s.value is not None
    }
    attributes = frozenset(constants.keys() | _assigned(own.get(INIT)) | own.keys() - {INIT, "__call__"})
    for name, method in own.items():
        kept = used | own.keys() | (parent.methods.keys() if parent is not None else frozenset())
        _Method(imports.names, notes, name == INIT, node.name, parent, kept).visit(method)
        method.name = f"{node.name}.{name}"
    methods = dict(own)
    if parent is not None:  # what the class defines itself hides what it inherits, be it a method or a constant
        methods = {name: m for name, m in parent.methods.items() if name not in own.keys() | constants.keys()} | own
        for name in sorted(parent.constants - own.keys() - constants.keys()):
            constants[name] = guard("_self_", [_name(parent.name, node), constant(name, node)], node)
        signs = {name: sign for name, sign in parent.signs.items() if name not in own} | signs
        attributes |= parent.attributes
    parts: list[ast.expr] = []
    for name, method in methods.items():
        parts += [constant(signs.get(name, ".") + name, node), _name(method.name, node)]
    for name, value in constants.items():
        parts += [constant(f"={name}", node), value]
    if fields:
        parts += [constant("#", node), constant(fields, node)]
    made = guard("_class_", parts, node)
    binding = ast.copy_location(ast.Assign([_name(node.name, node, ast.Store())], made), node)
    notes.append(Violation("SBX250", span))
    made_of = ClassSource(
        node.name, span, methods, signs, frozenset(constants), attributes, parent.name if parent is not None else ""
    )
    return made_of, [*own.values(), binding]


def _enum(node: ast.ClassDef, kind: str, members: Mapping[str, object]) -> tuple[ClassSource, list[ast.stmt]]:
    parts: list[ast.expr] = [constant(kind, node)]
    for name, value in members.items():
        parts += [constant(name, node), constant(value, node)]
    binding = ast.copy_location(ast.Assign([_name(node.name, node, ast.Store())], guard("_enum_", parts, node)), node)
    attributes = frozenset({*members, "name", "value"})
    return ClassSource(node.name, name_span(node), {}, {}, frozenset(), attributes), [binding]


def read_attributes(tree: ast.Module, names: Mapping[str, str], classes: Sequence[ClassSource]) -> None:
    """Let the guard `_self_` read the attributes that the source's own classes and namespaces have, in place."""
    given: set[str] = set()
    if any(path.partition(".")[0] == "types" for path in names.values()):
        given = {k.arg for n in ast.walk(tree) if _makes_namespace(n, names) for k in n.keywords if k.arg}  # type: ignore[attr-defined]
    own = given | {name for c in classes for name in c.attributes}
    found = frozenset(name for name in own if not _is_reserved(name))
    if found:
        _Reading(names, found).visit(tree)


def _is_reserved(name: str) -> bool:
    return name in limits.REFUSED_ATTRIBUTES or is_guarded_name(name) or name.endswith("_")


def _makes_namespace(node: ast.AST, names: Mapping[str, str]) -> bool:
    return isinstance(node, ast.Call) and full_name(node.func, names) == calls.NAMESPACE


class _Reading(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str], attributes: frozenset[str]) -> None:
        self._names = names
        self._attributes = attributes

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace the reading of an attribute, except of a module."""
        read = isinstance(node.ctx, ast.Load) and node.attr in self._attributes
        is_own = read and full_name(node, self._names) is None
        self.generic_visit(node)
        return guard("_self_", [node.value, constant(node.attr, node)], node) if is_own else node


def _refused(
    node: ast.ClassDef, names: Mapping[str, str], signs: Mapping[str, str], parent: ClassSource | None
) -> ast.AST | None:
    """The first part of a class that cannot be rewritten, or None."""
    if node.decorator_list:
        return node.decorator_list[0]
    if node.keywords or getattr(node, "type_params", None) or len(node.bases) > 1:
        return node
    for base in node.bases if parent is None else ():
        if full_name(base, names) != "torch.nn.Module" and not (isinstance(base, ast.Name) and base.id == "object"):
            return base
    methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    unclear = with_constants(node)
    if unclear is not None:
        return unclear
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            is_of_class = signs.get(part.name) == KINDS["classmethod"]
            fine = methods.count(part.name) == 1 and (is_of_class or _is_plain_method(part))
        elif isinstance(part, ast.Assign):
            fine = len(part.targets) == 1 and _is_setting(part.targets[0], part.value, methods)
        elif isinstance(part, ast.AnnAssign):
            fine = _is_setting(part.target, part.value, methods)
        else:
            fine = isinstance(part, ast.Pass) or is_docstring(part)
        if not fine:
            return part
    return None


def _is_plain_method(method: ast.FunctionDef) -> bool:
    a = method.args
    takes_self = bool(a.args) and a.args[0].arg == "self" and not a.posonlyargs and len(a.defaults) < len(a.args)
    return takes_self and (not method.name.startswith("__") or method.name in _MAGIC)


def _is_setting(target: ast.expr, value: ast.expr | None, methods: list[str]) -> bool:
    """Whether `target = value` assigns a constant to a name that is not a method, or only annotates the name."""
    named = isinstance(target, ast.Name) and not target.id.startswith("__") and target.id not in methods
    return named and (value is None or is_default(value))


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
    """Rewrites one method: in `__init__`, assignments to attributes of `self` become calls of the guard `_set_`."""

    _in_module = False

    def __init__(
        self,
        names: Mapping[str, str],
        notes: list[Violation],
        is_init: bool,
        own: str,
        parent: ClassSource | None,
        kept: frozenset[str],
    ) -> None:
        super().__init__(names, notes)
        self._is_init = is_init
        self._own = own
        self._kept = kept
        self._inherited = (
            {name: m for name, m in parent.methods.items() if name not in parent.signs} if parent is not None else {}
        )

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`super().method(...)` calls the inherited method."""
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(ast.Call(ast.Name("super"), given, []), name) if name in self._inherited and _is_own(
                given, self._own
            ):
                me = ast.copy_location(ast.Name("self", ast.Load()), node)
                node.args.insert(0, me)
                node.func = _name(self._inherited[name].name, node.func)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return self._setting(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self._setting(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        return self._report(node.target, node.value, node) or node

    def _report(self, target: ast.expr, value: ast.expr, node: ast.stmt) -> ast.stmt | None:
        """The value alone, where a method keeps it in an attribute that nothing reads, such as `self.last_margin = ...`."""
        match target:
            case ast.Attribute(me, name) if not self._is_init and is_self(me) and name not in self._kept:
                self._note("SBX264", node)
                return statement(value, node)
        return None

    def _setting(self, node: ast.Assign | ast.AnnAssign) -> ast.AST:
        name = _self_target(node) if self._is_init else None
        if name is None or node.value is None:
            self.generic_visit(node)
            target = (
                node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if len(node.targets) == 1 else None
            )
            reported = self._report(target, node.value, node) if target is not None and node.value is not None else None
            return reported or node
        return _set(name, self.visit(node.value), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Drop `super().__init__()`, which has no effect on the loss."""
        if self._is_init and INIT not in self._inherited and _is_super_init(node.value, self._own):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _is_super_init(call: ast.expr, own: str) -> bool:
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name("super"), args=given, keywords=[]), attr="__init__"),
            args=[],
            keywords=[],
        ):
            return _is_own(given, own)
    return False


def _is_own(given: Sequence[ast.expr], own: str) -> bool:
    """Whether these are the arguments of `super()` or `super(Loss, self)` in the class `own`."""
    match given:
        case [ast.Name(name), me]:
            return name == own and is_self(me)
    return not given


def _set(name: str, value: ast.expr, at: ast.stmt) -> ast.Expr:
    me = ast.copy_location(ast.Name("self", ast.Load()), at)
    return statement(guard("_set_", [me, constant(name, at), value], at), at)


def _name(name: str, at: ast.AST, ctx: ast.expr_context | None = None) -> ast.Name:
    return ast.copy_location(ast.Name(name, ctx or ast.Load()), at)
