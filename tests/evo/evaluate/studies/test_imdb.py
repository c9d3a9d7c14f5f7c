"""`--on imdb`: a real sweep of the embedded task, what it records, and what a second one does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaForSequenceClassification

sys.path.insert(0, str(Path(__file__).parents[3] / "fitness" / "preference"))
from test_preference import pairs, save_model, save_tokenizer, tiny_config

from analysis.benchmarks.imdb import BENCHMARK, sweeps, tables
from analysis.benchmarks.results import Rows, text_of
from archive.query import Reader
from archive.records import EvaluationState, EventKind, RunRow
from archive.store import Archive
from evo.baselines.compared_losses import compared_losses
from evo.config.schema import parse_config
from evo.evaluate.studies.imdb import Imdb, Sweep
from evo.evaluate.studies.study import StudyRun, study_named
from fitness.benchmarks.imdb.options import BETAS, ImdbOptions
from fitness.task import TaskError, task_info

# A policy with a low beta moves further than the limit on KL within sixteen steps, and counts as collapsed.
FITNESS = {"world": "classic", "pairs": 64, "epochs": 4, "samples": 64, "kl_limit": 1.3}
CONFIG = parse_config({"task": "sentiment", "workers": 1, "fitness": FITNESS})
OPTIONS = ImdbOptions(betas=(0.01, 1.0, 5.0), sampling_seeds=2)


@contextmanager
def study(
    folder: Path, said: list[str], config: Any = CONFIG, options: ImdbOptions = OPTIONS, **changes: Any
) -> Iterator[StudyRun]:
    info, path = task_info(config.task, config.fitness), folder / "archive.db"
    row = RunRow("evaluate", 0, config.task, info.contract, baseline="dpo")
    losses = compared_losses("preference", ["dpo", "sft"])
    with Archive.open(path) if path.exists() else Archive.create(path, row) as archive, Reader.open(path) as reader:
        given = {"losses": losses, "seeds": (11,), "policies": ()} | changes
        yield StudyRun(
            config, info, options, archive=archive, reader=reader, directory=folder, say=said.append, **given
        )


def rows(reader: Reader) -> Rows:
    return Rows(tuple(reader.policies()), tuple(reader.answers(BENCHMARK)), ())


def options(**changes: Any) -> ImdbOptions:
    return OPTIONS.model_copy(update=changes)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A sweep that was begun with one loss and one beta."""
    folder, said = tmp_path_factory.mktemp("sweep"), []
    with study(folder, said, losses=compared_losses("preference", ["dpo"]), options=options(betas=(1.0,))) as run:
        Imdb().run(run)
    said.clear()
    with study(folder, said) as run:
        Imdb().run(run)
    return folder, said


def test_the_study_is_the_registered_one():
    assert isinstance(study_named("imdb"), Imdb)


def test_every_loss_is_trained_with_every_beta_and_a_loss_without_beta_once(swept):
    folder, said = swept
    with Reader.open(folder / "archive.db") as reader:
        done = {(e.candidate_id, e.beta, e.seed, e.rung) for e in reader.evaluations() if e.finished_event}
        assert done == {(1, beta, 11, "held_out") for beta in OPTIONS.betas} | {(2, None, 11, "held_out")}
    assert said[0].startswith("imdb: 2 losses, 3 betas, 1 training seed, 2 sampling seeds: 3 trainings to do of 4")


def test_reward_and_distance_fall_with_beta_and_a_collapse_is_shown(swept):
    with Reader.open(swept[0] / "archive.db") as reader:
        dpo, sft = sweeps(rows(reader))
        text = "\n".join(map(text_of, tables(rows(reader))))
    assert next(arm.state for arm in dpo.arms) == "failed 1 of 1: collapsed"
    one, five = dpo.arms[1:]
    assert one.mean("kl_per_token")[0] > five.mean("kl_per_token")[0] > 0
    assert one.mean("reward")[1] > 0, "the error over the sampling seeds"
    assert sft.arms[0].beta is None
    assert "failed 1 of 1: collapsed" in text


def test_a_second_one_trains_nothing_and_records_nothing_twice(swept):
    folder, _ = swept
    said: list[str] = []
    with study(folder, said) as run:
        before = [(e.id, e.attempts) for e in run.reader.evaluations()], len(run.reader.policies())
        Imdb().run(run)
        assert ([(e.id, e.attempts) for e in run.reader.evaluations()], len(run.reader.policies())) == before
        assert len(run.reader.answers(BENCHMARK)) == len(run.reader.policies()) == 4
    assert "0 trainings to do of 4" in said[0]


