"""Files that shadow packages, in the current directory or on PYTHONPATH, are ignored or named in an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOSS = ROOT / "sandbox/known/preference/dpo.py"
OWN = ("archive", "analysis", "sandbox", "fitness")


def command(*arguments: str, program: str = "main", path: Path | None = None, cwd: Path) -> tuple[int, str]:
    """Runs a console script; returns its exit code and output."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path and str(path), str(ROOT))))}
    code = f"import sys; from evo.entry import {program}; sys.exit({program}())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], cwd=cwd, env=variables, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def stray(folder: Path, name: str) -> Path:
    """Creates an unrelated module with that name."""
    file = folder / f"{name}.py"
    file.write_text("x = 1\n")
    return file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("program", ["main", "sandbox"])
def test_packages_with_our_names_on_pythonpath_are_ignored_and_named(
    program: str, elsewhere: Path, tmp_path: Path
) -> None:
    files = [stray(elsewhere, name) for name in OWN]
    arguments = ("ls", ".") if program == "main" else ("check", "--no-numeric", str(LOSS))
    code, told = command(*arguments, program=program, path=elsewhere, cwd=tmp_path)
    assert code == 0 and all(f"note: {str(file)!r} has the name of a package of evopo" in told for file in files), told


def test_packages_with_our_names_in_the_current_directory_are_ignored(elsewhere: Path) -> None:
    (elsewhere / "analysis").mkdir()
    (elsewhere / "analysis" / "__init__.py").touch()
    for name in ("archive", "dataclasses", "yaml"):
        stray(elsewhere, name)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    for program in ("evo", "sandbox"):
        arguments = [sys.executable, "-m", program, "--help"]
        done = subprocess.run(arguments, cwd=elsewhere, env=variables, capture_output=True, text=True)
        assert done.returncode == 0 and "Usage" in done.stdout, done.stderr


@pytest.mark.parametrize("program", ["main", "sandbox"])
@pytest.mark.parametrize("name", ["click", "dataclasses", "typing", "inspect", "RestrictedPython"])
def test_a_file_that_shadows_a_module_is_named(program: str, name: str, elsewhere: Path, tmp_path: Path) -> None:
    file = stray(elsewhere, name)
    arguments = ("ls", ".") if program == "main" else ("check", "--no-numeric", str(LOSS))
    code, told = command(*arguments, program=program, path=elsewhere, cwd=tmp_path)
    if (program, name) == ("main", "RestrictedPython"):
        assert code == 0  # the command does not import it
        return
    assert code == 2 and "Traceback" not in told
    assert f"{file} is imported through PYTHONPATH instead of the installed module {name}" in told


def test_a_file_that_shadows_torch_is_named_by_numeric_tests(elsewhere: Path, tmp_path: Path) -> None:
    file = stray(elsewhere, "torch")
    for arguments in (("check", str(LOSS)), ("check", "--workers", "2", str(LOSS))):
        code, told = command(*arguments, program="sandbox", path=elsewhere, cwd=tmp_path)
        assert code == 2 and f"{file} is imported through PYTHONPATH" in told and "Traceback" not in told


def test_a_bug_keeps_its_traceback_with_shadowing_files(elsewhere: Path, tmp_path: Path) -> None:
    stray(elsewhere, "yaml_of_another_name")
    stray(elsewhere, "colorsys")
    code = (
        "import sys, evo.cli.commands, evo.entry\n"
        "evo.cli.commands.main = lambda: {}['colors']\n"
        "evo.entry.main()"
    )  # fmt: skip
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join((str(elsewhere), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" in done.stderr and "imported through PYTHONPATH" not in done.stderr


@pytest.mark.parametrize("arguments", [("doctor",), ("check", str(LOSS))])
def test_a_temporary_folder_that_is_missing_is_named_with_its_variable(
    arguments: tuple[str, ...], elsewhere: Path, tmp_path: Path
) -> None:
    """As in a container with a read-only root. No shadowing file: tempfile itself finds no folder."""
    import tempfile

    text = Path(tempfile.__file__).read_text("utf-8")
    (elsewhere / "tempfile.py").write_text(text + "\n\ndef _candidate_tempdir_list():\n    return []\n")
    code, told = command(*arguments, program="sandbox", path=elsewhere, cwd=tmp_path)
    assert code == 2 and "set TMPDIR to a folder that can be written to" in told and "Traceback" not in told
