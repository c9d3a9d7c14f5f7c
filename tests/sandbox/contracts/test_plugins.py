"""Contracts of other packages: found by entry point; an error names the package and the entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fitness.task import TaskError, task_info
from sandbox.contracts import contract as contracts
from sandbox.contracts.contract import ContractError, contract_named, contract_names, listed_contracts
from sandbox.vetting.cli.commands import main

GOOD = """
from sandbox.contracts.contract import BATCH, Argument, Contract

TASTE = Contract(
    name="taste",
    description="A loss over how things taste. The batch size varies.",
    arguments=(Argument("score", "how good it is said to be", (BATCH,), learns=True),),
    inputs="{module}:Inputs",
)
"""
LOSS = "def loss(score):\n    return score ** 2\n"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module with entry points; its registrations are removed after the test."""
    monkeypatch.setattr(contracts, "_REGISTERED", dict(contracts._REGISTERED))

    def installed(package: str, code: str, points: str) -> None:
        module = package.replace("-", "_")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (tmp_path / f"{module}.py").write_text(code.replace("{module}", module))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[evopo.contracts]\n{points}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return installed


def test_a_contract_of_a_package_is_found_by_name_and_listed_without_an_import(install):
    install("evopo-taste", GOOD, "taste = evopo_taste:TASTE")
    assert contract_names() == ("preference", "classification", "taste")
    assert "evopo_taste" not in sys.modules
    assert contract_named("taste").signature == "score"
    assert ("taste", "evopo-taste 1.0", "A loss over how things taste") in listed_contracts()


BROKEN = {
    "an import that fails": (
        "import no_such_module_at_all",
        "bad = evopo_bad:BAD",
        "ModuleNotFoundError: No module named",
    ),
    "a record that lacks a part": (
        GOOD.replace('    inputs="{module}:Inputs",\n', ""),
        "bad = evopo_bad:TASTE",
        "'inputs'",
    ),
    "something else": ("BAD = 3", "bad = evopo_bad:BAD", "expected a Contract named 'bad', got int"),
    "another name": (GOOD, "bad = evopo_bad:TASTE", "expected a Contract named 'bad', got one named 'taste'"),
    "a part that leads nowhere": (
        GOOD.replace('"taste"', '"bad"').replace("{module}:Inputs", "nowhere_at_all:Inputs"),
        "bad = evopo_bad:TASTE",
        "inputs: no module 'nowhere_at_all'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_contract_is_named_with_its_package_and_does_not_affect_others(install, case):
    code, points, message = BROKEN[case]
    install("evopo-bad", code, points)
    with pytest.raises(ContractError) as caught:
        contract_named("bad")
    said = str(caught.value)
    assert (
        said.startswith("contract 'bad' of the package evopo-bad 1.0 (entry point evopo.contracts: bad = ")
        and message in said
    )
    assert contract_named("preference").name == "preference"
    assert any(name == "bad" and "cannot be used" in what for name, _, what in listed_contracts())


def test_a_name_declared_by_two_packages_or_already_built_in_is_an_error(install):
    install("evopo-one", GOOD, "taste = evopo_one:TASTE")
    install("evopo-two", GOOD, "taste = evopo_two:TASTE\npreference = evopo_two:TASTE")
    with pytest.raises(ContractError, match=r"comes from two packages, evopo-one 1\.0.*evopo-two 1\.0"):
        contract_named("taste")
    assert contract_named("preference").description.startswith("A preference loss")
    assert any(name == "preference" and "built-in contract" in what for name, _, what in listed_contracts())


def test_the_command_names_the_package_of_a_broken_contract(install, tmp_path):
    install("evopo-bad", "import no_such_module_at_all", "bad = evopo_bad:BAD")
    (tmp_path / "loss.py").write_text(LOSS)
    result = CliRunner().invoke(main, ["check", "--contract", "bad", str(tmp_path / "loss.py")])
    assert result.exit_code == 2 and "evopo-bad 1.0" in result.output and "Traceback" not in result.output


def test_a_task_whose_contract_is_broken_is_an_error_that_names_both(install, tmp_path):
    install("evopo-bad", "import no_such_module_at_all", "bad = evopo_bad:BAD")
    (tmp_path / "my_task.py").write_text(
        "from fitness.task import Rung, TaskInfo, TaskOptions as Options\n"
        "def info(options):\n    return TaskInfo('', 'bad', '', {'full': Rung('full', 1, 1.0)})\n"
        "def make(options):\n    pass\n"
    )
    with pytest.raises(TaskError, match=r"task 'my_task\.py' .*: contract 'bad' of the package evopo-bad 1\.0"):
        task_info(f"{tmp_path}/my_task.py")
