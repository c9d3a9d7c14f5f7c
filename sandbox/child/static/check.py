"""The static layer: source -> checked syntax tree and byte code, or complaints. Runs in the jailed child, without torch.

Guarantees the vocabulary: the code that comes out consists of allowed syntax, allowed names and allowed attributes, and every
operator, call, loop, attribute and subscript in it goes through a guard of `trace.guards`. It guarantees nothing
about cost; that is
the tracer's and the jail's part.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

from sandbox.child.allowlist import limits as policy
from sandbox.child.protocol import Complaint, Refusal, Spot
from sandbox.child.static.classes import ClassSource, take_apart
from sandbox.child.static.entry import Entry, find_entry
from sandbox.child.static.imports import resolve
from sandbox.child.static.restricted import compile_checked
from sandbox.child.static.source_text import check_letters, check_text, split_lines
from sandbox.child.static.vocabulary import Vocabulary
from sandbox.child.static.wrapping import Unwrapper, is_wrapped
from sandbox.contracts.contract import Contract


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate that speaks our vocabulary. `notes` say what was taken off it."""

    code: CodeType
    entry: Entry
    notes: tuple[Complaint, ...] = ()


def check(source: str, contract: Contract, arguments: Sequence[str] = ()) -> Checked | list[Complaint]:
    """Check `source` against the policy and compile it with RestrictedPython.

    `arguments` are the names of the contract's arguments in the source, where the caller says so. Gives every complaint that
    can be told at once, up to `policy.MAX_FINDINGS`. Never executes anything.
    """
    notes: list[Complaint] = []
    classes: list[ClassSource] = []
    untaken: list[Complaint] = []
    try:
        tree = _parse(source)
        nodes = _nodes(tree)
        check_letters(source, nodes)
        imports = resolve(nodes)
        if is_wrapped(nodes):
            classes, untaken = _unwrap(tree, imports.names, notes)
            nodes = _nodes(tree)
    except Refusal as refusal:
        return [refusal.complaint]
    vocabulary = Vocabulary(contract, imports)
    vocabulary.visit(tree, nodes)
    complaints = untaken + vocabulary.complaints
    entry, told = find_entry(tree, contract, classes, arguments)
    if entry is None:
        complaints += [c for c in told if c.code != "SBX109" or not untaken]
    if complaints or entry is None:
        return complaints[: policy.MAX_FINDINGS]
    try:
        code = compile_checked(tree)
    except Refusal as refusal:
        return [refusal.complaint]
    return Checked(code, entry, tuple(notes + told))


def _unwrap(
    tree: ast.Module, names: Mapping[str, str], notes: list[Complaint]
) -> tuple[list[ClassSource], list[Complaint]]:
    """Take the wrapping off, in place. Gives the classes, and complaints about those that cannot be taken."""
    classes: list[ClassSource] = []
    complaints: list[Complaint] = []
    body: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            taken = take_apart(statement, names, notes)
            if isinstance(taken, Complaint):
                complaints.append(taken)
            else:
                classes.append(taken[0])
                body += taken[1]
        else:
            if isinstance(statement, ast.FunctionDef):
                Unwrapper(names, notes).generic_visit(statement)
            body.append(statement)
    tree.body = body
    return classes, complaints


def _parse(source: str) -> ast.Module:
    check_text(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        line = max(error.lineno or 1, 1)
        column = max((error.offset or 1) - 1, 0)
        raise _syntax_error(source, line, column, error.msg) from None
    except (ValueError, RecursionError, MemoryError):
        raise Refusal("SBX107") from None
    return tree


def _syntax_error(source: str, line: int, column: int, said: str) -> Refusal:
    """Rule and place of a syntax error. Typographic quotes and minus signs are what models slip in most."""
    lines = split_lines(source)
    text = lines[line - 1] if line <= len(lines) else ""
    at = text[column : column + 1]
    start = len(text[:column].encode())
    spot = Spot(line, start, line, start + max(len(at.encode()), 1))
    return Refusal("SBX106", spot=spot, text=said) if at.isascii() else Refusal("SBX105", spot=spot)


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
