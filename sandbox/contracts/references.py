"""References in records, "package.module:attribute": checked without an import, and resolved at first use.

A record is plain data, so that it can be read where its code cannot be imported: in a process without torch, and in the jail.
"""

from __future__ import annotations

import importlib.util
import re
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, Final

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE: Final = re.compile(rf"{_NAME}(\.{_NAME})*:{_NAME}")
_FILE: Final = re.compile(rf"{_NAME}(\.{_NAME})*:[A-Za-z0-9_][A-Za-z0-9_./-]*")


class BrokenReference(ValueError):
    """A reference that does not resolve. The message names the record, the part and the reference."""


def resolve(reference: str, part: str) -> Any:
    """Import the module and return the object that the reference names.

    `part` names the record and the part in error messages, for example "contract 'ranking': grammar".

    Raises BrokenReference.
    """
    _require_form(reference, part)
    module, _, attribute = reference.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise  # the module exists; one of its own imports is missing
        raise BrokenReference(f"{part}: no module {module!r}, which {reference!r} names") from None
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise BrokenReference(
            f"{part}: the module {module!r} has no {attribute!r}, which {reference!r} names"
        ) from None


def require_module(reference: str, part: str) -> None:
    """Raises BrokenReference unless the reference has the right form and its module exists. Imports nothing."""
    _require_form(reference, part)
    module = reference.partition(":")[0]
    if not _is_there(module):
        raise BrokenReference(f"{part}: no module {module!r}, which {reference!r} names")


def located(reference: str, part: str) -> Path:
    """The file or folder of a package that "package:path" names. Imports nothing. Raises BrokenReference."""
    if not isinstance(reference, str) or not _FILE.fullmatch(reference) or ".." in reference:
        raise BrokenReference(f"{part}: expected 'package:path', got {reference!r}")
    package, _, path = reference.partition(":")
    for folder in _folders(package):
        if (place := Path(folder, path)).exists():
            return place
    raise BrokenReference(f"{part}: there is no {path!r} in the package {package!r}")


def _require_form(reference: str, part: str) -> None:
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise BrokenReference(f"{part}: expected 'package.module:attribute', got {reference!r}")


def _is_there(module: str) -> bool:
    return _spec(module) is not None


def _folders(package: str) -> list[str]:
    spec = _spec(package)
    return list(spec.submodule_search_locations or ()) if spec else []


def _spec(module: str) -> ModuleSpec | None:
    """The spec of a module. Unlike `importlib.util.find_spec`, this does not import the parent packages."""
    parent, _, _ = module.rpartition(".")
    if parent:
        return PathFinder.find_spec(module, _folders(parent))
    try:
        return importlib.util.find_spec(module)
    except ValueError:  # the module is loaded, and its __spec__ is None
        return None
