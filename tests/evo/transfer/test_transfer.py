"""`evopo transfer`: settings and losses of the command line, trainings on the digits, what a second call and a kill do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis.claims.transfer import transfer_of
from archive.query import Reader
from archive.records import EvaluationState
from evo.cli.commands import main
from evo.config.schema import ConfigError
from evo.transfer.settings import Setting, configurations, setting_of, settings_of
from fitness.classification.options import Options
from fitness.classification.task import make
from sandbox import known

pytest.importorskip("torch")
pytest.importorskip("sklearn")

QUICK = ("--task", "classification", "--workers", "1", "--set", "fitness.train_items=200", "--set", "fitness.epochs=3")
NETWORKS = (
    "--setting", "mlp:held_out_network=mlp", "--setting", "cnn:held_out_network=cnn,learning_rate=0.01",
    "--setting", "linear:held_out_network=linear",
)  # fmt: skip


def evopo(*arguments):
    """Exit code, standard output and standard error."""
    done = CliRunner().invoke(main, ["transfer", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


# ---- settings --------------------------------------------------------------------------------------------------------


def test_a_setting_is_a_name_and_changes():
    assert setting_of("cnn:network=cnn,epochs=3") == Setting("cnn", ("network=cnn", "epochs=3"))
    assert setting_of("b:fitness.beta=0.5") == Setting("b", ("beta=0.5",))
    assert setting_of("usual:") == Setting("usual", ())
    assert setting_of("x:evaluation.by=margin,grid=[1, 2],beta=3").changes == (
        "evaluation.by=margin",
        "grid=[1, 2]",
        "beta=3",
    )


@pytest.mark.parametrize("text", ["", ":network=cnn", "cnn:network", "../cnn:epochs=3", "a" * 41, ".hidden:epochs=3"])
def test_a_setting_of_another_form_is_refused(text):
    with pytest.raises(ConfigError, match="--setting needs NAME:KEY=VALUE"):
        setting_of(text)


def test_a_name_alone_is_no_setting():
    with pytest.raises(ConfigError, match="so what does hard change"):
        settings_of(["usual:", "hard"])


def test_settings_need_names_of_their_own():
    with pytest.raises(ConfigError, match="two settings are called 'cnn'"):
        settings_of(["cnn:epochs=1", "CNN:epochs=2"])
    with pytest.raises(ConfigError, match="at least one --setting"):
        settings_of([])


def test_each_setting_has_the_configuration_with_its_changes(tmp_path):
    given = ("task=sentiment", "fitness.samples=100", "workers=1")
    found = configurations(settings_of(["usual:", "noisy:label_noise=0.3,world=classic"]), tmp_path, None, given)
    assert found["usual"].fitness == {"world": "unfamiliar", "samples": 100}
    assert found["noisy"].fitness == {"world": "classic", "samples": 100, "label_noise": 0.3}
    assert {config.workers for config in found.values()} == {1}


# ---- bad input, found before anything is trained ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("--setting", "mlp:held_out_networks=mlp"), "held_out_network"),
        (("--setting", "mlp:held_out_network=resnet18"), "resnet18 is for cifar10"),
        (("--setting", "mlp:", "--rung", "x"), "has no rung 'x'"),
        (("mse", "nonsense", "--setting", "mlp:"), "'nonsense' is neither a known classification loss nor a file"),
        (("dpo", "--setting", "mlp:"), "'dpo' is neither a known classification loss"),
        (("missing#3", "--setting", "mlp:"), "holds no run"),
        ((), "at least one --setting"),
        (("--setting", "deep"), "--setting deep: no setting has values of its own, so what does deep change?"),
        (("--setting", "mlp:", "--setting", "images:dataset=cifar10"), "setting images: fitness.data_dir: CIFAR-10"),
    ],
)  # fmt: skip
def test_a_fault_in_any_setting_is_told_before_anything_is_trained(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, _, err = evopo(*arguments, *QUICK, "--dir", tmp_path / "t")
    assert code == 2 and told in err, err
    assert not (tmp_path / "t").exists()


# ---- trainings -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished transfer of three losses over three networks, and what it printed."""
    folder = tmp_path_factory.mktemp("transfer") / "digits"
    code, out, err = evopo("mse", "gce", *QUICK, *NETWORKS, "--seeds", 3, "--dir", folder)
    assert code == 0, err
    return folder, out


def test_every_loss_is_trained_in_every_setting_on_seeds_of_its_own(done):
    found = transfer_of(done[0])
    assert [s.name for s in found.settings] == ["mlp", "cnn", "linear"]
    assert all([r.name for r in s.results] == ["cross_entropy", "gce", "mse"] for s in found.settings)
    assert all(len(r.fitness) == 3 and len(r.items) == 3 for s in found.settings for r in s.results)
    seeds = [seed for s in found.settings for seed in s.seeds]
    assert len(set(seeds)) == 9
    assert found.settings[1].changes == ("held_out_network=cnn", "learning_rate=0.01")


