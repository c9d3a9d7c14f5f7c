"""Search for the loss function in a source, and the match of its parameters to the contract's arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.child.protocol import SourceSpan, Violation
from sandbox.child.static.classes import ENTRIES, INIT, ClassSource
from sandbox.child.static.syntax import name_span
from sandbox.contracts.argument_names import by_meaning, order_of
from sandbox.contracts.contract import Contract


@dataclass(frozen=True, slots=True)
class Entry:
    """The function that is the loss. `given` maps its parameters to arguments of the contract.

    `owner` is its class, "" for a plain function. `settings` are the parameters of that class's `__init__` that receive a
    scalar argument of the contract.
    """

    name: str
    span: SourceSpan
    is_method: bool
    given: Mapping[str, str]
    owner: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    function: ast.FunctionDef
    owner: ClassSource | None
    given: Mapping[str, str]
    settings: tuple[str, ...]
    required: tuple[ast.arg, ...]
    """Parameters without a value: the contract supplies none, and there is no default."""
    rank: int
    """0: exact names. 1: synonyms. 2 and 3: likewise, for a loss without the reference's arguments."""


def find_entry(
    tree: ast.Module, contract: Contract, classes: Sequence[ClassSource] = (), arguments: Sequence[str] = ()
) -> tuple[Entry | None, list[Violation]]:
    """The one function that fits the contract, with notes; or None, with the violations that say why.

    `arguments` are the source's names for the contract's arguments, in the contract's order, if the caller supplies them.
    """
    functions: list[tuple[ast.FunctionDef, ClassSource | None]] = [
        (n, None) for n in tree.body if isinstance(n, ast.FunctionDef) and "." not in n.name
    ]
    functions += [(m, c) for c in classes for name, m in c.methods.items() if name != INIT]
    if not functions:
        return None, [Violation("SBX109", SourceSpan(1, 0, 1, 0))]
    found = [c for f, owner in functions for c in [_candidate(f, owner, contract, arguments, tree)] if c is not None]
    best = _preferred(found)
    if len(best) > 1 and (caller := _caller(tree, best)):
        best = [caller]
    if not best:
        return None, [Violation("SBX110", _name_of(*functions[-1]))]
    if len(best) > 1:
        return None, [Violation("SBX111", _span(best[1]), (len(best),))]
    chosen = best[0]
    if _is_ambiguous(tree, chosen, classes):
        return None, [Violation("SBX111", _span(chosen), (2,))]
    if chosen.required and chosen.rank >= 2:
        # Perhaps the reference under other names: a default would make another loss.
        return None, [Violation("SBX110", _span(chosen))]
    if chosen.required:
        return None, [Violation("SBX141", SourceSpan.of(p)) for p in chosen.required]
    owner = chosen.owner.name if chosen.owner is not None else ""
    function = chosen.function
    entry = Entry(function.name, _span(chosen), _is_method(function), chosen.given, owner, chosen.settings)
    others = [c for c in found if _name(c) != _name(chosen)]
    return entry, [*_notes(chosen, contract), *(Violation("SBX262", _span(c)) for c in others[:1])]


def _candidate(
    function: ast.FunctionDef,
    owner: ClassSource | None,
    contract: Contract,
    arguments: Sequence[str],
    tree: ast.Module,
) -> _Candidate | None:
    """The function with its parameters matched to the contract, or None if it does not accept the contract's arguments."""
    if function.args.posonlyargs:
        return None
    names = [p.arg for p in _parameters(function)]
    tensors = [t.name for t in contract.tensors]
    scalars = [s.name for s in contract.scalars]
    if arguments and set(arguments) <= set(names):
        matched = dict(zip(order_of(contract, arguments), arguments, strict=True))
        rank = 0
    else:
        wanted = tensors + [s for s in scalars if s in names]
        own_names = set(tensors) <= set(names)
        if own_names and names[: len(wanted)] != wanted:
            return None  # the contract's own names in another order: a call by position would give a different loss
        matched = {t: t for t in tensors} if own_names else by_meaning(_without_default(function), contract)
        rank = int(any(k != v for k, v in matched.items()))
    given = {name: wanted for wanted, name in matched.items()}
    given |= {s: s for s in scalars if s in names and s not in given}
    if not _is_method(function) and not set(scalars) <= set(given.values()):
        return None
    if not set(matched) >= set(tensors):
        learns = {t.name for t in contract.tensors if t.learns}
        if set(matched) - set(scalars) != learns or not contract.swap:
            return None  # a preference loss may omit the reference; a loss without a swap needs all its tensors
        own = function.name.rpartition(".")[2]
        if own not in ENTRIES and _used_elsewhere(tree, function, own):
            return None  # a helper of another function
        rank += 2
    init = owner.methods.get(INIT) if owner is not None else None
    settings = tuple(p.arg for p in _parameters(init) if p.arg in scalars) if init is not None else ()
    required = _required(function, set(given)) + (_required(init, set(settings)) if init is not None else [])
    return _Candidate(function, owner, given, settings, tuple(required), rank)


def _without_default(function: ast.FunctionDef) -> list[str]:
    """The names of the parameters whose default is None or missing: another default is a setting."""
    a = function.args
    given = {p.arg: d for p, d in zip(a.args[len(a.args) - len(a.defaults) :], a.defaults, strict=True)}
    given |= {p.arg: d for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None}
    settings = {name for name, d in given.items() if not (isinstance(d, ast.Constant) and d.value is None)}
    return [p.arg for p in _parameters(function) if p.arg not in settings]


