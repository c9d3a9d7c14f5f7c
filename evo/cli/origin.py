"""Import of evopo's own packages from the installation folder, even if other packages have the same names.

Other folders may be called `archive`, `analysis` and so on. One on PYTHONPATH, or in the current directory with `python -m evo`,
would be imported instead of ours. Not covered: a foreign `evo`, which Python finds before any code here runs.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGES = ("evo", "sandbox", "archive", "fitness", "analysis")
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class _Home:
    """Import finder for evopo's packages in the installation folder; it comes before the search path."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of one of evopo's packages; None for everything else."""
        return PathFinder.find_spec(name, [HOME], target) if name in PACKAGES else None


def keep_to_home() -> None:
    """Import evopo's packages from the installation folder from now on.

    Raises ImportError if another package with one of their names was imported already.
    """
    if _Home not in sys.meta_path:
        sys.meta_path.insert(0, _Home)
    for name in PACKAGES:
        place = getattr(sys.modules.get(name), "__file__", None)
        if place and os.path.dirname(os.path.dirname(os.path.realpath(place))) != os.path.realpath(HOME):
            raise ImportError(
                f"{place} was imported as {name!r} before evopo's own package of that name; rename it, or import evo first"
            )


def passed_over() -> list[str]:
    """Files on the search path, before the installation folder, that have the name of one of evopo's packages."""
    entries = [os.path.realpath(entry) for entry in sys.path if entry]
    home = os.path.realpath(HOME)
    before = entries[: entries.index(home)] if home in entries else entries
    found = (PathFinder.find_spec(name, before) for name in PACKAGES)
    return [spec.origin for spec in found if spec is not None and spec.origin and spec.has_location]
