"""What `evopo` and `evopo-sandbox` start with. It imports little by itself, so that it can tell why an import fails."""

import os
import sys
from collections.abc import Callable

from evo.origin import HOME, passed_over

WRONG_USE = 2


def main() -> None:
    """Run `evopo`."""

    def command() -> None:
        from evo.cli import main

        main()

    _run(command)


def sandbox() -> None:
    """Run `evopo-sandbox`."""

    def command() -> None:
        from sandbox.__main__ import main

        main()

    _run(command)


def _run(command: Callable[[], None]) -> None:
    """A failure that a file on PYTHONPATH has a part in is told with that file; any other one is a bug, or told already."""
    try:
        os.getcwd()
    except OSError as error:
        print(
            f"error: there is no current directory ({error.strerror}): change into one, and try again", file=sys.stderr
        )
        sys.exit(WRONG_USE)
    for file in passed_over():
        print(f"note: {file!r} has the name of a package of evopo and is passed over", file=sys.stderr)
    try:
        command()
    except Exception as error:
        why = _in_the_way()
        if not why:
            raise
        print(f"error: {type(error).__name__}: {error}; {why}", file=sys.stderr)
        sys.exit(WRONG_USE)


def _in_the_way() -> str:
    """What `sandbox.path` says of the exception that is handled. Run by path: the package may be what cannot be imported."""
    import runpy
    import traceback

    told: str = runpy.run_path(os.path.join(HOME, "sandbox", "path.py"))["in_the_way"](traceback.format_exc())
    return told
