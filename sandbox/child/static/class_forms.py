"""Usual forms in the body of a class, replaced by the plain ones that `classes` rewrites. Nothing is executed here.

self.beta, self.eps = beta, eps       two assignments
self.beta = self.scale = beta         two assignments
self.register_buffer("w", value)      self.w = value
@staticmethod                         a method that does not use `self`
@classmethod, @property               a method that gets the class, and one that is called where it is read
ABC, @abstractmethod                  left out: an abstract method raises
@dataclass, NamedTuple                `__init__` with the fields as parameters
__constants__, extra_repr, __repr__   left out: torch uses them to print a module or to compile it
"""

from __future__ import annotations

import ast
import copy
import keyword
from collections.abc import Iterator, Mapping
from itertools import count, islice

from sandbox.child.static.imports import Imports, full_name
from sandbox.child.static.syntax import NAMED_TUPLE, is_constant, is_self
from sandbox.child.static.unwrapping import guard

_FOR_PRINTING = frozenset({"extra_repr", "__repr__", "__str__"})
_ABOUT_DATACLASSES = frozenset({"frozen", "slots", "kw_only", "eq", "repr", "order", "unsafe_hash"})
KINDS = {"staticmethod": "@", "classmethod": "%", "property": "&"}
"""Decorators of methods, with the sign that tells the tracer how the method is called."""


def simplify(node: ast.ClassDef, imports: Imports) -> dict[str, str]:
    """Replace the forms above, in place. Other forms stay as they are. Returns the signs of decorated methods by name."""
    node.bases = [base for base in node.bases if full_name(base, imports.names) != "abc.ABC"]
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            kept = [d for d in part.decorator_list if full_name(d, imports.names) != "abc.abstractmethod"]
            if len(kept) < len(part.decorator_list):
                part.body = [ast.copy_location(ast.Raise(), part)]
            part.decorator_list = kept
    node.body = [part for part in node.body if not _is_left_out(part)]
    _without_fields(node, imports)
    node.body = node.body or [ast.copy_location(ast.Pass(), node)]
    signs = {}
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            kind = _decorator(part)
            if kind and not part.args.posonlyargs and not part.name.startswith("__"):
                signs[part.name] = KINDS[kind]
                _with_self(part, kind)
            if part.name == "__init__":
                part.body = list(_plain(part.body, _names(part)))
    return signs


def fields_of_tuple(node: ast.ClassDef, imports: Imports) -> tuple[str, ...]:
    """The fields of a NamedTuple, in order; none for any other class."""
    if len(node.bases) != 1 or not _is_named_tuple(node.bases[0], imports):
        return ()
    return tuple(p.target.id for p in node.body if isinstance(p, ast.AnnAssign) and isinstance(p.target, ast.Name))


def as_class(node: ast.stmt, names: Mapping[str, str]) -> ast.ClassDef | None:
    """`Pair = namedtuple("Pair", "a b")` as a class that derives from NamedTuple; None for any other statement."""
    match node:
        case ast.Assign([ast.Name(name)], ast.Call(function, [ast.Constant(str(given)), fields], options)) if (
            given == name and full_name(function, names) == "collections.namedtuple"
        ):
            known = _field_names(fields)
            defaults = _defaults(options)
            if known is None or defaults is None or len(defaults) > len(known):
                return None
            values = [None] * (len(known) - len(defaults)) + defaults
            body: list[ast.stmt] = [
                ast.copy_location(ast.AnnAssign(_name(field, node, ast.Store()), _name("object", node), value, 1), node)
                for field, value in zip(known, values, strict=True)
            ]
            base = ast.copy_location(ast.Name(NAMED_TUPLE, ast.Load()), node)
            made = ast.ClassDef(name=name, bases=[base], keywords=[], body=body, decorator_list=[])
            if "type_params" in ast.ClassDef._fields:
                made.type_params = []  # type: ignore[attr-defined]
            return ast.copy_location(made, node)
    return None


