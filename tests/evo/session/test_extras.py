"""Packages that are not installed are named, with the command that installs them, before anything is made."""

import sys

import pytest
from click.testing import CliRunner

from evo.cli.commands import main


@pytest.mark.parametrize(
    ("package", "arguments", "command"),
    [
        ("trl", ["run"], "pip install 'evopo[train]'"),
        ("datasets", ["baselines"], "pip install 'evopo[train]'"),
        ("sklearn", ["run", "--set", "task=classification"], "pip install 'evopo[train]'"),
        (
            "openai",
            ["run", "--set", "llm.base_url=http://127.0.0.1:9/v1", "--set", "llm.model=m", "--set", "budget.tokens=9999"],
            "pip install 'evopo[llm]'",
        ),
        (
            "peft", ["run", "--set", "task=preference", "--set", "fitness={model: m, data: d, lora: {}}"],
            "pip install 'evopo[train]'",
        ),
        (
            "openai",
            ["run", "--set", "proposer=builtin", "--set", "task=preference", "--set",
             "fitness={model: m, data: d, evaluation: {by: judge, model: m, base_url: 'http://127.0.0.1:9/v1'}}"],
            "pip install 'evopo[llm]'",
        ),
    ],
)  # fmt: skip
def test_a_missing_package_is_named_before_the_run_directory_is_made(
    package, arguments, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and command in done.stderr and package.replace("sklearn", "scikit-learn") in done.stderr
    assert list(tmp_path.iterdir()) == []
