"""`python -m sandbox`, and the console script `evopo-sandbox`.

The script is the documented way: `python -m` looks for modules in the current directory before this file has any say, so a
`dataclasses.py` lying there would run. What can be done about that here is done first.
"""

import os
import sys


def main() -> None:
    """Run the command line."""
    _leave_current_directory()
    from sandbox.cli import run

    run(sys.argv[1:])


def _leave_current_directory() -> None:
    """Take the current directory off the module search path, unless this package itself lies there."""
    here = os.path.realpath(os.curdir)
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.path[:] = [p for p in sys.path if os.path.realpath(p or os.curdir) != here or here == home]


if __name__ == "__main__":
    main()
