"""Running the real command, in this process or in a separate one. Shared by the end-to-end tests."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from in_process import in_time
from loopback_llm import Answer, proposal

from archive.query import Reader
from evo.cli.commands import main

QUICK = (
    "--set", "task=classification", "--set", "workers=1", "--set", "fitness.train_items=200", "--set", "fitness.epochs=3",
    "--set", "fitness.short_epochs=1", "--set", "ladder.finalists=2", "--set", "ladder.finalist_seeds=2",
    "--set", "ladder.contenders=2", "--set", "ladder.contender_seeds=2", "--set", "ladder.baseline_learning_rates=[0.5]",
    "--set", "ladder.baseline_widenings=0", "--set", "pictures=false",
)  # fmt: skip
"""Arguments of a campaign whose trainings take tenths of a second."""

TINY_SENTIMENT = (
    "--set", "workers=1", "--set", "fitness.pairs=32", "--set", "fitness.epochs=1", "--set", "fitness.short_steps=1",
    "--set", "fitness.samples=32", "--set", "ladder.finalists=1", "--set", "ladder.finalist_seeds=2",
    "--set", "ladder.contenders=1", "--set", "ladder.contender_seeds=1", "--set", "ladder.baseline_betas=[0.5]",
    "--set", "ladder.baseline_widenings=0",
)  # fmt: skip
"""Arguments of the embedded campaign in a very short form; all its parts are real."""


CLASSIFICATION_LOSS = (
    "def loss(logits, targets):\n    return F.cross_entropy(logits * {scale}, targets, reduction='none')\n"
)


def classification_losses(body: Mapping[str, Any], number: int) -> Answer:
    """Replies of a `loopback_llm` server to a search on that task: a different valid loss for each number."""
    code = CLASSIFICATION_LOSS.format(scale=1 + 0.01 * number)
    return Answer(proposal(code, f"thought {number}", f"loss_{number}"))


@dataclass(frozen=True)
class Result:
    """Result of a finished command."""

    code: int
    out: str
    err: str


@dataclass
class Command:
    """`evopo` in a folder of its own, without an endpoint unless the arguments give one."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> Result:
        """Runs the command in this process to its end, so that imports are loaded once. Workers and the jail remain processes."""
        with replaced_environment(self._variables()), contextlib.chdir(self.folder), own_handlers(), in_time(600):
            done = CliRunner().invoke(main, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise AssertionError(f"evo {' '.join(arguments)} ended in a traceback") from done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the command in a separate process."""
        return subprocess.Popen(
            [sys.executable, "-m", "evo", *arguments],
            cwd=self.folder,
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def alone(self, *arguments: str, timeout: float = 600.0) -> Result:
        """Runs the command in a separate process to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"evo {' '.join(arguments)} did not end within {timeout} s\n{out}\n{err}")
        return Result(process.returncode, out, err)

    def _variables(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI")}
        return {**clean, **self.environment}


@contextlib.contextmanager
def replaced_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block, the environment of this process is replaced."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def own_handlers() -> Iterator[None]:
    """Removes the log handlers that a session adds to the root logger and would keep until its process ends."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            if isinstance(handler, logging.StreamHandler):
                handler.stream.close()
        root.setLevel(level)


def commands(folder: Path) -> Iterator[Command]:
    """The command, run in `folder`. The test fails if a process is left running."""
    yield Command(folder)
    left = leftovers(folder)
    for process in left:
        process.kill()
    assert not left, f"processes stayed behind: {[' '.join(p.cmdline()[:6]) for p in left]}"


def leftovers(folder: Path, patience: float = 60.0) -> list[psutil.Process]:
    """Processes that were started in `folder` and do not end within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        left = [p for p in psutil.process_iter() if p.pid != os.getpid() and _runs_in(p, folder)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _runs_in(process: psutil.Process, folder: Path) -> bool:
    """Whether a process has `folder` as its working directory, which all descendants of a command inherit."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder
    except (psutil.Error, OSError):
        return False


def wait_for(
    process: subprocess.Popen[str], archive: Path, condition: Callable[[Reader], bool], patience: float = 240.0
) -> None:
    """Waits until the archive satisfies `condition`."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            out, err = process.communicate()
            pytest.fail(f"the run ended early with {process.returncode}\n{out}\n{err}")
        if archive.exists():
            with Reader.open(archive) as reader:
                if condition(reader):
                    return
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    pytest.fail("the archive did not come to the awaited state")


def assert_sound(archive: Path) -> None:
    """Asserts the invariants of an archive without a running session."""
    with Reader.open(archive) as reader:
        assert reader.problems() == []
        evaluations = reader.evaluations()
        keys = [(e.candidate_id, e.rung, e.seed, e.beta, e.learning_rate) for e in evaluations]
        assert len(keys) == len(set(keys)), "an evaluation was recorded twice"
        scored = [e.evaluation_id for e in reader.events(kind="evaluation_scored")]
        assert len(scored) == len(set(scored)), "an evaluation was scored twice"
        received = [e.proposal_id for e in reader.events(kind="proposal_received")]
        assert len(received) == len(set(received)), "a reply was received twice"
