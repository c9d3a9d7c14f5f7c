"""Ctrl-C ends every command with one line and the exit code 130."""

import signal
import subprocess
import sys

import click
from click.testing import CliRunner

from evo.cli.failures import INTERRUPTED, reported


def test_a_command_that_does_not_catch_an_interruption_ends_with_one_line():
    @click.command()
    @reported
    def draws() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(draws)
    assert (result.exit_code, result.output) == (INTERRUPTED, "Interrupted.\n")


def test_an_interruption_while_modules_are_imported_leaves_no_traceback():
    program = (
        "import signal, os, evo.entry as entry\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "entry._run(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "Interrupted.\n")