def test_a_setting_changes_what_is_trained(done):
    linear = transfer_of(done[0]).settings[2]
    with Reader.open(done[0] / "linear" / "archive.db") as reader:
        identity = reader.run().identity
    assert identity["fitness"]["options"]["held_out_network"] == "linear"
    found, seeds = linear.results[0], linear.seeds
    assert (found.name, len(seeds)) == ("cross_entropy", 3)
    assert [found.fitness[seed] for seed in seeds] == scores("linear", seeds) != scores("mlp", seeds)


def test_tables_and_conclusions_are_printed(done):
    lines = done[1].splitlines()
    assert sum(line.startswith("cross_entropy ") for line in lines) == 2
    assert any(line.startswith("Best in mlp: ") for line in lines)
    assert {line.split(":")[0].strip() for line in lines[-2:]} == {"cnn", "linear"}


def test_the_same_command_trains_nothing_and_prints_the_same(done):
    def evaluations():
        found = []
        for name in ("mlp", "cnn", "linear"):
            with Reader.open(done[0] / name / "archive.db") as reader:
                found += [(name, e.id, e.attempts, e.finished_event) for e in reader.evaluations()]
        return found

    before = evaluations()
    code, out, _ = evopo("mse", "gce", *QUICK, *NETWORKS, "--seeds", 3, "--dir", done[0])
    assert code == 0 and evaluations() == before
    assert out.partition("Task classification")[2] == done[1].partition("Task classification")[2]


def test_json_is_alone_on_standard_output(done):
    code, out, err = evopo("mse", "gce", *QUICK, *NETWORKS, "--seeds", 3, "--dir", done[0], "--format", "json")
    assert code == 0 and "3 losses in 3 settings" in err
    assert json.loads(out)["winner"] in ("cross_entropy", "mse", "gce")


def test_another_setting_of_the_same_name_is_refused_in_the_same_directory(done):
    code, _, err = evopo("mse", "gce", *QUICK, "--setting", "mlp:held_out_network=wide", "--seeds", 3, "--dir", done[0])
    assert code == 2 and "holds another run" in err
    assert [s.name for s in transfer_of(done[0]).settings] == ["mlp", "cnn", "linear"], "the results are still there"


def test_a_loss_in_a_file_takes_part_and_no_other_may_take_its_scores(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def loss(logits, targets):\n    return 2.0 * F.cross_entropy(logits, targets, reduction='none')\n")
    command = (mine, *QUICK, "--setting", "mlp:held_out_network=mlp", "--seeds", 2, "--dir", tmp_path / "t")
    code, out, err = evopo(*command)
    assert code == 0, err
    assert [r.name for r in transfer_of(tmp_path / "t").settings[0].results] == ["cross_entropy", "mine"]
    assert "Give more than one --setting" in out
    mine.write_text(mine.read_text().replace("2.0", "3.0"))
    code, _, err = evopo(*command)
    assert code == 2 and "scores of another loss called 'mine'" in err


def test_a_run_stands_for_its_finalists(tmp_path):
    runner = CliRunner().invoke(
        main,
        ["run", "--dir", str(tmp_path / "run"), "--set", "proposer=builtin", "--set", "task=classification", "--set", "workers=1",
         "--set", "fitness.train_items=200", "--set", "fitness.epochs=2", "--set", "fitness.short_epochs=1", "--set",
         "budget.proposals=3", "--set", "ladder.finalists=1", "--set", "ladder.finalist_seeds=2", "--set", "pictures=false",
         "--set", "seeds=[cross_entropy, mse]", "--set", "ladder.contenders=0"],
    )  # fmt: skip
    assert runner.exit_code == 0, runner.output
    code, _, err = evopo(tmp_path / "run", *QUICK, "--setting", "mlp:", "--seeds", 2, "--dir", tmp_path / "t")
    assert code == 0, err
    names = [r.name for r in transfer_of(tmp_path / "t").settings[0].results]
    assert names[0] == "cross_entropy" and len(names) == 2 and "#" in names[1], "the run's finalist"


def test_a_killed_transfer_continues(tmp_path):
    command = [
        sys.executable, "-m", "evo", "transfer", "mse", *QUICK, *NETWORKS[:4], "--seeds", "4", "--dir", str(tmp_path / "t"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until and not scored(tmp_path / "t" / "cnn" / "archive.db") >= 2:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = recorded(tmp_path / "t")
    assert 8 < len(before) < 16
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = recorded(tmp_path / "t")
    assert len(after) == 16 and before.items() <= after.items(), "nothing was trained twice"


def scores(network: str, seeds: Sequence[int]) -> list[float]:
    """Accuracy of cross-entropy on each seed, trained in this process with the options of `QUICK`."""
    task = make(Options(held_out_network=network, train_items=200, epochs=3))
    return [task.score_seed(known.graph("cross_entropy"), "held_out", seed).fitness for seed in seeds]


def scored(path: Path) -> int:
    if not path.exists():
        return 0
    with Reader.open(path) as reader:
        return len(reader.evaluations(state=EvaluationState.SCORED))


def recorded(folder: Path) -> dict[tuple[str, int], tuple[float, int | None]]:
    """Fitness and last event of each scored evaluation, by setting and id."""
    found = {}
    for name in ("mlp", "cnn"):
        with Reader.open(folder / name / "archive.db") as reader:
            found |= {
                (name, e.id): (e.fitness, e.finished_event) for e in reader.evaluations(state=EvaluationState.SCORED)
            }
    return found
