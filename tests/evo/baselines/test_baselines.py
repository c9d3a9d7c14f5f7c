"""The known losses of a task, tuned alike: which beta is chosen, what is trained, what a second call does."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from instant import install

from analysis.snapshot import CAUTION
from archive.query import Reader
from archive.records import CandidateRow, EvaluationRow, EvaluationState, Origin
from evo.baselines.compared_losses import compared_losses
from evo.baselines.design import Design, Row, chosen_beta, design
from evo.baselines.measure import run_baselines
from evo.baselines.picture import check_picture, write_picture
from evo.baselines.table import table
from evo.campaign.training import TaskUnusable
from evo.config.schema import parse_config
from fitness.task import TaskError, task_info
from sandbox import known

pytest.importorskip("torch")
pytest.importorskip("sklearn")

QUICK = {"train_items": 200, "epochs": 2, "short_epochs": 1}
CONFIG = parse_config({"task": "classification", "workers": 1, "fitness": QUICK})
INFO = task_info("classification", QUICK)
ALL = compared_losses("classification")
SENTIMENT = parse_config({"task": "sentiment"})


def evaluation(seed, fitness, beta=None, **metrics):
    state = EvaluationState.SCORED if fitness is not None else EvaluationState.FAILED
    return EvaluationRow(
        id=seed, candidate_id=1, task="toy", rung="full", seed=seed, beta=beta, learning_rate=None, state=state, fitness=fitness,
        metrics=metrics, seconds=1.0, tokens=1, attempts=1, reason=None if fitness is not None else "diverged", detail=None,
        queued_event=1, finished_event=2,
    )  # fmt: skip


# ---- the design ------------------------------------------------------------------------------------------------------


def test_every_known_loss_gets_the_same_grid_and_seeds():
    wanted = design(SENTIMENT, task_info("sentiment"), compared_losses("preference"), seeds=8, tuning_seeds=2)
    assert {loss.name for loss in wanted.losses} == set(known.names("preference"))
    tuned = [loss for loss in wanted.losses if len(wanted.arms(loss.graph)) > 1]
    assert all(wanted.arms(loss.graph) == wanted.betas for loss in tuned)
    assert wanted.trainings() == 8 * len(wanted.losses) + 2 * 6 * len(tuned)


def test_the_baseline_comes_first():
    assert compared_losses("preference")[0].name == "dpo"
    assert compared_losses("preference", ["slic", "dpo"])[0].name == "dpo"
    assert ALL[0].name == "cross_entropy"


def test_tuning_and_measuring_share_no_seed():
    wanted = design(SENTIMENT, task_info("sentiment"), compared_losses("preference"), seeds=64, tuning_seeds=64)
    assert not set(wanted.seeds) & set(wanted.tuning_seeds)


def test_nobody_can_foresee_the_seeds_that_measure():
    first, second = (design(SENTIMENT, task_info("sentiment"), compared_losses("preference")) for _ in range(2))
    assert first.tuning_seeds == second.tuning_seeds
    assert not set(first.seeds) & set(second.seeds)


def test_a_loss_that_reads_no_beta_is_not_trained_again_and_again():
    wanted = design(SENTIMENT, task_info("sentiment"), compared_losses("preference"))
    assert wanted.arms(known.graph("sft")) == (None,)
    assert wanted.arms(known.graph("dpo")) == wanted.betas


def test_a_task_without_beta_has_no_grid():
    assert design(CONFIG, INFO, ALL).betas == ()


def test_a_rung_that_does_not_exist_is_named():
    with pytest.raises(TaskError, match="has no rung 'x'"):
        design(CONFIG, INFO, ALL, rung="x")


# ---- who takes part --------------------------------------------------------------------------------------------------


MINE = """
def loss(logits, targets):
    p = F.softmax(logits, dim=-1)
    true = p.gather(1, targets.unsqueeze(1)).squeeze(1)
    return 1.3 * (1 - true) ** 2