def _field_names(node: ast.expr) -> list[str] | None:
    match node:
        case ast.Constant(str(text)):
            found = text.replace(",", " ").split()
        case ast.List(elts=parts) | ast.Tuple(elts=parts) if all(isinstance(p, ast.Constant) for p in parts):
            found = [str(p.value) for p in parts if isinstance(p, ast.Constant)]
        case _:
            return None
    fine = all(f.isidentifier() and not f.startswith("_") and not keyword.iskeyword(f) for f in found)
    return found if found and fine and len({*found}) == len(found) else None


def _defaults(options: list[ast.keyword]) -> list[ast.expr] | None:
    match options:
        case []:
            return []
        case [ast.keyword("defaults", ast.List(elts=values) | ast.Tuple(elts=values))]:
            return values
    return None


def _name(name: str, at: ast.AST, ctx: ast.expr_context | None = None) -> ast.Name:
    return ast.copy_location(ast.Name(name, ctx or ast.Load()), at)


_ABOUT_FIELDS = frozenset({"default", "default_factory", "metadata", "repr", "compare", "hash"})


def _is_plain_value(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict):
        return all(isinstance(v, ast.Constant) for v in [*value.keys, *value.values])
    return isinstance(value, ast.Constant)


def _plain_field(part: ast.AnnAssign, imports: Imports) -> ast.expr | None:
    """Replace `field(default=1.0)` by the value, in place.

    Returns what a `default_factory` makes; the default then says that the argument is missing.
    """
    made: ast.expr
    match part.value:
        case ast.Call(function, [], options) if full_name(function, imports.names) == "dataclasses.field":
            given = {o.arg: o.value for o in options}
            about = [v for name, v in given.items() if name not in ("default", "default_factory")]
            if not given.keys() <= _ABOUT_FIELDS or not all(map(_is_plain_value, about)):
                return None
            match given.get("default"), given.get("default_factory"):
                case None, None if not given.keys() & {"default", "default_factory"}:
                    part.value = None
                case ast.expr() as value, None:
                    part.value = value
                case None, ast.Lambda(
                    ast.arguments(args=[], posonlyargs=[], kwonlyargs=[], vararg=None, kwarg=None), made
                ):
                    part.value = guard("_missing_", [], part)
                    return made
                case None, ast.Name("list" | "dict" as kind):
                    made = ast.List([], ast.Load()) if kind == "list" else ast.Dict([], [])
                    part.value = guard("_missing_", [], part)
                    return ast.copy_location(made, part)
    return None


def _without_fields(node: ast.ClassDef, imports: Imports) -> None:
    """Write the `__init__` of a dataclass or NamedTuple, in place; its fields with defaults stay as constants of the class."""
    is_dataclass = (
        len(node.decorator_list) == 1 and not node.bases and _makes_dataclass(node.decorator_list[0], imports)
    )
    is_tuple = not node.decorator_list and len(node.bases) == 1 and _is_named_tuple(node.bases[0], imports)
    own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    if not (is_dataclass or is_tuple) or own & {"__init__", "__new__"}:
        return
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
    names = [part.target.id for part in fields if isinstance(part.target, ast.Name)]
    after = [m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == _AFTER_INIT]
    if after and (is_tuple or not _fits_in_init(after, names) or _keeps_out(node, after)):
        return
    factories = {part: _plain_field(part, imports) if is_dataclass else None for part in fields}
    outer = {n.id for made in factories.values() if made for n in ast.walk(made) if isinstance(n, ast.Name)}
    if outer & {"self", *names} or (is_dataclass and any(isinstance(p.value, ast.List | ast.Dict) for p in fields)):
        return
    given = [part.value is not None for part in fields]
    bound = [name for name in map(_bound, node.body) if name]
    special = any(word in ast.dump(part.annotation) for part in fields for word in ("ClassVar", "InitVar", "KW_ONLY"))
    if given != sorted(given) or special or len({*bound}) < len(bound):
        return
    node.decorator_list, node.bases = [], []
    sets: list[ast.stmt] = []
    for name, part in zip(names, fields, strict=True):
        me = ast.copy_location(ast.Name("self", ast.Load()), part)
        value: ast.expr = ast.copy_location(ast.Name(name, ast.Load()), part)
        if made := factories[part]:
            missing = guard("_missing_", [copy.deepcopy(value)], part)
            value = ast.copy_location(ast.IfExp(missing, made, value), part)
        sets.append(_assign(ast.Attribute(me, name, ast.Store()), value, part))
    for method in after:
        node.body.remove(method)
        sets += method.body
    parameters = [
        ast.copy_location(ast.arg(name), part) for name, part in zip(["self", *names], [node, *fields], strict=True)
    ]
    defaults = [copy.deepcopy(part.value) for part in fields if part.value is not None]
    arguments = ast.arguments(posonlyargs=[], args=parameters, kwonlyargs=[], kw_defaults=[], defaults=defaults)
    node.body.append(function("__init__", arguments, sets, node))
    node.body = [part for part in node.body if part not in fields or (part.value is not None and not factories[part])]


