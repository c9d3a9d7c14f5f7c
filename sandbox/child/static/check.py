"""Entry point of the static layer: source -> checked byte code, or violations. Runs in the jailed child, without torch.

Guarantees that the byte code consists of allowed syntax, names and attributes, and that every operator, call, loop, attribute and
subscript in it calls a guard of `trace.guards`. It guarantees nothing about cost, which the tracer and the jail bound.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType

from sandbox.child.allowlist import limits
from sandbox.child.protocol import Refusal, SourceSpan, Violation
from sandbox.child.static.class_forms import as_class
from sandbox.child.static.classes import ClassSource, read_attributes, take_apart
from sandbox.child.static.description import without_description, without_type_checks
from sandbox.child.static.entry import Entry, find_entry
from sandbox.child.static.imports import Imports, resolve, without_aliases, without_casts
from sandbox.child.static.reporting import without_reports
from sandbox.child.static.restricted import compile_checked
from sandbox.child.static.signatures import decorated, lambdas_to_functions, without_slashes
from sandbox.child.static.source_text import check_letters, check_text, split_lines, without_fences
from sandbox.child.static.unwrapping import Unwrapper, is_wrapped
from sandbox.child.static.vocabulary import Vocabulary
from sandbox.contracts.contract import Contract


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate that passed the static layer. `notes` list what was rewritten in its source."""

    code: CodeType
    entry: Entry
    notes: tuple[Violation, ...] = ()


def check(source: str, contract: Contract, arguments: Sequence[str] = ()) -> Checked | list[Violation]:
    """Check `source` against the allow-lists and compile it with RestrictedPython.

    `arguments` are the source's names for the contract's arguments, if the caller supplies them. Returns all violations that
    can be found in one pass, up to `limits.MAX_FINDINGS`. Executes nothing.
    """
    notes: list[Violation] = []
    classes: list[ClassSource] = []
    refused_classes: list[Violation] = []
    try:
        tree, text = _parse(source)
        notes += without_description(tree)
        without_type_checks(tree)
        lambdas_to_functions(tree)
        nodes = _nodes(tree)
        without_slashes(nodes)
        check_letters(text, nodes)
        imports = without_aliases(tree, resolve(nodes))
        notes += without_reports(tree, imports.names)
        if is_wrapped(nodes):
            classes, refused_classes = _unwrap(tree, imports, notes)
        else:
            read_attributes(tree, imports.names, ())
        nodes = _nodes(tree)
        without_casts(nodes, imports.annotations)
    except Refusal as refusal:
        return [refusal.violation]
    vocabulary = Vocabulary(contract, imports)
    vocabulary.visit(tree, nodes)
    violations = refused_classes + vocabulary.violations
    entry, found = find_entry(tree, contract, classes, arguments)
    if entry is None:
        violations += [c for c in found if c.code != "SBX109" or not refused_classes]
    if violations or entry is None:
        return violations[: limits.MAX_FINDINGS]
    try:
        code = compile_checked(tree)
    except Refusal as refusal:
        return [refusal.violation]
    return Checked(code, entry, tuple(notes + found))


def _unwrap(tree: ast.Module, imports: Imports, notes: list[Violation]) -> tuple[list[ClassSource], list[Violation]]:
    """Rewrite the wrapping of the loss, in place. Returns the classes, and a violation for each class that is refused."""
    classes: list[ClassSource] = []
    violations: list[Violation] = []
    body: list[ast.stmt] = []
    once = _bound_once(tree)
    used = frozenset(n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load))
    for statement in tree.body:
        statement = as_class(statement, imports.names) or statement
        if isinstance(statement, ast.ClassDef):
            taken = take_apart(statement, imports, notes, {c.name: c for c in classes if c.name in once}, used)
            if isinstance(taken, Violation):
                violations.append(taken)
            else:
                classes.append(taken[0])
                body += taken[1]
        else:
            body.append(statement)
            if isinstance(statement, ast.FunctionDef):
                Unwrapper(imports.names, notes).visit(statement)
                body += decorated(statement, once)
    tree.body = body
    read_attributes(tree, imports.names, classes)
    parents = {c.parent for c in classes}
    return [c for c in classes if c.name not in parents], violations


def _bound_once(tree: ast.Module) -> set[str]:
    """The names that are bound in one place of the source only."""
    found = Counter[str]()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name) | ast.Name(name, ast.Store()):
                found[name] += 1
    return {name for name, count in found.items() if count == 1}


def _parse(source: str) -> tuple[ast.Module, str]:
    """The syntax tree, and the text of which it was made: where the source is no Python, what stands between Markdown fences."""
    check_text(source)
    code = without_fences(source)
    if code != source and _is_python(source):
        code = source  # the fences stand in a docstring
    return _parsed(code), code


def _is_python(source: str) -> bool:
    try:
        _parsed(source)
    except Refusal as refusal:
        return refusal.violation.code == "SBX107"
    return True


def _parsed(source: str) -> ast.Module:
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
    """The refusal for a syntax error: SBX105 at a non-ASCII character, such as a typographic quote or minus sign, else SBX106."""
    lines = split_lines(source)
    text = lines[line - 1] if line <= len(lines) else ""
    at = text[column : column + 1]
    start = len(text[:column].encode())
    span = SourceSpan(line, start, line, start + max(len(at.encode()), 1))
    return Refusal("SBX106", span=span, text=said) if at.isascii() else Refusal("SBX105", span=span)


def _nodes(tree: ast.Module) -> list[ast.AST]:
    """All nodes of the tree, level by level. Raises Refusal if the tree is too large or too deep."""
    found: list[ast.AST] = []
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        found += level
        depth += 1
        if depth > limits.MAX_DEPTH:
            raise Refusal("SBX107", (depth, limits.MAX_DEPTH), SourceSpan.of(level[0]))
        if len(found) > limits.MAX_SYNTAX_NODES:
            raise Refusal("SBX107", (len(found), limits.MAX_SYNTAX_NODES), SourceSpan.of(level[0]))
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return found
