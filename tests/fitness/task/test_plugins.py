"""Tasks of other packages and in files: lookup by name; errors name package, entry point, file and line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fitness.task import EvaluationFailed, SeedResult, TaskError, TaskInfo, check_task, make_task, task_info, task_names
from fitness.task.from_file import TaskFile
from fitness.task.registry import BUILT_IN, directory_name, is_task, listed_tasks, task_record
from fitness.workers.pool import score_all

GOOD = '''
from fitness.task import Rung, SeedResult, TaskInfo, TaskOptions

class Mine:
    """A task of one line. And more words."""
    class Options(TaskOptions):
        steps: int = 3
    def info(options):
        return TaskInfo("another name", "preference", "nothing", {"full": Rung("full", options.steps, 0.1)})
    def __init__(self, options):
        self.options = options
    def prepare(self):
        pass
    def score_seed(self, graph, rung, seed, *, beta=None, learning_rate=None):
        return SeedResult(0.0, seed=seed)
'''
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module with entry points, as pip leaves it."""
    count = 0

    def installed(package: str, code: str, points: str) -> None:
        nonlocal count
        site = tmp_path / f"site{count}"
        count += 1
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{package.replace('-', '_')}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[evopo.tasks]\n{points}\n")
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, package.replace("-", "_"), raising=False)

    return installed


