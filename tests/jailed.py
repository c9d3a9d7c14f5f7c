"""Performs an action inside the jail and prints the result. A separate program, because torch needs more than the jail's 256 MB.

python jailed.py SOURCE [LAYER_TO_LEAVE_OUT...] prints the child's wait status and what it said: done, or an exception's name.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    import ast  # noqa: F401  (in the jail nothing can be imported)
    import mmap  # noqa: F401
    import resource  # noqa: F401
    import threading  # noqa: F401

    from sandbox.child.jail.isolate import Jail

    code = compile(sys.argv[1], "action", "exec")
    answer, end = os.pipe()
    parent, jail = os.getpid(), Jail(frozenset(sys.argv[2:]))
    pid = os.fork()
    if pid == 0:
        try:
            jail.enter(end, parent)
            exec(code, {})  # trusted: an action of the tests
        except BaseException as error:
            os.write(end, type(error).__name__.encode())
        else:
            os.write(end, b"done")
        finally:
            os._exit(0)
    os.close(end)
    said = b""
    while part := os.read(answer, 4096):
        said += part
    print(os.waitpid(pid, 0)[1], said.decode())


if __name__ == "__main__":
    main()
