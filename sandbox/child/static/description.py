"""Removal of the names with which a module describes itself, such as `__all__`. A loss is never imported, so they have no effect.

`if __name__ == "__main__":` stays, and is refused: people may run a file that was accepted, and nothing in it may be unchecked.
"""

from __future__ import annotations

import ast

from sandbox.child.allowlist.limits import PRELUDE
from sandbox.child.protocol import Violation
from sandbox.child.static.syntax import first_line

_ABOUT = frozenset({"__all__", "__author__", "__copyright__", "__license__", "__version__"})


def without_description(tree: ast.Module) -> list[Violation]:
    """Remove, in place, the statements that give these names constants. Returns a note for each."""
    kept: list[ast.stmt] = []
    removed: list[Violation] = []
    for statement in tree.body:
        if _is_description(statement):
            removed.append(Violation("SBX261", first_line(statement)))
        else:
            kept.append(statement)
    tree.body = kept
    return removed


def without_type_checks(tree: ast.Module) -> None:
    """Replace `if TYPE_CHECKING:` around imports by the imports, in place: names for annotations may be imported anywhere."""
    if not any(isinstance(statement, ast.If) for statement in tree.body):
        return  # as nearly all sources
    kept: list[ast.stmt] = []
    used = _used_in_code(tree)
    for statement in tree.body:
        match statement:
            case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(ast.Name(), "TYPE_CHECKING"), body, []) if all(
                isinstance(s, ast.Import | ast.ImportFrom)
                and not used & {a.asname or a.name.partition(".")[0] for a in s.names}
                for s in body
            ):
                kept += body
            case _:
                kept.append(statement)
    tree.body = kept


def _used_in_code(tree: ast.Module) -> set[str]:
    """The names that are used outside of annotations, without those that every source may use and those that are imported too."""
    typed = [n.annotation for n in ast.walk(tree) if isinstance(n, ast.arg | ast.AnnAssign)]
    typed += [n.returns for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    written = {id(n) for t in typed if t is not None for n in ast.walk(t)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in written}
    imports = [s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom)]
    return used - PRELUDE.keys() - {a.asname or a.name.partition(".")[0] for s in imports for a in s.names}


def _is_description(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id)], value=ast.Constant()):
            return id in _ABOUT
        case ast.Assign(targets=[ast.Name(id)], value=ast.List(elts=parts) | ast.Tuple(elts=parts)):
            return id in _ABOUT and all(isinstance(part, ast.Constant) for part in parts)
    return False
