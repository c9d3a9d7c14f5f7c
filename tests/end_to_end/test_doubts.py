"""A machine on which every training fails is detected with the known losses, before any cost."""

from __future__ import annotations

import sys

from campaigns import QUICK, Command, assert_sound
from loopback_llm import LoopbackLLM

from archive.query import Reader

DIES = """
import pathlib, subprocess, sys
command = [sys.executable, "-P", *sys.argv[1:]]
if pathlib.Path("mended").exists():
    sys.exit(subprocess.call(command))
worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(worker.stdout.readline(), end="", flush=True)
sys.stdin.readline()
worker.kill()
sys.exit("the driver is gone")
"""
"""A launcher whose workers start, and die in the first training."""


def test_a_worker_that_dies_in_every_training_ends_the_run_and_the_same_command_continues_after_repair(
    evo: Command,
) -> None:
    (evo.folder / "launch.py").write_text(DIES)
    with LoopbackLLM() as server:
        arguments = (
            "run", "--dir", "run", *QUICK, "--set", f"launcher=[{sys.executable}, launch.py]", "--set", "llm.model=scripted-1",
            "--set", f"llm.base_url={server.base_url}", "--set", "budget.proposals=1", "--set", "seeds=[cross_entropy]",
            "--set", "ladder.finalists=0",
        )  # fmt: skip
        failed = evo.run(*arguments)
        assert failed.code == 1 and "Traceback" not in failed.err
        assert "the only known loss failed at rung short (worker_died)" in failed.err
        assert "the driver is gone" in failed.err and "the same command" in failed.err
        assert server.requests == 0, "nothing is asked for before a known loss has been trained"
        (evo.folder / "mended").touch()
        mended = evo.run(*arguments)
    assert mended.code == 0, mended.err
    assert_sound(evo.folder / "run/archive.db")
    with Reader.open(evo.folder / "run/archive.db") as reader:
        assert not [e for e in reader.evaluations() if e.reason], "what the machine did is held against no loss"
        assert len([e for e in reader.evaluations(state="scored") if e.rung == "short"]) == 1