def with_constants(node: ast.ClassDef) -> ast.AST | None:
    """Replace names of earlier constants of a class in later constants and defaults, in place: outside they mean something else.

    Returns a part in which another name of the class occurs.
    """
    names = {_bound(part) for part in node.body}
    known: dict[str, ast.expr] = {}
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            a = part.args
            a.defaults = [_Filled(known).visit(value) for value in a.defaults]
            a.kw_defaults = [value and _Filled(known).visit(value) for value in a.kw_defaults]
            values = [*a.defaults, *a.kw_defaults]
        elif isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
            part.value = _Filled(known).visit(part.value)
            values = [part.value]
        else:
            continue
        if any(
            isinstance(n, ast.Name) and n.id in names for value in values if value is not None for n in ast.walk(value)
        ):
            return part
        if isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None and _is_scalar(part.value):
            known[_bound(part)] = part.value
        else:
            known.pop(_bound(part), None)
    return None


def _is_scalar(value: ast.expr) -> bool:
    """Whether it is a constant without parts: a tuple of tuples would grow with every name that is filled in."""
    return is_constant(value) and not any(isinstance(n, ast.Tuple) for n in ast.walk(value))


class _Filled(ast.NodeTransformer):
    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The constant that the name stands for."""
        return copy.deepcopy(self._known.get(node.id, node))


def _bound(part: ast.stmt) -> str:
    """The name that a part of a class's body binds; "" if it is none."""
    target = (
        part.target if isinstance(part, ast.AnnAssign) else part.targets[0] if isinstance(part, ast.Assign) else part
    )
    return target.id if isinstance(target, ast.Name) else part.name if isinstance(part, ast.FunctionDef) else ""


_AFTER_INIT = "__post_init__"


def _fits_in_init(methods: list[ast.FunctionDef], fields: list[str]) -> bool:
    """Whether the statements of `__post_init__` mean the same at the end of `__init__`, whose parameters are the fields."""
    (method,) = methods[:1]
    takes_self = [a.arg for a in ast.walk(method.args) if isinstance(a, ast.arg)] == ["self"]
    plain = not any(isinstance(n, ast.Return) for n in ast.walk(method)) and not method.decorator_list
    return len(methods) == 1 and takes_self and plain and not _names(method) & {*fields}


def _keeps_out(node: ast.ClassDef, after: list[ast.FunctionDef]) -> bool:
    """Whether a dataclass may refuse the attributes that `__post_init__` sets."""
    options = [k.arg for d in node.decorator_list if isinstance(d, ast.Call) for k in d.keywords]
    sets = any(isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load) for m in after for n in ast.walk(m))
    return sets and bool({"frozen", "slots"} & {*options})


def _makes_dataclass(decorator: ast.expr, imports: Imports) -> bool:
    match decorator:
        case ast.Call(func, [], options):
            fine = all(o.arg in _ABOUT_DATACLASSES and isinstance(o.value, ast.Constant) for o in options)
            return fine and full_name(func, imports.names) == "dataclasses.dataclass"
    return full_name(decorator, imports.names) == "dataclasses.dataclass"


def _is_named_tuple(base: ast.expr, imports: Imports) -> bool:
    if isinstance(base, ast.Name) and base.id == NAMED_TUPLE:
        return True
    if isinstance(base, ast.Attribute):
        return base.attr == "NamedTuple" and isinstance(base.value, ast.Name) and base.value.id in imports.annotations
    return isinstance(base, ast.Name) and base.id == "NamedTuple" and base.id in imports.annotations


