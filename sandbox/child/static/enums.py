"""Rewriting of enums whose members are constants: a table of members, made by a guard. No Python class is created."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from sandbox.child.static.imports import full_name
from sandbox.child.static.syntax import is_docstring

_KINDS = {"enum.Enum": "", "enum.IntEnum": "int", "enum.StrEnum": "str"}
"""Base class -> the type whose operators its members have."""


def members_of(node: ast.ClassDef, names: Mapping[str, str]) -> tuple[str, dict[str, Any]] | None:
    """The kind and the members of an enum; None for any other class, also for an enum with methods or with equal members."""
    kind = _kind(node, names)
    if kind is None or node.decorator_list or node.keywords or getattr(node, "type_params", None):
        return None
    found: dict[str, Any] = {}
    for part in node.body:
        match part:
            case ast.Assign([ast.Name(name)], value) if not name.startswith("_") and name not in (
                "name",
                "value",
                "mro",
            ):
                known = _value(value, len(found) + 1, names)
                if known is None or (kind and type(known).__name__ != kind):
                    return None
                if name in found or (
                    isinstance(value, ast.Call) and list(found.values()) != list(range(1, len(found) + 1))
                ):
                    return None
                found[name] = known
            case ast.Pass():
                pass
            case _ if not is_docstring(part):
                return None
    # True equals 1, so bool is no type of members
    same = len({*found.values()}) < len(found)
    return None if same or not found else (kind, found)


def _kind(node: ast.ClassDef, names: Mapping[str, str]) -> str | None:
    match node.bases:
        case [base]:
            return _KINDS.get(full_name(base, names) or "")
        case [ast.Name("str" | "int" as kind), base] if full_name(base, names) == "enum.Enum":
            return kind
    return None


def _value(value: ast.expr, place: int, names: Mapping[str, str]) -> str | int | float | None:
    match value:
        case ast.Constant(str() | int() | float() as known) if not isinstance(known, bool):
            return known
        case ast.Call(function, [], []) if full_name(function, names) == "enum.auto":
            return place
    return None
