"""The command line of the sandbox: check, show, diff, explain, rules, doctor.

Reads input and formats verdicts; decides nothing.
"""

from __future__ import annotations

from contextlib import suppress

from sandbox.verdicts.unavailable import SandboxUnavailable
from sandbox.vetting.vet import Vetter


def run(arguments: list[str]) -> None:
    """Run the command in `arguments`, and exit."""
    vetter = Vetter()
    if arguments[:1] and arguments[0] in ("check", "show", "diff") and "--help" not in arguments:
        with suppress(SandboxUnavailable):  # reported when the interpreter is needed
            vetter.launch()  # the isolated interpreter starts while the rest is loaded
    from sandbox.vetting.cli.commands import main

    main(args=arguments, prog_name="evopo-sandbox", obj=vetter)