def fault(name: str) -> str:
    with pytest.raises(TaskError) as caught:
        task_info(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- what is found ------------------------------------------------------------------------------------------------------


def test_a_class_of_a_package_is_a_task_under_the_name_of_its_entry_point(install):
    install("evopo-good", GOOD, "mine = evopo_good:Mine")
    info = task_info("mine", {"steps": 7})
    assert (info.name, info.rungs["full"].steps) == ("mine", 7)
    assert info.identity == {"task": "mine", "options": {"steps": 7}}
    assert info.described()["origin"] == "package evopo-good 1.0, entry point evopo.tasks: mine = evopo_good:Mine"
    assert make_task("mine").score_seed(None, "full", 5).seed == 5
    check_task("mine")  # it offers none
    assert "mine" in task_names() and is_task("mine")


def test_a_file_on_disk_is_a_task_by_path_and_class(tmp_path, monkeypatch):
    (tmp_path / "my_task.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    info = task_info("my_task.py:Mine")
    assert info.name == "my_task.py:Mine"
    assert task_info(f"{tmp_path}/my_task.py:Mine").identity == info.identity
    assert info.origin == f"file {tmp_path}/my_task.py" and info.version.startswith("sha256:")
    assert (directory_name("a/my_task.py:Mine"), directory_name("a/my_task.py")) == ("Mine", "my_task")
    assert not list(tmp_path.glob("__pycache__"))


def test_a_file_with_the_parts_of_a_task_is_a_task(tmp_path):
    parts = GOOD.replace("class Mine:", "class Made:") + "Options, info, make = Made.Options, Made.info, Made\n"
    (tmp_path / "whole.py").write_text(parts)
    assert task_info(f"{tmp_path}/whole.py").name == "whole.py"


def test_an_object_that_offers_the_parts_is_a_task(tmp_path):
    code = (
        GOOD
        + "\nclass Factory:\n    Options, info = Mine.Options, staticmethod(Mine.info)\n    def make(self, options):\n"
    )
    (tmp_path / "made.py").write_text(code + "        return Mine(options)\n\nmade = Factory()\n")
    assert make_task(f"{tmp_path}/made.py:made").score_seed(None, "full", 2).seed == 2


def test_a_file_that_changes_is_read_again_and_has_another_version(tmp_path):
    file = tmp_path / "my_task.py"
    file.write_text(GOOD)
    before = task_info(f"{file}:Mine")
    file.write_text(GOOD.replace("steps: int = 3", "steps: int = 4"))
    after = task_info(f"{file}:Mine")
    assert (before.rungs["full"].steps, after.rungs["full"].steps) == (3, 4)
    assert before.name == after.name and before.version != after.version


def test_built_in_names_and_help_scan_no_package():
    program = (
        "import sys; from fitness.task import task_info; from evo.config import schema; task_info('classification');"
        "schema.parse_config({'task': 'classification'}); from evo.cli import commands;"
        "assert 'sandbox.contracts.entry_points' in sys.modules;"
        "import sandbox.contracts.entry_points as e; e.distributions = None; task_info('sentiment');"
        "commands.main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_built_in_task_has_all_parts():
    for name in BUILT_IN:
        assert task_record(name).summary


# ---- what is broken -----------------------------------------------------------------------------------------------------

BROKEN = {
    "an import that fails": (
        "import no_such_module_at_all\n",
        "ModuleNotFoundError: No module named 'no_such_module_at_all'",
        1,
    ),
    "a syntax error": ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax", 2),
    "an exception": ("x = 1\n\nraise RuntimeError('boom\\nand more')\n", "RuntimeError: boom and more", 3),
    "a call of exit": ("import sys\nsys.exit('bye')\n", "SystemExit: bye", 2),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_package_that_cannot_be_imported_is_named_with_its_entry_point_file_and_line(install, case):
    code, said, line = BROKEN[case]
    install("evopo-bad", code, "bad = evopo_bad:Bad")
    told = fault("bad")
    assert "task 'bad' of the package evopo-bad 1.0 (entry point evopo.tasks: bad = evopo_bad:Bad)" in told
    assert said in told
    assert re.search(rf"evopo_bad\.py, line {line}$", told)


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_loaded_is_named_with_its_line(tmp_path, case):
    code, said, line = BROKEN[case]
    (tmp_path / "bad.py").write_text(code)
    told = fault(f"{tmp_path}/bad.py:Bad")
    assert told.startswith("task bad.py:Bad: the file cannot be loaded: ") and said in told
    assert told.endswith(f"{tmp_path}/bad.py, line {line}")


def test_a_file_that_is_not_there_and_a_name_that_is_not_in_it(tmp_path):
    (tmp_path / "my_task.py").write_text(GOOD)
    assert "cannot read" in fault(f"{tmp_path}/other.py:Mine")
    assert "expected a file, got a folder" in fault(_folder(tmp_path / "folder.py"))
    assert fault(f"{tmp_path}/my_task.py:Yours").endswith("has no 'Yours'; classes in it: Mine")


def _folder(path: Path) -> str:
    path.mkdir()
    return str(path)


PARTS = {
    "Options": ("    class Options(TaskOptions):\n        steps: int = 3\n", "", "Options (expected a subclass of"),
    "a wrong Options": ("class Options(TaskOptions):", "class Options:", "Options (expected a subclass of"),
    "info": ("def info(", "def inform(", "info (expected info(options)"),
    "score_seed": ("def score_seed(", "def score(", "score_seed (expected a method"),
    "prepare": ("def prepare(", "def ready(", "prepare (expected a method"),
    "a callable check": (
        "    def prepare",
        "    check = 3\n    def prepare",
        "check (expected a function, got int '3'",
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_task_that_lacks_a_part_names_it_when_it_is_loaded(tmp_path, part):
    old, new, told = PARTS[part]
    assert old in GOOD
    (tmp_path / "my_task.py").write_text(GOOD.replace(old, new))
    said = fault(f"{tmp_path}/my_task.py:Mine")
    assert told in said and f"file {tmp_path}/my_task.py" in said


ANSWERS = {
    "an exception in info": (
        'return TaskInfo("another',
        'return 1 / 0\n        ("another',
        r"info failed: ZeroDivisionError.*line 9$",
    ),
    "no TaskInfo": ('return TaskInfo("another', 'return ("another', "should return a TaskInfo, but returned tuple"),
    "an unknown contract": ('"preference"', '"taste"', "unknown contract 'taste': expected one of preference"),
    "no rungs": ('{"full": Rung("full", options.steps, 0.1)}', "{}", "needs at least one rung that is not held out"),
    "a rung under another name": ('{"full": Rung', '{"whole": Rung', "should be fitness.task.Rung by their names"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_info_of_a_task_is_checked(install, case):
    old, new, told = ANSWERS[case]
    assert old in GOOD
    install("evopo-odd", GOOD.replace(old, new), "odd = evopo_odd:Mine")
    said = fault("odd")
    assert re.search(told, said) and "package evopo-odd 1.0" in said


def test_a_module_whose_make_returns_no_task_is_named(install):
    install(
        "evopo-odd", GOOD + "Options, info = Mine.Options, Mine.info\nmake = lambda options: 3\n", "odd = evopo_odd"
    )
    with pytest.raises(TaskError, match=r"package evopo-odd 1\.0.*int '3', lacks prepare and score_seed"):
        make_task("odd")


def test_one_name_of_two_packages_is_an_error_that_names_both(install):
    install("evopo-one", GOOD, "mine = evopo_one:Mine")
    install("evopo-two", GOOD, "mine = evopo_two:Mine")
    told = fault("mine")
    assert "evopo-one 1.0" in told and "evopo-two 1.0" in told and "uninstall one" in told


def test_a_built_in_name_cannot_be_replaced_and_the_list_names_the_entry_point(install):
    install("evopo-clash", "raise RuntimeError", "sentiment = evopo_clash:Mine\nodd/name = evopo_clash:Mine")
    assert task_info("sentiment").origin == ""
    rows = {(name, origin): what for name, origin, what in listed_tasks()}
    assert "built-in task" in rows["sentiment", "evopo-clash 1.0"]
    assert "expected a name of letters" in fault("odd/name")


def test_a_broken_plugin_breaks_neither_other_tasks_nor_the_list(install):
    install("evopo-bad", "import no_such_module_at_all", "bad = evopo_bad:Bad")
    install("evopo-good", GOOD, "mine = evopo_good:Mine")
    assert isinstance(task_info("mine"), TaskInfo) and isinstance(task_info("classification"), TaskInfo)
    rows = {name: (origin, what) for name, origin, what in listed_tasks()}
    assert rows["mine"] == ("evopo-good 1.0", "A task of one line")
    assert rows["bad"][0] == "evopo-bad 1.0" and "cannot be used: task 'bad'" in rows["bad"][1]


def test_unreadable_entry_points_of_one_package_do_not_affect_others(install):
    install("evopo-bad", "", "this is no line of an entry point")
    install("evopo-good", GOOD, "mine = evopo_good:Mine")
    assert task_info("mine").name == "mine"


def test_only_the_form_decides_whether_a_name_is_a_file():
    assert TaskFile.of("a/b.py:C") == TaskFile("a/b.py", "C")
    assert TaskFile.of("a/b.py") == TaskFile("a/b.py", "")
    assert [TaskFile.of(name) for name in ("sentiment", "b.py:", "b.py:3", "package.module:C", ".py")] == [None] * 5


# ---- in a training process ----------------------------------------------------------------------------------------------


def test_a_training_process_finds_the_file(tmp_path, losses):
    (tmp_path / "my_task.py").write_text(GOOD)
    (result,) = score_all(f"{tmp_path}/my_task.py:Mine", [(losses["logistic"], "full", 7)])
    assert isinstance(result, SeedResult) and result.seed == 7


WRONG = {
    "an exception": (
        "return SeedResult(0.0, seed=seed)",
        "raise KeyError('oops')",
        r"KeyError: 'oops', in .*my_task\.py, line 15",
    ),
    "no result": ("return SeedResult(0.0, seed=seed)", "return 0.0", "expected a fitness.task.SeedResult, got float"),
    "a prepare that fails": (
        "        pass",
        "        raise KeyError('oops')",
        r"prepare failed: KeyError: 'oops', in .*my_task\.py, line 13",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_task_that_fails_in_training_is_named_with_the_line_and_no_traceback(tmp_path, losses, case):
    old, new, told = WRONG[case]
    (tmp_path / "my_task.py").write_text(GOOD.replace(old, new))
    (failure,) = score_all(f"{tmp_path}/my_task.py:Mine", [(losses["logistic"], "full", 7)])
    assert isinstance(failure, EvaluationFailed)
    assert "task 'my_task.py:Mine'" in str(failure) and re.search(told, str(failure))
    assert "Traceback" not in str(failure)


def test_a_training_process_that_cannot_load_the_file_says_where_and_ends(tmp_path):
    (tmp_path / "my_task.py").write_text("import no_such_module_at_all")
    command = [sys.executable, "-P", "-m", "fitness.workers.worker", "--task", f"{tmp_path}/my_task.py:Mine"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.wait() == 1
        assert worker.stderr is not None
        told = worker.stderr.read()
    assert "my_task.py, line 1" in told and "Traceback" not in told
