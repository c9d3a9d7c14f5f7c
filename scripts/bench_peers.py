"""Other engines measured as `bench_engine.py` measures this one: the same endpoint on loopback, an evaluator that does nothing.

Each engine is installed from the package registry into an environment of its own. It proposes whole programs, two at a time, and
an evaluation returns a number that is computed from the program's text. None of them vets a program: that is the difference to
keep in mind when figures are compared. Processor time is that of all processes, also of those that live for a moment only, from
the first evaluation to the last.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench_process import Sample, watched
from bench_table import Figure
from loopback_llm import LoopbackLLM

PROGRAM = """# EVOLVE-BLOCK-START
def candidate():
    return {number}
# EVOLVE-BLOCK-END
"""
EVALUATED = "evaluated.txt"
"""File with one line for each evaluation."""
SCORED = """import zlib
with open({path!r}, "a") as file:
    file.write("x\\n")
score = zlib.crc32(open(program_path, "rb").read()) / 2**32
"""


@dataclass(frozen=True)
class Peer:
    """An engine: its requirement, the files that it needs in its folder, and the command that proposes `size` candidates."""

    requirement: str
    files: Callable[[str, Path, int], Mapping[str, str]]
    """From the endpoint's URL, the folder and the size to names and contents."""
    command: tuple[str, ...]


def _openevolve(url: str, folder: Path, size: int) -> dict[str, str]:
    scored = SCORED.format(path=str(folder / EVALUATED)).replace("\n", "\n    ")
    return {
        "initial.py": PROGRAM.format(number=0),
        "evaluator.py": f'def evaluate(program_path):\n    {scored}\n    return {{"combined_score": score}}\n',
        "config.yaml": f"""max_iterations: {size}
diff_based_evolution: false
log_level: WARNING
llm:
  api_base: {url}
  api_key: none
  models:
    - name: scripted-1
      weight: 1.0
evaluator:
  cascade_evaluation: false
  parallel_evaluations: 2
""",
        "run.py": f"""from openevolve.cli import main
import sys
sys.argv = ["openevolve", "initial.py", "evaluator.py", "--config", "config.yaml", "--iterations", "{size}", "--output", "out"]
if __name__ == "__main__":
    raise SystemExit(main())
""",
    }


def _shinka(url: str, folder: Path, size: int) -> dict[str, str]:
    scored = SCORED.format(path=str(folder / EVALUATED)).replace("\n", "\n    ")
    return {
        "initial.py": PROGRAM.format(number=0),
        "evaluate.py": f"""import argparse, json, os
def main(program_path, results_dir):
    os.makedirs(results_dir, exist_ok=True)
    {scored}
    found = {{"combined_score": score, "public": {{}}, "private": {{}}, "text_feedback": ""}}
    json.dump(found, open(os.path.join(results_dir, "metrics.json"), "w"))
    json.dump({{"correct": True, "error": ""}}, open(os.path.join(results_dir, "correct.json"), "w"))
parser = argparse.ArgumentParser()
parser.add_argument("--program_path")
parser.add_argument("--results_dir")
given = parser.parse_args()
main(given.program_path, given.results_dir)
""",
        "run.py": f"""from shinka.core import EvolutionConfig, ShinkaEvolveRunner
from shinka.database import DatabaseConfig
from shinka.launch import LocalJobConfig
if __name__ == "__main__":
    evolution = EvolutionConfig(
        num_generations={size}, init_program_path="initial.py", results_dir="out", patch_types=["full"],
        patch_type_probs=[1.0], llm_models=["local/scripted-1@{url}"], embedding_model=None, job_type="local",
    )
    ShinkaEvolveRunner(
        evo_config=evolution, db_config=DatabaseConfig(), job_config=LocalJobConfig(eval_program_path="evaluate.py"),
        max_evaluation_jobs=2, max_proposal_jobs=2,
    ).run()
""",
    }


PEERS: Mapping[str, Peer] = {
    "openevolve": Peer("openevolve==0.4.0", _openevolve, ("run.py",)),
    "shinka": Peer("shinka-evolve==0.0.7", _shinka, ("run.py",)),
}


def peers(size: int, folder: Path) -> dict[str, Figure]:
    """All engines at this size, one after the other. An engine that cannot be installed or fails has no figure, and a line on
    stderr says why."""
    figures: dict[str, Figure] = {}
    for name, peer in PEERS.items():
        try:
            figures |= _measured(name, peer, size, folder / name)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            print(f"{name} was not measured: {error}", file=sys.stderr)
    return figures


def _measured(name: str, peer: Peer, size: int, folder: Path) -> dict[str, Figure]:
    folder.mkdir(parents=True)
    python = _installed(peer.requirement, folder / "environment")
    with LoopbackLLM(fallback=_program) as server:
        for file, text in peer.files(server.base_url, folder, size).items():
            (folder / file).write_text(text)
        log = (folder / "log.txt").open("w")
        process = subprocess.Popen(
            [str(python), *peer.command],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none", "LOCAL_OPENAI_API_KEY": "none"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        done = folder / EVALUATED
        try:
            samples = watched(process, lambda: _lines(done), lambda: _lines(done) >= size)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return _figures(name, peer.requirement, size, folder, [s for s in samples if s.done])


def _program(body: Mapping[str, object], number: int) -> str:
    """A new program for each request."""
    return f"```python\n{PROGRAM.format(number=number)}```"


def _figures(name: str, requirement: str, size: int, folder: Path, search: list[Sample]) -> dict[str, Figure]:
    done = _lines(folder / EVALUATED)
    if done < size or len(search) < 2 or search[-1].done == search[0].done:
        last = "; ".join((folder / "log.txt").read_text(errors="replace").splitlines()[-3:])
        raise RuntimeError(f"{requirement} evaluated {done} of {size} programs: {last[-600:]}")
    first, last_sample = search[0], search[-1]
    each = last_sample.done - first.done
    return {
        f"{name}_{size}_cpu": Figure(
            1e3 * (last_sample.cpu - first.cpu) / each, "ms", note=f"{requirement}, per candidate, without vetting"
        ),
        f"{name}_{size}_wall": Figure(1e3 * (last_sample.at - first.at) / each, "ms", note="per candidate"),
        f"{name}_{size}_memory": Figure(max(s.largest for s in search), "MB", note="largest process, resident"),
    }


def _installed(requirement: str, folder: Path) -> Path:
    """The interpreter of a fresh environment with this requirement."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", requirement], check=True, capture_output=True)
    return python


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