"""


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MINE, "utf-8")
    return file


def test_a_loss_in_a_file_meets_the_baseline_alone(mine):
    baseline, own = compared_losses("classification", [str(mine)])
    assert (baseline.name, baseline.own) == ("cross_entropy", False)
    assert (own.name, own.own, own.source) == ("mine", True, MINE)
    assert own.graph.contract == "classification"


def test_published_losses_that_are_named_join_in(mine):
    found = compared_losses("classification", [str(mine), "focal"])
    assert [loss.name for loss in found] == ["cross_entropy", "focal", "mine"]


def test_a_loss_that_the_sandbox_refuses_is_never_trained(tmp_path):
    file = tmp_path / "evil.py"
    file.write_text("import os\ndef loss(logits, targets):\n    return logits.sum(1)\n", "utf-8")
    with pytest.raises(TaskError, match=r"the sandbox refuses .*evil\.py: SBX\d+"):
        compared_losses("classification", [str(file)])


@pytest.mark.parametrize(
    "losses, told",
    [
        (
            ["dpo"],
            "'dpo' is neither a known classification loss nor a file NAME.py; known losses: cross_entropy, focal",
        ),
        (["missing.py"], "cannot read the loss in missing.py: No such file"),
    ],
)
def test_what_does_not_exist_is_named(losses, told):
    with pytest.raises(TaskError, match=told):
        compared_losses("classification", losses)


@pytest.mark.parametrize("given", [{"losses": ["pfl"]}, {"baseline": "pfl"}])
def test_a_name_that_two_published_versions_share_is_refused_with_both(given):
    with pytest.raises(TaskError, match=r"'pfl' was published in two versions: pfl_found .* pfl_repository"):
        compared_losses("preference", **given)


def test_a_file_cannot_pass_for_a_published_loss(mine):
    with pytest.raises(TaskError, match="two losses are called 'focal'"):
        compared_losses("classification", [str(mine.rename(mine.with_name("focal.py")))])


def test_a_candidate_of_a_run_takes_part_under_its_name_and_number(done):
    folder, _, _ = done
    with Reader.open(folder / "archive.db") as reader:
        row = next(c for c in reader.candidates() if c.name == "mse")
    own = compared_losses("classification", candidates=[(folder, row.id)])[1]
    assert (own.name, own.graph) == (f"mse#{row.id}", known.graph("mse"))


@pytest.mark.parametrize(
    "contract, number, told",
    [("classification", 99, "has no candidate 99"), ("preference", 1, "is a classification loss")],
)
def test_a_candidate_that_cannot_take_part_is_named(done, contract, number, told):
    with pytest.raises(TaskError, match=told):
        compared_losses(contract, candidates=[(done[0], number)])


def test_scores_of_another_loss_are_not_taken_for_those_of_a_namesake(mine, instant, tmp_path):
    run_baselines(instant, instantly(instant, [str(mine)], seeds=1), tmp_path / "run", print)
    mine.write_text(MINE.replace("1.3", "1.4"), "utf-8")
    with pytest.raises(TaskError, match="scores of another loss called 'mine'"):
        run_baselines(instant, instantly(instant, [str(mine)], seeds=1), tmp_path / "run", print)


# ---- the choice of beta ----------------------------------------------------------------------------------------------


def test_the_beta_with_the_best_mean_is_chosen():
    tuning = {0.1: [evaluation(1, 0.5), evaluation(2, 0.7)], 0.5: [evaluation(1, 0.9), evaluation(2, 0.1)]}
    assert chosen_beta(tuning) == (True, 0.1)


def test_a_beta_that_failed_on_any_seed_is_not_chosen():
    tuning = {0.1: [evaluation(1, 0.5)], 0.5: [evaluation(1, 0.9), evaluation(2, None)]}
    assert chosen_beta(tuning) == (True, 0.1)


def test_no_beta_is_chosen_where_all_failed():
    assert chosen_beta({0.1: [evaluation(1, None)], 0.5: []}) == (False, None)


# ---- training and the table ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instant(tmp_path_factory):
    """A configuration of the task that trains nothing, for losses of classification."""
    folder = tmp_path_factory.mktemp("instant")
    with pytest.MonkeyPatch.context() as patch:
        install(folder / "site", patch)
        fitness = {"folder": str(folder), "contract": "classification"}
        yield parse_config({"task": "instant", "workers": 1, "fitness": fitness})


def instantly(config, losses, seeds):
    """The design of such a run."""
    return design(
        config, task_info(config.task, config.fitness), compared_losses("classification", losses), seeds=seeds
    )


@pytest.fixture(scope="module")
def done(instant, tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("baselines") / "run", []
    wanted = instantly(instant, ["cross_entropy", "mse", "focal"], seeds=3)
    run_baselines(instant, wanted, folder, said.append)
    return folder, wanted, "\n".join(said)


def test_all_is_kept_in_an_archive(done):
    folder, wanted, _ = done
    with Reader.open(folder / "archive.db") as reader:
        scored = reader.evaluations(state=EvaluationState.SCORED)
        assert {(e.seed, e.rung) for e in scored} == {(s, "full") for s in wanted.seeds}
        assert len(scored) == len(reader.evaluations()) == 9
        assert [v.status for v in reader.verdicts()] == ["accepted"] * 3
        assert not reader.problems()


def test_the_table_names_means_errors_and_differences(done):
    _, _, said = done
    lines = said.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("loss "))
    assert "minus cross_entropy" in lines[head]
    assert {line.split()[0] for line in lines[head + 1 :]} == {"cross_entropy", "mse", "focal"}
    assert all("±" in line for line in lines[head + 1 :])
    assert "Minimum detectable difference to cross_entropy" in said


def test_a_baseline_that_always_fails_ends_the_command_and_is_trained_again_by_the_same(instant, tmp_path):
    wanted = instantly(instant, ["mse"], seeds=2)
    too_short = instant.model_copy(update={"timeout_seconds": 0.01})
    hold = Path(instant.fitness["folder"]) / "hold"
    hold.touch()
    with pytest.raises(
        TaskUnusable, match=r"every training of cross_entropy failed at rung full \(timeout\).*raise timeout"
    ):
        run_baselines(too_short, wanted, tmp_path, lambda _: None)
    hold.unlink()
    with Reader.open(tmp_path / "archive.db") as reader:
        assert not reader.evaluations(state=EvaluationState.FAILED)
    assert [len(row.measured) for row in run_baselines(instant, wanted, tmp_path, lambda _: None)] == [2, 2]


def test_the_same_command_again_trains_nothing(done, instant):
    folder, wanted, _ = done
    with Reader.open(folder / "archive.db") as reader:
        before = [(e.id, e.attempts, e.finished_event) for e in reader.evaluations()]
    said = []
    run_baselines(instant, wanted, folder, said.append)
    with Reader.open(folder / "archive.db") as reader:
        assert [(e.id, e.attempts, e.finished_event) for e in reader.evaluations()] == before
    assert said[-1].startswith("Rung full")


def test_more_seeds_train_only_the_new_ones(done, instant, tmp_path):
    before, wanted, _ = done
    folder = Path(shutil.copytree(before, tmp_path / "run"))
    more = dataclasses.replace(wanted, seeds=design(CONFIG, INFO, ALL, seeds=4).seeds)
    found = run_baselines(instant, more, folder, lambda _: None)
    with Reader.open(folder / "archive.db") as reader:
        assert len(reader.evaluations()) == 12
        recorded = [event.payload["seeds"] for event in reader.events(kind="final")]
    assert [len(row.measured) for row in found] == [4, 4, 4]
    assert set(wanted.seeds) == set(recorded[0]) < set(recorded[-1]), "the seeds are those that were there first"


def test_a_killed_command_continues(tmp_path):
    command = [
        sys.executable, "-m", "evo", "baselines", "--task", "classification", "--dir", str(tmp_path / "run"), "--workers", "1",
        "--loss", "cross_entropy", "--loss", "mse", "--seeds", "6",
        *(f"--set=fitness.{key}={value}" for key, value in QUICK.items()),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and _scored(tmp_path / "run" / "archive.db") < 2:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert _scored(tmp_path / "run" / "archive.db") == 12
    assert "mse" in result.stdout


def _scored(path):
    if not path.exists():
        return 0
    with Reader.open(path) as reader:
        return len(reader.evaluations(state=EvaluationState.SCORED))


@pytest.fixture
def grid():
    """Two betas of one loss on two tuning and two fresh seeds."""
    tuning = {
        0.1: [evaluation(s, 0.6, 0.1, reward=0.8, kl_per_sequence=4.0) for s in (1, 2)],
        0.5: [evaluation(s, 0.7, 0.5, reward=0.75, kl_per_sequence=2.0) for s in (1, 2)],
    }
    measured = [evaluation(s, 0.7 + 0.01 * s, 0.5, reward=0.75, kl_per_sequence=2.0) for s in (3, 4)]
    candidate = CandidateRow(1, None, Origin.SEED, "dpo", "", "", "preference", 1, "")
    return [Row(candidate, 0.5, tuning, measured)], Design(
        compared_losses("preference", ["dpo"]), "full", (0.1, 0.5), (1, 2), (3, 4)
    )


def test_a_grid_is_summarised_over_beta(grid):
    """Frontier, regret and width are those of the tuning rows."""
    line = table(grid[0], task_info("sentiment"), grid[1]).splitlines()[-1]
    # (0 * 2 + 0.75 * 2 + 0.8 * 1) / 5
    assert line.split()[-7:] == ["0.460", "±", "0.000", "0.050", "±", "0.000", "0.0"]


@pytest.mark.parametrize("caution", ["", CAUTION])
def test_no_claim_is_made_of_a_loss_that_knows_single_pairs(caution):
    def row(number, name, lift, **more):
        candidate = CandidateRow(number, None, Origin.SEED, name, "", "", "preference", 1, "")
        return Row(candidate, None, {}, [evaluation(s, 0.5 + lift + 0.01 * s) for s in range(6)], **more)

    wanted = Design(compared_losses("preference", ["dpo"]), "full", (), (), tuple(range(6)))
    found = [row(1, "dpo", 0.0), row(2, "mine", 0.3, caution=caution)]
    found[1].measured[0] = evaluation(0, 0.81)
    (line,) = [line for line in table(found, task_info("sentiment"), wanted).splitlines() if line.startswith("mine")]
    assert (" *" in line) == (not caution)
    assert caution in line


@pytest.mark.parametrize("name, begins", [("frontier.svg", b"<svg"), ("deep/frontier.png", b"\x89PNG")])
def test_a_grid_is_drawn(grid, name, begins, tmp_path):
    pytest.importorskip("matplotlib")
    found, wanted = grid
    (tmp_path / name).parent.mkdir(exist_ok=True)
    check_picture(tmp_path / name, task_info("sentiment"), wanted)
    write_picture(tmp_path / name, found, wanted)
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(begins)
    if name.endswith(".svg"):
        assert b"dpo" in drawn and b"0.1" in drawn and b"KL(policy || reference)" in drawn


@pytest.mark.parametrize(
    "name, told", [("frontier.jpg", "ends in .svg or .png"), ("frontier.svg", "classification has none")]
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_trained(name, told, tmp_path):
    with pytest.raises(TaskError, match=told):
        check_picture(tmp_path / name, INFO, design(CONFIG, INFO, ALL))
