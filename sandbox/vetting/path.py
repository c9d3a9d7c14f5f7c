"""Module search path of the sandbox as a program, which excludes the current directory."""

import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
"""The folder that this package is in."""


def leave_current_directory() -> None:
    """Take the current directory off the module search path, unless this package itself lies there.

    A `dataclasses.py` beside a vetted file would otherwise be imported in place of Python's own.
    """
    here = real(os.curdir)
    sys.path[:] = [p for p in sys.path if real(p) != here or here == HOME]


def in_the_way(failure: str) -> str:
    """A remedy for a failure that the environment may have caused, from its traceback `failure`; "" if there is none.

    The causes are a file on PYTHONPATH that was imported instead of an installed module or one of Python's own, and a missing
    temporary folder, without which torch cannot be imported.
    """
    if "No usable temporary directory found" in failure:
        return "set TMPDIR to a folder that can be written to, such as /dev/shm"
    for name, file in _strangers():
        if file in failure or f"'{name}'" in failure or f"'{name}." in failure:
            return (
                f"{file} is imported through PYTHONPATH instead of the installed module {name}: if that is not intended, "
                "rename it or remove its folder from PYTHONPATH"
            )
    return ""


def search_path() -> list[str]:
    """This process's search path, for another Python process: this package's folder first, without the current directory."""
    here = real(os.curdir)
    return [HOME, *(p for p in sys.path if p and real(p) not in (here, HOME))]


def _strangers() -> Iterator[tuple[str, str]]:
    """Name and file of each module in the folders of PYTHONPATH that hides a module further back on the search path."""
    path = os.environ.get("PYTHONPATH")
    folders = [p or os.curdir for p in path.split(os.pathsep) if real(p) != HOME] if path else []
    behind = [p for p in sys.path if real(p) not in {*map(real, folders), real(os.curdir)}]
    behind.append(HOME)
    for folder in folders:
        try:
            names = sorted({entry.partition(".")[0] for entry in os.listdir(folder)})
        except OSError:
            continue
        for name in filter(str.isidentifier, names):
            spec = PathFinder.find_spec(name, [folder])
            if spec is None or spec.origin is None or not spec.has_location:
                continue
            if name in sys.stdlib_module_names or PathFinder.find_spec(name, behind) is not None:
                yield name, spec.origin


def real(path: str) -> str:
    """An entry of the search path with symbolic links resolved; unchanged if the current directory does not exist any more."""
    try:
        return os.path.realpath(path or os.curdir)
    except OSError:
        return path


if sys.argv[:1] == ["-m"]:  # the value while `python -m` searches for the module, with the current directory first
    leave_current_directory()
