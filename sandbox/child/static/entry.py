"""Which function of a source is the loss, and which of its parameters stands for which argument of the contract."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.child.protocol import Complaint, Spot
from sandbox.child.static.classes import ENTRIES, INIT, ClassSource
from sandbox.child.static.syntax import name_spot
from sandbox.contracts.contract import Contract
from sandbox.contracts.naming import by_meaning, order_of


@dataclass(frozen=True, slots=True)
class Entry:
    """The function that is the loss. `given` says which argument of the contract each of its parameters takes.

    `owner` is the class that it belongs to, "" for a plain function; `settings` are the parameters of that class's
    `__init__` that take a number of the contract.
    """

    name: str
    spot: Spot
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
    """Parameters that nobody gives a value: neither the contract nor a default."""
    rank: int
    """0 exact names, 1 synonyms; 2 and 3 the same without the reference."""


def find_entry(
    tree: ast.Module, contract: Contract, classes: Sequence[ClassSource] = (), arguments: Sequence[str] = ()
) -> tuple[Entry | None, list[Complaint]]:
    """The one function that fits the contract, and what is to be told: why there is none, or notes.

    `arguments` are the names that the caller says the contract's arguments have, in the contract's order.
    """
    functions: list[tuple[ast.FunctionDef, ClassSource | None]] = [
        (n, None) for n in tree.body if isinstance(n, ast.FunctionDef) and "." not in n.name
    ]
    functions += [(m, c) for c in classes for name, m in c.methods.items() if name != INIT]
    if not functions:
        return None, [Complaint("SBX109", Spot(1, 0, 1, 0))]
    found = [c for f, owner in functions for c in [_candidate(f, owner, contract, arguments, tree)] if c is not None]
    best = _preferred(found)
    if not best:
        return None, [Complaint("SBX110", _name_of(*functions[-1]))]
    if len(best) > 1:
        return None, [Complaint("SBX111", _spot(best[1]), (len(best),))]
    chosen = best[0]
    if _is_ambiguous(tree, chosen, classes):
        return None, [Complaint("SBX111", _spot(chosen), (2,))]
    if chosen.required:
        return None, [Complaint("SBX141", Spot.of(p)) for p in chosen.required]
    owner = chosen.owner.name if chosen.owner is not None else ""
    function = chosen.function
    entry = Entry(function.name, _spot(chosen), _is_method(function), chosen.given, owner, chosen.settings)
    return entry, _notes(chosen, contract)


def _candidate(
    function: ast.FunctionDef,
    owner: ClassSource | None,
    contract: Contract,
    arguments: Sequence[str],
    tree: ast.Module,
) -> _Candidate | None:
    """The function with its parameters matched to the contract, or None where it does not take what the contract gives."""
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
            return None  # the contract's own names in another order: whoever calls it by position gets another loss
        matched = {t: t for t in tensors} if own_names else by_meaning(names, contract)
        rank = int(any(k != v for k, v in matched.items()))
    given = {name: wanted for wanted, name in matched.items()}
    given |= {s: s for s in scalars if s in names and s not in given}
    if not _is_method(function) and not set(scalars) <= set(given.values()):
        return None
    if not set(matched) >= set(tensors):
        learns = {t.name for t in contract.tensors if t.learns}
        if set(matched) - set(scalars) != learns or not contract.swap:
            return None  # of a pair, the two sides that learn may do; of scores and labels, nothing less than both
        own = function.name.rpartition(".")[2]
        if own not in ENTRIES and own in _loaded(tree):
            return None  # a helper of another function
        rank += 2
    init = owner.methods.get(INIT) if owner is not None else None
    settings = tuple(p.arg for p in _parameters(init) if p.arg in scalars) if init is not None else ()
    required = _required(function, set(given)) + (_required(init, set(settings)) if init is not None else [])
    return _Candidate(function, owner, given, settings, tuple(required), rank)


def _preferred(candidates: list[_Candidate]) -> list[_Candidate]:
    """Those that come first: with the reference before without, without missing values, the contract's own names, `forward`."""
    order = [(c.rank >= 2, bool(c.required), c.rank) for c in candidates]
    best = [c for c, place in zip(candidates, order, strict=True) if place == min(order)]
    entries = [c for c in best if c.owner is not None and c.function.name.rpartition(".")[2] in ENTRIES]
    owners = {id(c.owner) for c in entries}
    return [c for c in best if c.owner is None or id(c.owner) not in owners or c in entries]


def _required(function: ast.FunctionDef, given: set[str]) -> list[ast.arg]:
    """Parameters without a value: neither given by the contract nor with a default."""
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


def _spot(candidate: _Candidate) -> Spot:
    return _name_of(candidate.function, candidate.owner)


def _name_of(function: ast.FunctionDef, owner: ClassSource | None) -> Spot:
    """Where the name of a function stands; a method goes by the name of its class."""
    return owner.spot if owner is not None else name_spot(function)


def _loaded(tree: ast.Module) -> set[str]:
    """Every name that the source reads, attributes included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)  # an attribute of `self`, as `classes` writes it
    return found


def _is_ambiguous(tree: ast.Module, chosen: _Candidate, classes: Sequence[ClassSource]) -> bool:
    """Whether the entry's name has a second meaning at the top level."""
    name = chosen.owner.name if chosen.owner is not None else chosen.function.name
    functions = sum(isinstance(n, ast.FunctionDef) and n.name == name for n in tree.body)
    makers = sum(c.name == name for c in classes)
    return functions + makers > 1 or _assignments(tree, name) > makers


def _assignments(tree: ast.Module, name: str) -> int:
    """How often the module gives a name a value; functions have names of their own."""
    outside: Iterable[ast.stmt] = (s for s in tree.body if not isinstance(s, ast.FunctionDef))
    return sum(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for s in outside for n in ast.walk(s)
    )


def _notes(chosen: _Candidate, contract: Contract) -> list[Complaint]:
    """What was taken although it is not written as the contract has it."""
    order = [a.name for a in contract.tensors]
    renamed = {wanted: name for name, wanted in chosen.given.items() if wanted in order}
    notes = []
    if any(wanted != name for wanted, name in renamed.items()):
        names = ", ".join(renamed[wanted] for wanted in order if wanted in renamed)
        numbers = tuple(order.index(wanted) for wanted in order if wanted in renamed)
        notes.append(Complaint("SBX253", _spot(chosen), numbers, text=names))
    if chosen.rank >= 2:
        notes.append(Complaint("SBX254", _spot(chosen)))
    return notes
