"""Where modules come from when the sandbox runs as a program: never from the current directory."""

import os
import sys


def leave_current_directory() -> None:
    """Take the current directory off the module search path, unless this package itself lies there.

    A `dataclasses.py` beside a vetted file would otherwise be imported in place of Python's own.
    """
    here = os.path.realpath(os.curdir)
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.path[:] = [p for p in sys.path if os.path.realpath(p or os.curdir) != here or here == home]


if sys.argv[:1] == ["-m"]:  # so it stands while `python -m` looks for the module, with the current directory first
    leave_current_directory()
