"""Arguments of reports that name what a loss has no names for: `logging.getLogger(__name__)`, `warnings.warn(text, UserWarning)`.

A report is dropped while it is traced, so its arguments have no effect. These are left out, in place, before the vocabulary check.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from sandbox.child.static.imports import full_name

_CATEGORIES = frozenset({"UserWarning", "RuntimeWarning", "FutureWarning", "DeprecationWarning", "Warning"})


def without_categories(nodes: Iterable[ast.AST], names: Mapping[str, str]) -> None:
    """Leave out the module's name in getLogger, and the category of a warning."""
    for node in nodes:
        if isinstance(node, ast.Call):
            match full_name(node.func, names), node.args:
                case "logging.getLogger", [ast.Name("__name__")]:
                    node.args = []
                case "warnings.warn", [message, ast.Name(name)] if name in _CATEGORIES:
                    node.args = [message]
                case "warnings.warn", _:
                    node.keywords = [k for k in node.keywords if not _is_category(k)]


def _is_category(keyword: ast.keyword) -> bool:
    return keyword.arg == "category" and isinstance(keyword.value, ast.Name) and keyword.value.id in _CATEGORIES
