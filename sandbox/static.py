"""The static layer: source -> checked syntax tree and byte code, or complaints. Runs in the jailed child, without torch.

Guarantees the vocabulary: the code that comes out consists of allowed syntax, allowed names and allowed attributes, and every
operator, call, loop, attribute and subscript in it goes through a guard of `guards`. It guarantees nothing about cost; that is
the tracer's and the jail's part.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from types import CodeType

from sandbox import policy
from sandbox.contract import Contract
from sandbox.imports import resolve
from sandbox.refusal import Complaint, Refusal, Spot
from sandbox.restricted import compile_checked
from sandbox.source_text import check_letters, check_text, split_lines
from sandbox.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate that speaks our vocabulary. `names` says what its module names stand for."""

    code: CodeType
    entry: str
    entry_spot: Spot
    is_method: bool
    names: dict[str, str]


def check(source: str, contract: Contract) -> Checked | list[Complaint]:
    """Check `source` against the policy and compile it with RestrictedPython.

    Gives every complaint that can be told at once, up to `policy.MAX_FINDINGS`. Never executes anything.
    """
    try:
        tree = _parse(source)
        nodes = _nodes(tree)
        check_letters(source, nodes)
        names = resolve(nodes)
    except Refusal as refusal:
        return [refusal.complaint]
    vocabulary = Vocabulary(contract, names)
    vocabulary.visit(tree, nodes)
    complaints = vocabulary.complaints
    entry, trouble = find_entry(tree, contract)
    if trouble is not None:
        complaints.append(trouble)
    if complaints or entry is None:
        return complaints[: policy.MAX_FINDINGS]
    spot, is_method = name_spot(entry), _is_method(entry)
    try:
        code = compile_checked(tree)
    except Refusal as refusal:
        return [refusal.complaint]
    return Checked(code, entry.name, spot, is_method, names)


def _parse(source: str) -> ast.Module:
    check_text(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        line = max(error.lineno or 1, 1)
        column = max((error.offset or 1) - 1, 0)
        raise Refusal(*_syntax_error(source, line, column)) from None
    except (ValueError, RecursionError, MemoryError):
        raise Refusal("SBX107") from None
    return tree


def _syntax_error(source: str, line: int, column: int) -> tuple[str, tuple[int, ...], Spot]:
    """Rule and place of a syntax error. Typographic quotes and minus signs are what models slip in most."""
    lines = split_lines(source)
    text = lines[line - 1] if line <= len(lines) else ""
    at = text[column : column + 1]
    start = len(text[:column].encode())
    code = "SBX106" if at.isascii() else "SBX105"
    return code, (), Spot(line, start, line, start + max(len(at.encode()), 1))


def _nodes(tree: ast.Module) -> list[ast.AST]:
    """All nodes of the tree, level by level. Raises Refusal where there are too many, or too deep."""
    found: list[ast.AST] = []
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        found += level
        depth += 1
        if depth > policy.MAX_DEPTH:
            raise Refusal("SBX107", (depth, policy.MAX_DEPTH), Spot.of(level[0]))
        if len(found) > policy.MAX_SYNTAX_NODES:
            raise Refusal("SBX107", (len(found), policy.MAX_SYNTAX_NODES), Spot.of(level[0]))
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return found


def find_entry(tree: ast.Module, contract: Contract) -> tuple[ast.FunctionDef | None, Complaint | None]:
    """The one top-level function that fits the contract, or what is wrong."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    if not functions:
        return None, Complaint("SBX109", Spot(1, 0, 1, 0))
    fitting = [f for f in functions if fits(f, contract)]
    if not fitting:
        return None, Complaint("SBX110", name_spot(functions[-1]))
    if len(fitting) > 1:
        return None, Complaint("SBX111", name_spot(fitting[1]), (len(fitting),))
    entry = fitting[0]
    if sum(f.name == entry.name for f in functions) > 1 or _is_assigned(tree, entry.name):
        return None, Complaint("SBX111", name_spot(entry), (2,))
    return entry, None


def _is_assigned(tree: ast.Module, name: str) -> bool:
    """Whether the module gives a name another value; functions have names of their own."""
    outside = [s for s in tree.body if not isinstance(s, ast.FunctionDef)]
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for s in outside for n in ast.walk(s)
    )


def fits(function: ast.FunctionDef, contract: Contract) -> bool:
    """Whether a function takes what the contract gives: as a plain function, or as a method that reads `self`.

    Further parameters are allowed where they have constant defaults.
    """
    a = function.args
    if a.vararg or a.kwarg or a.posonlyargs:
        return False
    given = [p.arg for p in [*a.args, *a.kwonlyargs]]
    optional = {p.arg for p in a.args[len(a.args) - len(a.defaults) :]}
    optional |= {p.arg for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None}
    tensors, scalars = [t.name for t in contract.tensors], [s.name for s in contract.scalars]
    if _is_method(function):
        given = given[1:]
        wanted = tensors + [s for s in scalars if s in given]
    else:
        wanted = tensors + scalars
    return given[: len(wanted)] == wanted and set(given[len(wanted) :]) <= optional


def _is_method(function: ast.FunctionDef) -> bool:
    return bool(function.args.args) and function.args.args[0].arg == "self"


def name_spot(function: ast.FunctionDef) -> Spot:
    """Where the name of a function stands in its definition."""
    column = function.col_offset + len("def ")
    return Spot(function.lineno, column, function.lineno, column + len(function.name))
