"""docs/extending.md and the recipe for a task in CONTRIBUTING.md, followed exactly: written, installed and run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from campaigns import Command

from recipes import copied, python

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
TINY = (
    "--set", "budget.proposals=1", "--set", "workers=1", "--set", "ladder.finalists=1", "--set", "ladder.finalist_seeds=2",
    "--set", "ladder.contenders=1", "--set", "ladder.contender_seeds=1", "--set", "ladder.baseline_betas=[]",
    "--set", "ladder.baseline_widenings=0", "--set", "pictures=false",
)  # fmt: skip
SEEDS = ("--set", "seeds=[dpo, slic]")


def section(title: str) -> str:
    """A section of the page."""
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert text, f"the page has no section {title!r}"
    return text


def files(title: str) -> dict[str, str]:
    """The files of a section by path: code blocks after a sentence that ends with the path."""
    found = dict(re.findall(r"`([^`\n]+)`:\n\n```(?:python|toml)\n(.*?)```", section(title), re.DOTALL))
    assert len(found) == len(re.findall(r"```(?:python|toml)\n", section(title)))
    return found


def write_files(title: str, folder: Path) -> None:
    """Write the section's files."""
    for name, text in files(title).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@dataclass(frozen=True)
class Environment:
    """A Python environment that has evopo and what it needs, and no plugin."""

    python: Path

    def run(self, folder: Path, line: str, *more: str) -> str:
        """Runs a command of the page with further arguments, and returns its output."""
        line, _, target = (part.strip() for part in line.partition(">"))
        program, *arguments = shlex.split(line)
        module = {"evopo": "evo", "evopo-sandbox": "sandbox", "pip": "pip"}[program]
        done = subprocess.run(
            [self.python, "-m", module, *arguments, *more],
            cwd=folder,
            env=_clean(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if target:
            (folder / target).write_text(done.stdout, "utf-8")
        return done.stdout

    def follow(self, folder: Path, title: str) -> dict[str, str]:
        """Runs the section's commands and returns the output of each, by its first two words."""
        lines = [
            line for text in re.findall(r"```sh\n(.*?)```", section(title), re.DOTALL) for line in text.splitlines()
        ]
        printed = {}
        for line in lines:
            more = (
                (*TINY, *SEEDS)
                if line.startswith("evopo run")
                else ("--workers", "1") * line.startswith("evopo baselines")
            )
            printed[" ".join(line.split()[:2])] = self.run(folder, line, *more)
        return printed


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment, in which the packages installed here come after its own."""
    place = tmp_path_factory.mktemp("fresh")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    behind = sorted({sysconfig.get_paths()[name] for name in ("purelib", "platlib")})
    lines = [f"import site; site.addsitedir({folder!r})" for folder in behind]
    Path(site, "behind.pth").write_text("\n".join([*lines, str(ROOT)]) + "\n")
    return Environment(python)


def _clean() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "CUDA_VISIBLE", "PYTHONPATH"))}
    return kept | {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1"}


def test_the_task_of_the_page_is_short():
    (task,) = files("A task in one file").values()
    assert len([line for line in task.splitlines() if line.strip()]) <= 45


def test_a_task_in_one_file_runs_to_a_leaderboard_resumes_and_replays(evo: Command) -> None:
    write_files("A task in one file", evo.folder)
    quick = (*TINY, *SEEDS)
    first = evo.run("run", "--set", "task=my_task.py:MyTask", *quick)
    assert first.code == 0, first.err
    assert "the baseline" in first.out and "fitness is mean reward" in first.out

    moved = evo.folder / "elsewhere"
    moved.mkdir()
    (evo.folder / "my_task.py").rename(moved / "my_task.py")
    with (moved / "my_task.py").open("a") as file:
        file.write("# another content\n")
    (moved / "mine.yaml").write_text("task: my_task.py:MyTask\n")
    again = evo.run("run", "elsewhere/mine.yaml", *quick, "--set", "budget.proposals=2")
    assert again.code == 0, again.err
    (note,) = (line for line in again.out.splitlines() if "changed since the run began" in line)
    assert note.startswith("The task my_task.py:MyTask changed since the run began (sha256:")

    refused = evo.run("replay", "runs/MyTask-s0")
    assert refused.code == 2 and "a file named only by an archive is not executed" in refused.err
    replayed = evo.run("replay", "runs/MyTask-s0", "--task", "elsewhere/my_task.py:MyTask")
    assert replayed.code == 0, replayed.err + replayed.out

    (moved / "my_task.py").write_text("raise RuntimeError('looked at, and so run')\n")
    assert "task my_task.py:MyTask" in evo.run("status", "runs/MyTask-s0").out
    broken = evo.run("run", "elsewhere/mine.yaml", *quick, "--set", "budget.proposals=4")
    assert broken.code == 2 and "my_task.py, line 1" in broken.err and "Traceback" not in broken.err


def test_a_task_in_a_package_is_installed_into_a_fresh_environment_and_runs_to_a_leaderboard(fresh, tmp_path):
    write_files("A task in one file", tmp_path)
    write_files("A task in a package", tmp_path)
    assert "mine" not in fresh.run(tmp_path, "evopo tasks")
    printed = fresh.follow(tmp_path, "A task in a package")
    (row,) = (line.split("  ") for line in printed["evopo tasks"].splitlines() if line.startswith("mine"))
    assert "evopo-mine 1.0" in [cell.strip() for cell in row]
    assert "the baseline" in printed["evopo run"]
    assert "task mine" in fresh.run(tmp_path, "evopo status runs/mine-s0")


def test_a_contract_in_a_package_is_vetted_by_and_a_task_scores_its_losses(fresh, tmp_path):
    title = "A contract in a package"
    write_files(title, tmp_path)
    (tmp_path / "regression" / "__init__.py").touch()
    printed = fresh.follow(tmp_path, title)
    assert "accepted" in printed["evopo-sandbox check"]
    assert "squared_error" in printed["evopo baselines"] or "Squared error" in printed["evopo baselines"]


def test_the_recipe_for_a_built_in_task_works(tmp_path):
    """Uses a copy of the packages, because the recipe changes one."""
    recipe = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("\n## Add a task\n")[2].partition("\n## ")[0]
    copied(tmp_path)
    named = [text.replace("NAME", "mine") for text in re.findall(r"`([^`]+)`", recipe)]
    task, package, entry, registry, command = (
        next(text for text in named if re.fullmatch(form, text))
        for form in (r"\S+/task\.py", r"\S+/__init__\.py", r'"mine": ".*",?', r"\S+/registry\.py", r"evopo run .*")
    )
    (code,) = files("A task in one file").values()
    for path, text in ((task, code), (package, "")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    place = tmp_path / registry
    head = "BUILT_IN: Mapping[str, str] = {\n"
    before = place.read_text("utf-8")
    assert head in before
    place.write_text(before.replace(head, f"{head}    {entry.rstrip(',')},\n"), "utf-8")
    arguments = [*shlex.split(command)[1:], *TINY, *SEEDS]
    done = python(tmp_path, "-m", "evo", *arguments)
    assert done.returncode == 0, done.stderr
    assert "the baseline" in done.stdout and str(tmp_path) not in done.stderr