def function(name: str, arguments: ast.arguments, body: list[ast.stmt], at: ast.AST) -> ast.FunctionDef:
    """A function definition, with the location of `at`."""
    made = ast.FunctionDef(
        name=name, args=arguments, body=body or [ast.copy_location(ast.Pass(), at)], decorator_list=[], returns=None
    )
    if "type_params" in ast.FunctionDef._fields:
        made.type_params = []  # type: ignore[attr-defined]
    return ast.copy_location(made, at)


def _is_left_out(part: ast.stmt) -> bool:
    if isinstance(part, ast.FunctionDef):
        a = part.args
        return part.name in _FOR_PRINTING and [p.arg for p in a.args] == ["self"] and not part.decorator_list
    return (
        isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name) and part.targets[0].id == "__constants__"
    )


def _decorator(method: ast.FunctionDef) -> str:
    """The one decorator of a method, if it is one of KINDS and fits the method's parameters; else ""."""
    match method.decorator_list:
        case [ast.Name(kind)] if kind in KINDS:
            names = [p.arg for p in method.args.args]
            fits = {
                "staticmethod": "self" not in _names(method),
                "classmethod": names[:1] not in ([], ["self"]) and len(method.args.defaults) != len(names),
                "property": names == ["self"],
            }
            return kind if fits[kind] else ""
    return ""


def _with_self(method: ast.FunctionDef, kind: str) -> None:
    """Drop the decorator, and give a static method the parameter `self`, since methods are called with it."""
    if kind == "staticmethod":
        me = ast.copy_location(ast.arg("self"), method.args.args[0] if method.args.args else method)
        method.args.args.insert(0, me)
    method.decorator_list = []


def _names(method: ast.FunctionDef) -> set[str]:
    found = {n.id for n in ast.walk(method) if isinstance(n, ast.Name)}
    return found | {n.arg for n in ast.walk(method) if isinstance(n, ast.arg)}


def _plain(body: list[ast.stmt], taken: set[str]) -> Iterator[ast.stmt]:
    for statement in body:
        match statement:
            case ast.Assign():
                yield from _split(statement, taken)
            case ast.Expr(ast.Call(ast.Attribute(me, "register_buffer"), [ast.Constant(str() as name), value])) if (
                is_self(me)
            ):
                target = ast.Attribute(me, name, ast.Store())
                yield _assign(target, value, statement)
            case _:
                yield statement


def _split(node: ast.Assign, taken: set[str]) -> list[ast.stmt]:
    """One assignment for each target, if some are attributes of `self`. All values are computed first, under names that are not
    `taken`."""
    first, *others = node.targets
    targets, values = [first, *others], [node.value]
    if not others and isinstance(first, ast.Tuple | ast.List) and isinstance(node.value, ast.Tuple | ast.List):
        targets, values = first.elts, node.value.elts
    written = [_written(t) for t in targets]
    if None in written or len(values) not in (1, len(targets)) or all(isinstance(t, ast.Name) for t in targets):
        return [node]
    names = list(islice((name for i in count() if (name := f"value_{i}") not in taken), len(values)))
    kept = [_assign(ast.Name(name, ast.Store()), value, node) for name, value in zip(names, values, strict=True)]
    sources = names if len(names) == len(targets) else names * len(targets)
    return [*kept, *(_assign(target, _load(name, node), node) for target, name in zip(targets, sources, strict=True))]


def _written(target: ast.expr) -> str | None:
    """The name or attribute of `self` that a target is, as text; None for any other target."""
    match target:
        case ast.Name(name):
            return name
        case ast.Attribute(me, name) if is_self(me):
            return f"self.{name}"
    return None


def _load(name: str, at: ast.stmt) -> ast.Name:
    return ast.copy_location(ast.Name(name, ast.Load()), at)


def _assign(target: ast.expr, value: ast.expr, at: ast.stmt) -> ast.Assign:
    ast.copy_location(target, at)
    return ast.copy_location(ast.Assign([target], value), at)
