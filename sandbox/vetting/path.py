"""Where modules come from when the sandbox runs as a program: never from the current directory."""

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


def in_the_way(told: str) -> str:
    """What to say beside a failure, `told` with its traceback, that the surroundings have a part in: a file on PYTHONPATH that was
    imported in place of an installed module, or of Python's own; no temporary folder, without which torch cannot be imported.
    "" where there is none."""
    if "No usable temporary directory found" in told:
        return "set TMPDIR to a folder that can be written to, such as /dev/shm"
    for name, file in _strangers():
        if file in told or f"'{name}'" in told or f"'{name}." in told:
            return (
                f"{file} comes first through PYTHONPATH, in the place of the installed module {name}: if that is not meant, "
                "rename it or take its folder off PYTHONPATH"
            )
    return ""


def search_path() -> list[str]:
    """This process's search path for another Python: this package's folder first, and no current directory."""
    here = real(os.curdir)
    return [HOME, *(p for p in sys.path if p and real(p) not in (here, HOME))]


def _strangers() -> Iterator[tuple[str, str]]:
    """Modules in the folders of PYTHONPATH, and their files, that are found behind these folders too."""
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
    """An entry of the search path without links; as it is where the current directory is gone."""
    try:
        return os.path.realpath(path or os.curdir)
    except OSError:
        return path


if sys.argv[:1] == ["-m"]:  # so it stands while `python -m` looks for the module, with the current directory first
    leave_current_directory()