def _preferred(candidates: list[_Candidate]) -> list[_Candidate]:
    """The best candidates, in this order: with the reference, without missing values, by the contract's own names, `forward`."""
    order = [(c.rank >= 2, bool(c.required), c.rank) for c in candidates]
    best = [c for c, place in zip(candidates, order, strict=True) if place == min(order)]
    entries = [c for c in best if c.owner is not None and c.function.name.rpartition(".")[2] in ENTRIES]
    owners = {id(c.owner) for c in entries}
    return [c for c in best if c.owner is None or id(c.owner) not in owners or c in entries]


def _required(function: ast.FunctionDef, given: set[str]) -> list[ast.arg]:
    """Parameters without a value: not in `given`, and without a default."""
    a = function.args
    plain = a.args[: len(a.args) - len(a.defaults)] + [
        p for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is None
    ]
    return [p for p in plain if p.arg not in given and not (a.args and p is a.args[0] and p.arg == "self")]


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    found = [*function.args.args, *function.args.kwonlyargs]
    return found[1:] if _is_method(function) else found


def _is_method(function: ast.FunctionDef) -> bool:
    return bool(function.args.args) and function.args.args[0].arg == "self"


def _span(candidate: _Candidate) -> SourceSpan:
    return _name_of(candidate.function, candidate.owner)


def _name_of(function: ast.FunctionDef, owner: ClassSource | None) -> SourceSpan:
    """The location of a function's name; for a method, of its class's name."""
    return owner.span if owner is not None else name_span(function)


def _name(candidate: _Candidate) -> str:
    """The name by which other code uses a candidate: for a method that of its class."""
    return candidate.owner.name if candidate.owner is not None else candidate.function.name


def _caller(tree: ast.Module, candidates: Sequence[_Candidate]) -> _Candidate | None:
    """The one candidate that calls all others by their names, itself or through one of them; None if there is none.

    The others must be helpers and nothing else: read nowhere but where they are called, in the functions of the candidates.
    """
    names = {_name(c) for c in candidates}
    calls = {_name(c): _called(c, names) for c in candidates}
    reached = {name: _reached(name, calls) for name in names}
    callers = [c for c in candidates if names - {_name(c)} <= reached[_name(c)]]
    if len(callers) != 1 or len(names) < len(candidates):
        return None
    helpers = names - {_name(callers[0])}
    inside = [node for c in candidates for node in _nodes(c)]
    calls_inside = sum(isinstance(n, ast.Call) and _is_named(n.func, helpers) for n in inside)
    mentions = sum(_is_named(n, helpers) for n in ast.walk(tree))
    return callers[0] if calls_inside == mentions else None


def _called(candidate: _Candidate, names: set[str]) -> set[str]:
    calls = (n.func for n in _nodes(candidate) if isinstance(n, ast.Call))
    return {f.id for f in calls if isinstance(f, ast.Name) and f.id in names}


def _reached(name: str, calls: Mapping[str, set[str]]) -> set[str]:
    found, left = set[str](), [name]
    while left:
        new = calls[left.pop()] - found
        found |= new
        left += new
    return found


def _nodes(candidate: _Candidate) -> list[ast.AST]:
    """What a candidate consists of; for a method, all methods of its class."""
    functions = candidate.owner.methods.values() if candidate.owner is not None else [candidate.function]
    return [node for function in functions for node in ast.walk(function)]


def _is_named(node: ast.AST, names: set[str]) -> bool:
    """Whether a node mentions one of the names: reads or binds it, has it as an attribute, or as a text."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.Constant(value=str(name)):
            return name in names
    return False


def _used_elsewhere(tree: ast.Module, function: ast.FunctionDef, name: str) -> bool:
    """Whether code outside of a function reads this name, also as an attribute. A function may use its own name for a variable."""
    own = {id(node) for node in ast.walk(function)}
    return any(
        (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id == name)
        or (isinstance(node, ast.Attribute) and node.attr == name)
        # An attribute of `self`, which `classes` rewrites to a string.
        or (isinstance(node, ast.Constant) and node.value == name)
        for node in ast.walk(tree)
        if id(node) not in own
    )


def _is_ambiguous(tree: ast.Module, chosen: _Candidate, classes: Sequence[ClassSource]) -> bool:
    """Whether the entry's name has a second meaning at the top level."""
    name = _name(chosen)
    functions = sum(isinstance(n, ast.FunctionDef) and n.name == name for n in tree.body)
    makers = sum(c.name == name for c in classes)
    return functions + makers > 1 or _assignments(tree, name) > makers


def _assignments(tree: ast.Module, name: str) -> int:
    """How often the module assigns to a name, outside of functions."""
    outside: Iterable[ast.stmt] = (s for s in tree.body if not isinstance(s, ast.FunctionDef))
    return sum(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for s in outside for n in ast.walk(s)
    )


def _notes(chosen: _Candidate, contract: Contract) -> list[Violation]:
    """Notes on differences from the contract's signature that were accepted."""
    order = [a.name for a in contract.tensors]
    renamed = {wanted: name for name, wanted in chosen.given.items() if wanted in order}
    notes = []
    if any(wanted != name for wanted, name in renamed.items()):
        names = ", ".join(renamed[wanted] for wanted in order if wanted in renamed)
        numbers = tuple(order.index(wanted) for wanted in order if wanted in renamed)
        notes.append(Violation("SBX253", _span(chosen), numbers, text=names))
    if chosen.rank >= 2:
        notes.append(Violation("SBX254", _span(chosen)))
    return notes
