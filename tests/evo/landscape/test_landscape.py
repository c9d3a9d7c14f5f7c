"""`evopo landscape` as a user calls it: which losses, which files, and where training pairs end."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from instant import install

from archive.records import EventKind, Origin, RunRow
from archive.store import Archive
from evo.baselines.named_losses import named_losses
from evo.cli.commands import main
from evo.config.rundir import RunDirError, identity
from evo.config.schema import parse_config
from evo.landscape.pairs import share_within, trainings_of
from fitness.task import task_info
from sandbox.vetting.vet import vet

pytest.importorskip("torch")

MINE = """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return (beta * rho - 3) ** 2
"""

TASK = '''
"""Its training pairs end at margins that are known; a loss with an exponential diverges."""
from fitness.task import EvaluationFailed, Rung, SeedResult, TaskInfo, TaskOptions

class Known:
    Options = TaskOptions

    @staticmethod
    def info(options):
        return TaskInfo("Known", "preference", "a number", {"full": Rung("full", 1, 0.1)}, beta=0.05)

    def __init__(self, options):
        pass

    def prepare(self):
        pass

    def score_seed(self, graph, rung, seed, *, beta=None, learning_rate=None):
        raise AssertionError("only margins are asked for")

    def pair_margins(self, graph, rung, seed, *, beta=None, learning_rate=None):
        if '"exp"' in graph.to_json() and "sigmoid" not in graph.to_json():
            raise EvaluationFailed("diverged", "the loss became infinite")
        return [-5.0, -2.3, 0.0, 1.4, 1.5, 3.0, 4.0, 500.0]
'''


def call(*arguments: str):
    return CliRunner().invoke(main, ["landscape", *arguments])


@pytest.fixture
def mine(tmp_path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE, "utf-8")
    return file


def make_run(folder: Path, settings: dict[str, Any]) -> Path:
    """A run with one candidate and no training."""
    config = parse_config(settings)
    info = task_info(config.task, config.fitness)
    resolved = config.model_dump(mode="json")
    row = RunRow(config.name, config.seed, info.name, info.contract, identity(config, info), resolved, baseline="found")
    folder.mkdir()
    with Archive.create(folder / "archive.db", row) as archive:
        archive.event(EventKind.SESSION_STARTED, {"config": resolved, "fitness": info.described()})
        id = archive.add_candidate(Origin.SEED, "found", "", MINE, info.contract)
        archive.record_verdict(id, vet(MINE, info.contract).to_json())
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run of a task without training pairs."""
    install(tmp_path / "site", monkeypatch)
    return make_run(tmp_path / "run", {"task": "instant", "workers": 1, "fitness": {"folder": str(tmp_path)}})


def test_known_losses_files_and_candidates_are_shown_side_by_side(mine, run):
    result = call("dpo", str(mine), f"{run}#1", "--betas", ".5,.05")
    assert result.exit_code == 0, result.output
    heads = [line for line in result.output.splitlines() if line and not line.startswith(" ")]
    assert heads == [f"{name}, beta {beta}" for name in ("dpo", "mine.py", "found#1") for beta in ("0.05", "0.5")]
    assert "minimum         rho 60 (beta rho 3), loss 0" in result.output
    assert [loss.name for loss in named_losses([f"{run}#found"])] == ["found#1"]


@pytest.mark.parametrize("suffix", ["svg", "png", "html", "csv"])
def test_each_ending_of_out_gives_its_form(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"a.{suffix}"
    assert call("lrml", "--reach", "1", "--out", str(file)).exit_code == 0
    head = {"svg": b"<svg", "png": b"\x89PNG", "html": b"<!doctype html>", "csv": b"name,beta"}[suffix]
    assert file.read_bytes().startswith(head)


def test_classification_losses_have_no_beta():
    result = call("focal", "cross_entropy")
    assert result.exit_code == 0 and result.output.startswith("focal\n  at 0 ")
    assert "take no beta" in call("focal", "--betas", "1").output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lmrl"], "did you mean lrml"),
        (["pfl"], "pfl_found is the one that the search found"),
        (["missing.py"], "cannot read the loss in missing.py: No such file"),
        (["dpo", "focal"], "focal is a classification loss, and the others are preference losses"),
        (["dpo", "--contract", "x"], "--contract: expected one of"),
        (["dpo", "--out", "a.pdf"], "ends in one of .svg, .png, .html, .csv, got a.pdf"),
        (["dpo", "--betas", "0"], "positive, finite numbers"),
        (["dpo", "--seeds", "2"], "give --pairs RUN too"),
        (["nowhere#3"], "nowhere"),
    ],
)
def test_wrong_use_is_an_error_with_a_remedy(arguments, told):
    result = call(*arguments)
    assert result.exit_code == 2 and told in result.output, result.output


def test_a_refused_loss_is_not_shown(tmp_path):
    file = tmp_path / "evil.py"
    file.write_text("import os\n" + MINE, "utf-8")
    result = call("dpo", str(file))
    assert result.exit_code == 2 and "the sandbox refuses" in result.output and "minimum" not in result.output


