"""lm-eval in a process of its own, so that it may have another environment than evopo.

It runs with the rights of the user, as on its own command line. Policies are loaded without code of theirs. A task of
`include_path` may name Python functions, which lm-eval then runs: such a folder is to be trusted like a program.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fitness.benchmarks.lm_eval.options import LmEvalOptions
from fitness.benchmarks.lm_eval.results import VERSIONS, Results, read_results
from fitness.benchmarks.protocol import BenchmarkError

INSTALL = "pip install 'evopo[lm-eval]', or set python to the executable of an environment that has it"
_CHECK_SECONDS = 300.0
_SHOWN = 500
"""Most characters of lm-eval's own words in a message."""

_NAMED = """
import json, sys
from lm_eval.tasks import TaskManager
known = TaskManager(include_path=json.loads(sys.argv[1])).all_tasks
json.dump([name for name in json.loads(sys.argv[2]) if name not in known], sys.stdout)
"""
_VERSION = "import importlib.metadata; print(importlib.metadata.version('lm_eval'))"


def check(options: LmEvalOptions) -> str:
    """The version of lm-eval that will run. Raises BenchmarkError if it, or one of the tasks, is missing; loads no model."""
    python = _python(options)
    if options.include_path is not None and not options.include_path.is_dir():
        raise BenchmarkError(
            f"include_path: there is no folder {options.include_path}; give one with YAML files of lm-eval"
        )
    asked = _run([python, "-c", _VERSION], _CHECK_SECONDS)
    if asked.returncode:
        raise BenchmarkError(f"the environment of {python} has no lm-eval: {INSTALL}")
    version = asked.stdout.strip()
    if not version.startswith(VERSIONS):
        raise BenchmarkError(
            f"expected lm-eval {VERSIONS}x, got {version[:40]} in the environment of {python}: {INSTALL}"
        )
    place = None if options.include_path is None else str(options.include_path.resolve())
    listed = _run([python, "-c", _NAMED, json.dumps(place), json.dumps(options.tasks)], _CHECK_SECONDS)
    if listed.returncode:
        raise BenchmarkError(f"lm-eval {version} cannot list its tasks: {_last_words(listed)}")
    if missing := json.loads(listed.stdout.splitlines()[-1]):
        raise BenchmarkError(
            f"lm-eval {version} has no task {', '.join(missing)}; `lm-eval ls tasks` lists them, and include_path adds a folder"
        )
    return version


def measure(model: Path, options: LmEvalOptions, kept: Path) -> Results:
    """Measure the policy saved in `model` on all tasks; lm-eval's results file is kept as `kept`, and read instead if it is there.

    Raises BenchmarkError.
    """
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="evopo-lm-eval-") as scratch:
            made = _measured(model, options, Path(scratch))
            read_results(made, options.tasks)
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_name(f"{kept.name}.partial")
            shutil.copyfile(made, partial)
            partial.replace(kept)
    return read_results(kept, options.tasks)


def _measured(model: Path, options: LmEvalOptions, scratch: Path) -> Path:
    # Relative to its folder, since lm-eval takes a comma or an equals sign in a path for the end of an argument.
    (scratch / "model").symlink_to(model.resolve(), target_is_directory=True)
    done = _run([_python(options), "-m", "lm_eval", *_arguments(options)], options.timeout_seconds, scratch)
    if done.returncode:
        raise BenchmarkError(f"lm-eval failed on {model} (exit code {done.returncode}): {_last_words(done)}")
    found = sorted((scratch / "results").rglob("results_*.json"))
    if len(found) != 1:
        raise BenchmarkError(f"lm-eval wrote {len(found)} results files for {model}, expected 1: {_last_words(done)}")
    return found[0]


def _arguments(options: LmEvalOptions) -> list[str]:
    arguments = [
        "--model", "hf", "--model_args", "pretrained=./model", "--tasks", ",".join(options.tasks),
        "--batch_size", str(options.batch_size), "--output_path", "./results",
    ]  # fmt: skip
    if options.limit is not None:
        arguments += ["--limit", str(options.limit)]
    if options.num_fewshot is not None:
        arguments += ["--num_fewshot", str(options.num_fewshot)]
    if options.device is not None:
        arguments += ["--device", options.device]
    if options.include_path is not None:
        arguments += ["--include_path", str(options.include_path.resolve())]
    return [*arguments, "--apply_chat_template"] if options.chat_template else arguments


def _python(options: LmEvalOptions) -> str:
    if options.python is None:
        return sys.executable
    # Not resolved: the executable of a virtual environment is a link, and its place tells Python which environment it is.
    path = Path(os.path.abspath(options.python))
    if not os.access(path, os.X_OK) or path.is_dir():
        raise BenchmarkError(
            f"python: there is no executable {path}; give the python of an environment that has lm-eval"
        )
    return str(path)


def _run(command: Sequence[str], seconds: float, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, timeout=seconds, capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BenchmarkError(
            f"lm-eval took more than {seconds:g} seconds; raise timeout_seconds, or set limit to fewer items"
        ) from None
    except OSError as error:
        raise BenchmarkError(f"cannot run {command[0]}: {error.strerror or error}") from None


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that it printed, where Python's message is."""
    lines = [" ".join(line.split()) for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1][-_SHOWN:] if lines else "it printed nothing"
