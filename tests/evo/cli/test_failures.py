"""Ctrl-C ends every command with one line and the exit code 130."""

import signal
import subprocess
import sys
import types

import click
from click.testing import CliRunner

from evo.cli.failures import INTERRUPTED, interrupted_in, reported


def test_a_command_that_does_not_catch_an_interruption_ends_with_one_line():
    @click.command()
    @reported
    def draws() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(draws)
    assert (result.exit_code, result.output) == (INTERRUPTED, "Interrupted.\n")


def test_an_interruption_while_a_command_imports_its_errors_ends_in_the_same_way(monkeypatch):
    class Interrupts(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    @click.command()
    @reported
    def waits() -> None:
        raise AssertionError("not reached")

    monkeypatch.setitem(sys.modules, "analysis.output.errors", Interrupts("errors"))
    result = CliRunner().invoke(waits)
    assert (result.exit_code, result.output) == (INTERRUPTED, "Interrupted.\n")


def test_an_interrupted_command_says_whether_anything_is_recorded(tmp_path):
    @click.command()
    def waits() -> None:
        interrupted_in(tmp_path, "a", "b")

    result = CliRunner().invoke(waits)
    assert result.exit_code == INTERRUPTED and "before anything was recorded" in result.output
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "archive.db").touch()
    result = CliRunner().invoke(waits)
    assert result.exit_code == INTERRUPTED and f"recorded in {tmp_path}; the same command continues" in result.output


def test_an_interruption_while_modules_are_imported_leaves_no_traceback():
    program = (
        "import signal, os, evo.entry as entry\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "entry._run(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "Interrupted.\n")