def test_a_candidate_that_is_not_there_is_named(run):
    result = call(f"{run}#7")
    assert result.exit_code == 2 and "there is no candidate '7'; the run has candidates 1 to 1" in result.output


def test_what_is_told_of_a_loss_of_more_than_the_margin_names_the_section_and_the_share():
    told = " ".join(call("apo_down").output.split())
    assert (
        "on the log-ratio of each completion. All lines above are for log-ratios of rho / 2 (chosen) and -rho / 2 (rejected)"
        in told
    )
    assert re.search(
        r"a gradient step lowers the margin at \d+ % of all pairs of log-ratios from -60 to 60 nats; it lowers the probability "
        r"of the chosen completion at \d+ %, and raises that of the rejected one at 0 %",
        told,
    )
    told = " ".join(call("pfl_found", "--reach", "2").output.split())
    assert "All lines above are for a reference that finds both completions equally probable" in told
    assert "of all combinations of rho and the reference's lead from -40 to 40 nats" in told


def test_pairs_are_counted_where_the_loss_rises(tmp_path):
    (tmp_path / "known.py").write_text(TASK, "utf-8")
    config = tmp_path / "c.yaml"
    config.write_text("task: known.py:Known\nworkers: 1\n", "utf-8")
    result = call("lrml", "exponential", "ipo", "sft", "--pairs", str(config), "--seeds", "2")
    assert result.exit_code == 0, result.output
    table = {line.split()[0]: line for line in result.output.splitlines() if "%" not in line and "0.05  2" in line}
    assert "8 trainings on the task" in result.output and "not recorded" in result.output
    # of the eight margins three lie between the optima -2.3714 and 1.44012, one of each seed is beyond 120, the median is 1.45
    assert " ".join(table["lrml"].split()) == "lrml 0.05 2 8 37.50 ± 0.00 37.50 ± 0.00 25.00 ± 0.00 1.450 ± 0.000 2"
    assert "0.00 ± 0.00" in table["ipo"] and "12.50 ± 0.00" in table["ipo"], "one lies beyond the target margin"
    assert "37.50" not in table["sft"], "no function of rho alone"
    assert "exponential  0.05  0             failed: diverged: the loss became infinite" in " ".join(
        result.output.split("\n")
    )


def test_what_only_an_archive_names_is_not_used(run):
    """Here a folder; the remedy is an option of this command."""
    result = call("dpo", "--pairs", str(run))
    assert result.exit_code == 2 and "is not used as long as only the archive names it" in result.output
    assert "--pairs FILE.yaml" in result.output and "--config" not in result.output


@pytest.mark.parametrize("world", ("classic", "unfamiliar"))
def test_the_task_of_a_run_is_made_as_it_was_recorded(tmp_path, world):
    """Also if the run has a word of the task's own that is not the default, as every new run has."""
    settings = {"task": "sentiment", "seed": 7, "fitness": {"world": world, "pairs": 64, "beta": 0.2}}
    wanted = trainings_of(make_run(tmp_path / "run", settings), ("workers=1",), "short", 2)
    assert (wanted.info.beta, wanted.config.fitness["pairs"], wanted.rung, len(wanted.seeds)) == (0.2, 64, "short", 2)
    with pytest.raises(RunDirError, match=r"as in the run in .*: fitness\.pairs would change"):
        trainings_of(tmp_path / "run", ("fitness.pairs=128",), None, 2)


def test_a_task_with_a_paid_judge_is_refused(tmp_path):
    config = tmp_path / "c.yaml"
    judge = "{by: judge, model: m, base_url: http://localhost:1/v1}"
    config.write_text(f"task: preference\nfitness: {{model: m, data: d, evaluation: {judge}}}\n", "utf-8")
    result = call("dpo", "--pairs", str(config))
    assert result.exit_code == 2 and "a judge scores this task's trainings" in result.output, result.output


def test_a_task_without_pairs_is_refused_before_training(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("task: classification\n", "utf-8")
    result = call("focal", "--pairs", str(config))
    assert result.exit_code == 2 and "gives no margins of training pairs" in result.output


def test_the_seeds_are_the_first_of_the_search(tmp_path):
    from evo.search.population import Population

    config = tmp_path / "c.yaml"
    config.write_text("task: sentiment\nseed: 5\nworkers: 1\n", "utf-8")
    wanted = trainings_of(config, (), None, 3)
    assert wanted.seeds == Population(wanted.config, wanted.info, 1).seeds.search[:3] and wanted.rung == "full"


def test_shares_have_open_and_closed_ends():
    from analysis.plots.landscape.features import Interval

    margins = [-3.0, -1.0, 0.0, 1.0, 2.0]
    assert share_within(margins, [Interval(-1.0, 1.0, False, False)]) == pytest.approx(0.2)
    assert share_within(margins, [Interval(-9.0, 0.5, True, False), Interval(1.5, 2.0, False, True)]) == pytest.approx(
        0.8
    )
    assert math.isclose(share_within(margins, []), 0.0)
