"""Where evopo's own packages come from: the folder that this one is in, whatever else has a name of theirs.

`archive`, `analysis` and the like are names that other folders have too, and one on PYTHONPATH, or in the current directory with
`python -m evo`, would be imported in place of ours. What this cannot help against is a foreign `evo`, which Python finds before
anything here runs.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGES = ("evo", "sandbox", "archive", "fitness", "analysis")
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class _Home:
    """Finds evopo's packages at home, before the search path is asked."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of one of evopo's packages; None for everything else."""
        return PathFinder.find_spec(name, [HOME], target) if name in PACKAGES else None


def keep_to_home() -> None:
    """From here on, evopo's packages are imported from home. Raises ImportError where another one of the name is there already."""
    if _Home not in sys.meta_path:
        sys.meta_path.insert(0, _Home)
    for name in PACKAGES:
        place = getattr(sys.modules.get(name), "__file__", None)
        if place and os.path.dirname(os.path.dirname(os.path.realpath(place))) != os.path.realpath(HOME):
            raise ImportError(
                f"{place} was imported as {name!r} before evopo's own package of that name; rename it, or import evo first"
            )


def passed_over() -> list[str]:
    """What the search path has under the names of evopo's packages, before or in place of them: files."""
    entries = [os.path.realpath(entry) for entry in sys.path if entry]
    home = os.path.realpath(HOME)
    before = entries[: entries.index(home)] if home in entries else entries
    found = (PathFinder.find_spec(name, before) for name in PACKAGES)
    return [spec.origin for spec in found if spec is not None and spec.origin and spec.has_location]
