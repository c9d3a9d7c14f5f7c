"""Known errors of a command become one message and a documented exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from archive.disk.files import there
from archive.errors import ArchiveError
from evo.config.rundir import NotInRun, RunDir, RunDirError
from evo.config.schema import ConfigError

FAILURE, WRONG_USE, INTERRUPTED = 1, 2, 130


def reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """Known errors become one message and a documented exit code; anything else is a bug and keeps its traceback."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return called(*args, **kwargs)
        except KeyboardInterrupt:  # a command that keeps something catches it earlier, and says so
            interrupted("Interrupted.")

    def called(*args: Any, **kwargs: Any) -> Any:
        from analysis.output.errors import AnalysisError
        from evo.campaign.training import TaskUnusable
        from evo.session.preflight import PreflightFailed
        from fitness.chat.errors import LLMError
        from fitness.task.protocol import TaskError
        from sandbox.verdicts.unavailable import SandboxUnavailable
        from sandbox.vetting.pool import WorkerFailed

        try:
            return function(*args, **kwargs)
        except (ConfigError, RunDirError, TaskError, LLMError, NotInRun) as error:
            _fail(error, WRONG_USE)
        except PreflightFailed as error:
            _fail(error, WRONG_USE if error.wrong_use else FAILURE)
        except (AnalysisError, ArchiveError, TaskUnusable) as error:
            _fail(error, FAILURE)
        except (SandboxUnavailable, WorkerFailed) as error:
            _fail(f"losses cannot be vetted: {error}", FAILURE)

    return wrapper


def _fail(error: BaseException | str, code: int) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(code)


def interrupted(text: str) -> NoReturn:
    """Say that the user has ended the command, and exit."""
    with suppress(OSError):  # after SIGHUP there may be no terminal any more
        click.echo(text, err=True)
    sys.exit(INTERRUPTED)


def interrupted_in(path: Path, *parts: str) -> NoReturn:
    """Say what an interrupted command has recorded in the directory `path`, or in its folders `parts`, and exit."""
    if any(there(RunDir(path / part).archive) for part in parts or ("",)):
        interrupted(f"Interrupted. All results so far are recorded in {path}; the same command continues.")
    interrupted("Interrupted before anything was recorded; the same command begins anew.")
