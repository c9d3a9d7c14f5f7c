"""The classification task: trainings on the digits, reproducibility, and refusals."""

import pytest

from fitness.classification.task import ClassificationTask, Options, make
from fitness.task import EvaluationFailed, FailureReason, TaskError, make_task, task_info
from fitness.training.curves import CurveRecorder
from sandbox import known
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import make_node

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

QUICK = {"epochs": 4, "short_epochs": 1}


def classification_graph(*nodes: tuple[str, tuple[int, ...]]) -> LossGraph:
    """A graph whose nodes 0 and 1 are logits and targets, followed by (op, operands)."""
    made = [make_node("input", (), {"name": name}) for name in ("logits", "targets")]
    made += [make_node(op, operands) for op, operands in nodes]
    return LossGraph.from_nodes("classification", made, len(made) - 1)


@pytest.fixture(scope="module")
def task() -> ClassificationTask:
    made = make(Options())
    made.prepare()
    return made


def test_the_published_losses_learn_the_digits(task):
    for name in known.names("classification"):
        result = task.score_seed(known.graph(name), "full", 0)
        assert result.fitness == result.metrics["accuracy"] > 0.6, name
        assert 0 <= result.metrics["train_accuracy_noisy"] <= 1, name


def test_robust_losses_beat_cross_entropy_on_noisy_labels(task):
    """Zhang & Sabuncu 2018: mean squared error and GCE resist label noise that cross-entropy memorises."""
    mean = {
        name: sum(task.score_seed(known.graph(name), "full", seed).fitness for seed in range(4)) / 4
        for name in ("cross_entropy", "mse", "gce")
    }
    assert mean["mse"] > mean["cross_entropy"] and mean["gce"] > mean["cross_entropy"], mean


def test_a_seed_determines_the_result(task):
    first, again, other = (task.score_seed(known.graph("mse"), "short", seed) for seed in (3, 3, 4))
    assert first.fitness == again.fitness and dict(first.metrics) == dict(again.metrics)
    assert dict(first.metrics) != dict(other.metrics)
    assert (first.seed, first.steps) == (3, task.rungs["short"].steps)


def test_the_result_does_not_depend_on_what_was_trained_before(task):
    fresh = make(Options())
    assert (
        task.score_seed(known.graph("focal"), "short", 1).metrics
        == fresh.score_seed(known.graph("focal"), "short", 1).metrics
    )


def test_training_labels_are_flipped_at_the_stated_rate_and_measured_on_clean_ones(task):
    """A network that fits noisy labels agrees less with clean ones; without noise both rates are equal."""
    noisy = task.score_seed(known.graph("cross_entropy"), "full", 0).metrics
    clean = make(Options(label_noise=0.0)).score_seed(known.graph("cross_entropy"), "full", 0).metrics
    assert clean["train_accuracy_clean"] == clean["train_accuracy_noisy"]
    assert noisy["train_accuracy_noisy"] < noisy["train_accuracy_clean"] < clean["train_accuracy_clean"]


def test_the_held_out_rung_trains_another_network_on_other_items(task):
    full, transfer = (task.score_seed(known.graph("mse"), rung, 0) for rung in ("full", "held_out"))
    assert full.metrics != transfer.metrics
    assert transfer.fitness > 0.8
    assert task.rungs["held_out"].held_out and not task.rungs["full"].held_out


def test_every_image_is_an_item_with_the_same_name_for_all_seeds(task):
    first, second = (task.score_seed(known.graph("mse"), "held_out", seed) for seed in (0, 1))
    assert first.items.groups == second.items.groups
    assert len(set(first.items.groups)) == len(task._runner.test_items)
    assert first.items.mean == pytest.approx(first.fitness, abs=1e-12)
    assert set(first.items.values) == {0.0, 1.0}
    searched = [task.score_seed(known.graph("mse"), "short", seed).items for seed in (0, 1)]
    assert 0 < len(set(searched[0].groups) & set(searched[1].groups)) < len(searched[0].groups)


def test_the_held_out_items_are_never_searched_on(task):
    searched, kept = (
        {tuple(row) for row in part.inputs.tolist()} for part in (task._runner.search_items, task._runner.test_items)
    )
    assert not searched & kept


def test_a_loss_that_diverges_fails_with_its_step(task):
    nan = classification_graph(("cross_entropy", (0, 1)), ("sub", (2, 2)), ("div", (3, 3)))
    with pytest.raises(EvaluationFailed) as failure:
        task.score_seed(nan, "short", 0)
    assert failure.value.reason is FailureReason.DIVERGED and "step 1 of" in failure.value.detail
    assert [step for step, _ in failure.value.curves["loss"]] == [1]


def test_curves_hold_loss_and_margin(task):
    result = task.score_seed(known.graph("cross_entropy"), "full", 0)
    assert set(result.curves) == {"loss", "margin"}
    for points in result.curves.values():
        assert (len(points), points[0][0], points[-1][0]) == (min(50, result.steps), 1, result.steps)
    assert result.curves["loss"][-1][1] == result.metrics["train_loss"]
    assert result.curves["margin"][-1][1] > 1.0 > result.curves["margin"][0][1]


def test_a_loss_that_overflows_in_training_fails_early(task):
    with pytest.raises(EvaluationFailed) as failure:
        make(Options(learning_rate=1e30)).score_seed(known.graph("cross_entropy"), "full", 0)
    assert failure.value.reason is FailureReason.DIVERGED


def test_a_preference_loss_is_refused(task):
    with pytest.raises(EvaluationFailed, match="expected a 'classification' loss, got 'preference'"):
        task.score_seed(known.graph("dpo"), "short", 0)


def test_a_beta_is_refused(task):
    with pytest.raises(EvaluationFailed, match="no beta"):
        task.score_seed(known.graph("mse"), "short", 0, beta=0.1)


def test_a_last_batch_of_one_item_is_never_formed():
    options = Options(train_items=65, batch_size=64, epochs=3, short_epochs=1)
    assert options.steps_per_epoch == 1
    seen = []
    task = make(options)
    task.prepare()

    def loss(logits, targets):
        seen.append(len(targets))
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none")

    items = task._runner.search_items
    network = torch.nn.Linear(64, 10)
    task._runner._train(
        network,
        loss,
        items.inputs[:65],
        items.classes[:65],
        3,
        0.005,
        torch.Generator().manual_seed(0),
        CurveRecorder(),
    )
    assert seen == [64, 64, 64]


def test_too_many_training_items_are_refused():
    with pytest.raises(EvaluationFailed, match="train_items must be below") as failure:
        make(Options(train_items=100_000)).prepare()
    assert failure.value.reason is FailureReason.BAD_DATA


def test_unknown_options_and_rungs_fail_clearly():
    with pytest.raises(TaskError, match="Known there: augment, batch_size, data_dir, dataset"):
        make_task("classification", {"epoch": 3})
    with pytest.raises(TaskError, match="it has: short, full, held_out"):
        task_info("classification").rung("longer")


def test_rungs_cost_more_the_higher_they_are():
    info = task_info("classification", QUICK)
    costs = [rung.estimated_seconds for rung in info.search_rungs]
    assert costs == sorted(costs) and [r.name for r in info.search_rungs] == ["short", "full"]
    assert list(info.rungs)[-1] == "held_out"