def test_a_further_beta_trains_only_what_is_new(swept):
    with study(swept[0], [], options=options(betas=(*OPTIONS.betas, 2.5))) as run:
        sweep = Sweep.of(run)
        assert len(sweep.jobs()) - len(sweep.finished()) == 1


def test_results_of_other_sampling_seeds_are_not_taken_for_its_own(swept):
    with (
        study(swept[0], [], options=options(sampling_seeds=3)) as run,
        pytest.raises(TaskError, match="holds a sweep with sampling_seeds 2, this one has 3: choose another --dir"),
    ):
        Imdb().run(run)


def test_what_an_earlier_session_trained_is_not_trained_again(swept):
    with Reader.open(swept[0] / "archive.db") as reader:
        first = reader.evaluations(state=EvaluationState.SCORED)[0]
        begun = [event.id for event in reader.events(kind=EventKind.SWEEP)]
    assert (first.beta, first.attempts) == (1.0, 1)
    assert begun[0] < first.finished_event < begun[1]


def test_the_published_form_of_the_data_with_a_classifier_on_a_small_model(tmp_path):
    """All pairs have one prompt of two words, two responses and the number of the chosen one."""
    save_model(tmp_path / "model")
    save_tokenizer(tmp_path / "classifier")
    LlamaForSequenceClassification(tiny_config(num_labels=2)).save_pretrained(tmp_path / "classifier")
    data = [
        {"prompt": "w1 w2", "responses": [row["rejected"], row["chosen"]], "chosen": 1}
        if number % 2
        else {"prompt": "w1 w2", "responses": [row["chosen"], row["rejected"]], "chosen": 0}
        for number, row in enumerate(pairs())
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data), "utf-8")
    fitness = {
        "model": str(tmp_path / "model"), "data": str(tmp_path / "data.jsonl"), "cache": str(tmp_path / "cache"),
        "split_by": "pair", "test_fraction": 0.4, "pairs": 32, "batch_size": 8, "max_length": 32, "learning_rate": 5e-3,
        "evaluation": {
            "by": "reward_model", "model": str(tmp_path / "classifier"), "label": 1, "reward": "probability", "prompts": 12,
            "max_new_tokens": 8, "temperature": 1.0,
        },
    }  # fmt: skip
    config = parse_config({"task": "preference", "workers": 1, "fitness": fitness})
    said: list[str] = []
    one = compared_losses("preference", ["dpo"])
    with study(tmp_path, said, config, OPTIONS.model_copy(update={"betas": (0.1, 2.0)}), losses=one) as run:
        assert Imdb().check(run.options, config, run.info) == []
        Imdb().run(run)
        (dpo,) = sweeps(rows(run.reader))
    assert any("24 of 24 test pairs have the prompt of a training pair" in line for line in said)
    assert [arm.beta for arm in dpo.points] == [0.1, 2.0]
    assert all(0 < arm.mean("reward")[0] < 1 and arm.mean("reward")[1] for arm in dpo.points)
    assert all(arm.mean("kl_per_token")[0] > 0 for arm in dpo.points)


@pytest.mark.parametrize(
    ("task", "fitness", "changes", "told"),
    [
        ("sentiment", {}, {"rung": "x"}, "task 'sentiment' has no rung 'x'"),
        ("classification", {}, {"sampling_seeds": 1}, "no beta to sweep over"),
        (
            "preference",
            {"model": "m", "data": "d.jsonl"},
            {"sampling_seeds": 1},
            "measures no reward of sampled answers",
        ),
        (
            "preference",
            {"model": "m", "data": "d.jsonl"},
            {},
            "sampling_seeds above 1 needs an evaluation by reward_model or vader",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused_before_it_begins(task, fitness, changes, told):
    config = parse_config({"task": task, "fitness": fitness})
    info = task_info(config.task, config.fitness)
    assert any(told in fault for fault in Imdb().check(options(**changes), config, info))


def test_the_usual_grid_is_the_papers():
    assert ImdbOptions().betas == BETAS == (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
    assert ImdbOptions(betas=(1, 0.1, 1)).betas == (0.1, 1.0)
    with pytest.raises(ValueError, match="expected positive betas"):
        ImdbOptions(betas=(0.0, 1.0))
