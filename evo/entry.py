"""Entry points of `evopo` and `evopo-sandbox`. Imports little, so that it can report why another import fails."""

import gc
import os
import sys
from collections.abc import Callable, Iterator

from evo.cli.origin import HOME, passed_over

WRONG_USE, INTERRUPTED = 2, 130

COLLECTIONS = (50_000, 20, 20)
"""Thresholds of the garbage collector, whose default is (700, 10, 10). The rows of an archive are many objects that stay and form
no cycles; with the default, looking through them takes a quarter of the time in which they are read."""


def main() -> None:
    """Run `evopo`."""
    gc.set_threshold(*COLLECTIONS)

    def command() -> None:
        from evo.cli.commands import main

        main()

    _run(command)


def sandbox() -> None:
    """Run `evopo-sandbox`."""

    def command() -> None:
        from sandbox.__main__ import main

        main()

    _run(command)


def _run(command: Callable[[], None]) -> None:
    """Run a command. A failure caused by a file on PYTHONPATH is reported with the name of that file."""
    try:
        os.getcwd()
    except OSError as error:
        print(
            f"error: there is no current directory ({error.strerror}): change into one, and try again", file=sys.stderr
        )
        sys.exit(WRONG_USE)
    for file in passed_over():
        print(f"note: {file!r} has the name of a package of evopo and is ignored", file=sys.stderr)
    try:
        command()
    except KeyboardInterrupt:  # while modules are imported, before a command can say what it has kept
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        why = _in_the_way(error)
        if not why:
            raise
        print(f"error: {type(error).__name__}: {error}; {why}", file=sys.stderr)
        sys.exit(WRONG_USE)


def _in_the_way(error: BaseException) -> str:
    """The explanation of a failure by `sandbox.vetting.path`; empty if it has none.

    The module is executed from its path instead of imported: the failed import may be its package, or a module that `runpy` and
    `traceback` depend on (typing, tokenize).
    """
    place = os.path.join(HOME, "sandbox", "vetting", "path.py")
    names: dict[str, object] = {"__file__": place, "__name__": "path"}
    with open(place, encoding="utf-8") as source:
        exec(compile(source.read(), place, "exec"), names)
    in_the_way = names["in_the_way"]
    assert callable(in_the_way)
    return str(in_the_way("\n".join(_trace(error))))


def _trace(error: BaseException | None) -> Iterator[str]:
    """The files in the tracebacks of an exception and of its causes, and their messages."""
    while error is not None:
        at = error.__traceback__
        while at is not None:
            yield at.tb_frame.f_code.co_filename
            at = at.tb_next
        yield str(error)
        error = error.__cause__ or error.__context__
