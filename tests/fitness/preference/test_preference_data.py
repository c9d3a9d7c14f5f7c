"""The preference task when files change, processes die, or data are invalid."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

from evo.config.schema import load_config
from fitness.preference import runner as preference_lab
from fitness.preference.options import JudgeEvaluation, Options, RewardModelEvaluation
from fitness.preference.pairs.digests import path_digest
from fitness.preference.runner import PreferenceRunner
from fitness.score import EvaluationFailed, FailureReason
from fitness.task import TaskError, check_task, make_task, task_info
from fitness.training.checkpoints import newest_whole
from fitness.training.trainer import GraphDPOTrainer
from sandbox.known import graph

sys.path.insert(0, str(Path(__file__).parent))
from test_preference import (
    CHAT_TEMPLATE,
    ROOT,
    Fault,
    LoopbackLLM,
    as_turns,
    implicit,
    judge_options,
    options_in,
    pairs,
    prepared,
    refused,
    save_model,
    save_pairs,
    tiny_config,
)

Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Holds `model` and `data.jsonl`, and the cache of the tests that bring none of their own."""
    folder = tmp_path_factory.mktemp("preference-data")
    save_model(folder / "model")
    save_pairs(folder / "data.jsonl", pairs())
    return folder


@pytest.fixture
def options(folder: Path) -> Make:
    return options_in(folder)


# --- what the reference cache and the identity follow ---


def save_weights(folder: Path, seed: int) -> None:
    """More than 1 MiB of them, the same size whatever the seed."""
    torch.manual_seed(seed)
    config = tiny_config()
    config.intermediate_size = 8192
    LlamaForCausalLM(config).save_pretrained(folder)


def untrained_margin(options: dict[str, Any]) -> float:
    """Exactly 0 where the reference is the model that is trained, computed in the same way."""
    return prepared(options | {"learning_rate": 1e-12}).score_seed(graph("dpo"), "short", 0).metrics["margin"]


def test_retrained_weights_of_the_same_size_are_another_model(options, tmp_path):
    model = save_model(tmp_path / "model")
    save_weights(model, 0)
    given = options(model=str(model), cache=str(tmp_path / "cache"))
    digest, identity = path_digest(model), task_info("preference", given).identity
    assert untrained_margin(given) == 0
    save_weights(model, 1)
    assert path_digest(model) != digest
    assert task_info("preference", given).identity != identity
    assert untrained_margin(given) == 0


def test_the_reference_is_computed_as_the_policy_is(options, tmp_path):
    cache = tmp_path / "cache"
    for number, changes in enumerate(({"precision": "bfloat16"}, {"precision": "float32"}, {"attention": "eager"}), 1):
        assert untrained_margin(options(cache=str(cache), **changes)) == 0
        assert sum(path.is_dir() for path in (cache / "reference").iterdir()) == number


def test_a_home_directory_is_meant_by_a_tilde_everywhere(options, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    save_model(tmp_path / "model")
    data = save_pairs(tmp_path / "data.jsonl", pairs())
    template = tmp_path / "chat.jinja"
    template.write_text(CHAT_TEMPLATE)
    given = options(model="~/model", data="~/data.jsonl", chat_template="~/chat.jinja", cache="~/cache")
    check_task("preference", given)
    info = task_info("preference", given)
    before = info.identity
    assert info.offline
    prepared(given)
    assert (tmp_path / "cache" / "reference").is_dir()
    save_pairs(data, pairs(59))
    changed = task_info("preference", given).identity
    assert changed != before
    template.write_text(CHAT_TEMPLATE + " ")
    assert task_info("preference", given).identity != changed
    reward = {"by": "reward_model", "model": "~/nowhere", "max_new_tokens": 8}
    with pytest.raises(TaskError, match=f"evaluation.model: there is no {tmp_path}/nowhere"):
        check_task("preference", given | {"evaluation": reward})


# --- the size of the test set ---


@pytest.mark.parametrize(
    ("rows", "changes", "most"),
    [(60, {}, 12), (60, {"test_pool": 8}, 4), (31, {"test_fraction": 0.4}, 6), (60, {"test_split": "test"}, None)],
)
def test_what_a_final_is_judged_on_at_most_is_known_before_anything_is_loaded(rows, changes, most, options, tmp_path):
    data = save_pairs(tmp_path / "data.jsonl", pairs(rows))
    assert task_info("preference", options(data=str(data), **changes)).judged == most


def test_prompts_that_finals_are_judged_on_are_counted_once_loaded(options, tmp_path):
    """Three pairs to a prompt: pairs are not what a claim rests on."""
    rows = [row | {"chosen": f"{row['chosen']} w{again}"} for row in pairs(20) for again in range(3)]
    given = options(data=str(save_pairs(tmp_path / "data.jsonl", rows)))
    task = make_task("preference", given)
    assert task.judged is None
    task.prepare()
    held_out = task._runner.data["held_out"]
    assert task.judged == len(held_out) / 3
    assert task.judged < task_info("preference", given).judged


# --- checkpoints ---


@contextmanager
def killed_before_its_measurement() -> Iterator[None]:
    """A training leaves its checkpoints, as if the process had died then."""

    def die(*args: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preference_lab, "pair_scores", die)
        yield


@pytest.fixture
def resumed(monkeypatch) -> list[str | None]:
    """The checkpoints that trainings of this test went on from."""
    found: list[str | None] = []
    search = PreferenceRunner._last_checkpoint

    def spy(self: PreferenceRunner, folder: Path | None) -> str | None:
        found.append(search(self, folder))
        return found[-1]

    monkeypatch.setattr(PreferenceRunner, "_last_checkpoint", spy)
    return found


def test_a_checkpoint_is_not_resumed_with_other_data(options, tmp_path, resumed):
    data = save_pairs(tmp_path / "data.jsonl", pairs())
    given = options(cache=str(tmp_path / "cache"), data=str(data), checkpoint_steps=2)
    with killed_before_its_measurement():
        prepared(given).score_seed(graph("dpo"), "full", 0)
    save_pairs(data, [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in pairs()])
    prepared(given).score_seed(graph("dpo"), "full", 0)
    assert resumed == [None, None]


@pytest.mark.parametrize("name", ["trainer_state.json", "model.safetensors", "optimizer.pt"])
def test_a_training_with_only_cut_off_checkpoints_starts_over(name, options, tmp_path, resumed):
    given = options(cache=str(tmp_path / "cache"), checkpoint_steps=3)
    task = prepared(given)
    with killed_before_its_measurement():
        task.score_seed(graph("dpo"), "full", 0)
    cut_off = list(tmp_path.glob(f"cache/training/*/checkpoint-*/{name}"))
    assert len(cut_off) == 2
    for path in cut_off:
        os.truncate(path, path.stat().st_size // 2)
    again = task.score_seed(graph("dpo"), "full", 0)
    assert resumed == [None, None]
    assert again.metrics == prepared(options()).score_seed(graph("dpo"), "full", 0).metrics


def test_the_newest_complete_checkpoint_is_resumed(options, tmp_path):
    with killed_before_its_measurement():
        prepared(options(cache=str(tmp_path), checkpoint_steps=4)).score_seed(graph("dpo"), "full", 0)
    (training,) = tmp_path.glob("training/*")
    assert newest_whole(training) == str(training / "checkpoint-8")
    os.truncate(training / "checkpoint-8" / "rng_state.pth", 100)
    assert newest_whole(training) == str(training / "checkpoint-4")
    assert not (training / "checkpoint-8").exists()


def test_a_training_that_ran_out_of_memory_goes_on_with_smaller_micro_batches(options, tmp_path, resumed):
    given = options(cache=str(tmp_path), checkpoint_steps=3)
    training = GraphDPOTrainer.training_step

    def full_memory(self: GraphDPOTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 5:
            raise MemoryError
        return training(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(EvaluationFailed, match=r"lower fitness\.micro_batch"):
        patch.setattr(GraphDPOTrainer, "training_step", full_memory)
        prepared(given).score_seed(graph("dpo"), "full", 0)
    result = prepared(given | {"micro_batch": 4}).score_seed(graph("dpo"), "full", 0)
    assert [path and Path(path).name for path in resumed] == [None, "checkpoint-3"]
    whole = prepared(options()).score_seed(graph("dpo"), "full", 0)
    assert result.metrics["margin"] == pytest.approx(whole.metrics["margin"], rel=1e-3)


def test_a_second_process_at_the_same_training_leaves_its_checkpoints_alone(options, tmp_path, monkeypatch):
    given = options(cache=str(tmp_path / "cache"), checkpoint_steps=2)
    first, second = prepared(given), prepared(given)
    measure, results = preference_lab.pair_scores, []

    def meanwhile(*args: Any) -> Any:
        monkeypatch.setattr(preference_lab, "pair_scores", measure)
        before = sorted(tmp_path.glob("cache/training/*/checkpoint-*/*"))
        results.append(second.score_seed(graph("dpo"), "full", 0))
        assert before
        assert sorted(tmp_path.glob("cache/training/*/checkpoint-*/*")) == before
        return measure(*args)

    monkeypatch.setattr(preference_lab, "pair_scores", meanwhile)
    result = first.score_seed(graph("dpo"), "full", 0)
    assert [other.metrics for other in results] == [result.metrics]
    assert not list(tmp_path.glob("cache/training/*"))


def test_a_lock_is_released_when_its_process_is_killed(options, tmp_path, resumed):
    given = options(cache=str(tmp_path), epochs=10, checkpoint_steps=10)
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from fitness.task import make_task; from sandbox.known import graph\n"
        "from fitness.training.trainer import GraphDPOTrainer\n"
        "training = GraphDPOTrainer.training_step\n"
        "def held(self, *args, **kwargs):\n"
        "    if self.state.global_step == 35:\n"
        "        print('held', flush=True)\n"
        "        time.sleep(1000)\n"
        "    return training(self, *args, **kwargs)\n"
        "GraphDPOTrainer.training_step = held\n"
        f"make_task('preference', {given!r}).score_seed(graph('dpo'), 'full', 0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with process:
        assert process.stdout is not None and "held\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGKILL)
    assert prepared(given).score_seed(graph("dpo"), "full", 0).steps == 40
    assert [path and Path(path).name for path in resumed] == ["checkpoint-30"]


def test_checkpoints_are_kept_after_a_judges_outage_and_deleted_after_a_divergence(options, tmp_path):
    given = options(cache=str(tmp_path), checkpoint_steps=1)
    with LoopbackLLM(['{"better": "first"}'], fallback=lambda body, number: Fault.UNAUTHORIZED) as server:
        task = prepared(given | {"evaluation": judge_options(server)})
        with pytest.raises(EvaluationFailed, match="judge"):
            task.score_seed(graph("dpo"), "short", 0)
    assert list(tmp_path.glob("training/*/checkpoint-2"))
    before = sorted(tmp_path.glob("training/*"))
    with pytest.raises(EvaluationFailed) as caught:
        prepared(given).score_seed(graph("dpo"), "short", 0, learning_rate=1e30)
    assert caught.value.reason is FailureReason.DIVERGED
    assert sorted(tmp_path.glob("training/*")) == before


# --- options that no training can be set up with ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "nope"}, "nope is not a valid OptimizerNames.*check fitness.optimizer"),
        ({"optimizer": "paged_adamw_8bit"}, "bitsandbytes.*or choose another fitness.optimizer"),
        (
            {"lora": {"target_modules": ["nope"]}},
            "Target modules {'nope'} not found.*check fitness.optimizer and fitness.lora",
        ),
    ],
)
def test_settings_that_fail_every_training_are_refused_before_the_reference_pass(changes, words, options, tmp_path):
    if "paged" in str(changes) and find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is there")
    with pytest.raises(EvaluationFailed, match=words) as caught:
        prepared(options(cache=str(tmp_path / "cache"), **changes))
    assert caught.value.reason is FailureReason.BAD_DATA
    assert not (tmp_path / "cache").exists()


def test_micro_batches_of_unequal_size_are_refused(options):
    with pytest.raises(TaskError, match=r"pairs 30 is not a multiple of fitness\.micro_batch 4"):
        make_task("preference", options(pairs=30, micro_batch=4))
    make_task("preference", options(pairs=30))


@pytest.mark.parametrize(
    ("ranks", "changes", "words"),
    [
        (2, {"pairs": 30}, "fitness.pairs 30 cannot be divided evenly among 2 processes .* make it a multiple of 8"),
        (3, {}, "fitness.batch_size 8 cannot be divided among 3 processes.* make it a multiple"),
        (
            2,
            {"batch_size": 12, "micro_batch": 4, "pairs": 24},
            "is 6 each, not a multiple of fitness.micro_batch 4.* choose a divisor",
        ),
    ],
)
def test_batches_that_processes_cannot_divide_evenly_are_refused(ranks, changes, words, options):
    runner = PreferenceRunner.__new__(PreferenceRunner)
    runner.options = Options(**options(**changes))
    runner.state = SimpleNamespace(num_processes=ranks)
    with pytest.raises(EvaluationFailed, match=words) as caught:
        runner._batches()
    assert caught.value.reason is FailureReason.BAD_DATA


# --- data ---


def changed(row: int, **changes: Any) -> list[dict[str, Any]]:
    rows = pairs()
    rows[row] |= changes
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (changed(5, prompt=None), "row 6 of the split 'train': column 'prompt' holds a null"),
        (changed(5, chosen=7), r"row 6 of the split 'train': column 'chosen' holds a number or the like \(int\)"),
        (
            [as_turns(row) | {"rejected": [{"role": "assistant", "content": None}]} for row in pairs()],
            "row 1 .*'rejected'",
        ),
        ([*pairs(), as_turns(pairs()[0])], "row 61 .*'chosen' holds a conversation"),
    ],
    ids=["null prompt", "number", "null content", "mixed forms"],
)
def test_a_row_of_another_form_is_named(rows, words, options, tmp_path):
    with pytest.raises(EvaluationFailed, match=words):
        prepared(options(data=str(save_pairs(tmp_path / "data.jsonl", rows))))


@pytest.mark.parametrize("form", ["with prompts", "implicit"])
def test_pairs_with_a_null_completion_are_left_out(form, options, tmp_path):
    rows = pairs() if form == "with prompts" else [implicit(row) for row in pairs()]
    rows[7]["rejected"] = None
    data = save_pairs(tmp_path / "data.jsonl", rows)
    assert sum(map(len, prepared(options(data=str(data)))._runner.data.values())) == 59


def test_a_malformed_file_is_refused_with_what_is_wrong(options, tmp_path):
    data = save_pairs(tmp_path / "data.jsonl", pairs())
    data.write_text(data.read_text() + '{"prompt": "w1", \n')
    detail = refused(options(data=str(data)))
    assert "JSON" in detail
    assert "fix the file" in detail


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('System role not supported') }}", "TemplateError: System role not supported"),
        ("{% for m in %}", "TemplateSyntaxError"),
    ],
)
def test_a_chat_template_that_fails_is_refused_with_its_words(template, words, options, tmp_path):
    data = save_pairs(tmp_path / "data.jsonl", [as_turns(row) for row in pairs()])
    (tmp_path / "chat.jinja").write_text(template)
    detail = refused(options(data=str(data), chat_template=str(tmp_path / "chat.jinja")))
    assert words in detail
    assert "set fitness.chat_template" in detail


def save_splits(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]]) -> str:
    DatasetDict({"train": Dataset.from_list(train), "test": Dataset.from_list(test)}).save_to_disk(folder)
    return str(folder)


def test_no_training_pair_has_the_prompt_of_a_test_pair(options, tmp_path):
    data = prepared(
        options(data=save_splits(tmp_path / "splits", pairs(), pairs()[:20]), test_split="test")
    )._runner.data
    prompts = {name: set(map(str, part["prompt_ids"])) for name, part in data.items()}
    assert {name: len(part) for name, part in data.items()} == {"train": 40, "search": 10, "held_out": 10}
    assert not prompts["train"] & (prompts["search"] | prompts["held_out"])


def test_a_test_split_with_the_training_prompts_is_refused_with_their_number(options, tmp_path):
    detail = refused(options(data=save_splits(tmp_path / "splits", pairs(), pairs()), test_split="test"))
    assert "leaves 0 training pairs (60 more have the prompt of a test pair)" in detail
    assert "another fitness.test_split" in detail


def test_data_with_one_prompt_is_refused_with_the_cause(options, tmp_path):
    rows = [row | {"prompt": "w1"} for row in pairs()]
    detail = refused(options(data=str(save_pairs(tmp_path / "data.jsonl", rows))))
    assert 'all 60 pairs for train and test have one prompt, "w1"' in detail
    assert "give pairs of several prompts" in detail


def test_texts_without_any_prompt_are_trained_on_whole_and_that_is_said(options, tmp_path):
    rows = [{"chosen": row["chosen"].strip(), "rejected": row["rejected"].strip()} for row in pairs()]
    task = prepared(options(data=str(save_pairs(tmp_path / "data.jsonl", rows)), cache=str(tmp_path / "cache")))
    assert "60 pairs of the split 'train' have no prompt" in " ".join(task.notes)
    assert task.score_seed(graph("dpo"), "full", 0).metrics["margin"] > 0.02


def test_too_few_test_prompts_for_two_halves_are_refused(options, tmp_path):
    tests = [row | {"prompt": "w1"} for row in pairs(8)] + pairs()[-1:]
    detail = refused(options(data=save_splits(tmp_path / "splits", pairs(50)[8:], tests), test_split="test"))
    assert "frequent test prompts leave" in detail
    assert "at least 2 are needed" in detail


def test_too_few_test_pairs_after_tokenising_are_refused(options, tmp_path):
    """Three of eleven fit into max_length, so one half has one of them at most."""
    tests = [row | {"prompt": f"{row['prompt']} {'w2 ' * 40}"} for row in pairs(8)] + pairs()[-3:]
    detail = refused(options(data=save_splits(tmp_path / "splits", pairs(50)[8:], tests), test_split="test"))
    assert (
        "1 test pairs for held_out remain after the split into parts and the pairs left out (8 with a prompt that is too long)"
        in detail
    )
    assert "raise fitness.max_length" in detail


# --- the recipe ---


def test_the_large_recipe_has_the_published_steps_and_statistics_and_no_fitness_by_accuracy():
    recipe = load_config(ROOT / "recipes" / "zephyr-7b-gemma.yaml").fitness
    options = Options.model_validate(recipe)
    assert options.full_steps == 104
    assert (options.statistics, options.micro_batch) == ("micro_batch", 2)
    assert (options.beta, options.learning_rate, options.warmup, options.max_grad_norm) == (0.05, 5e-7, 0.1, 1.0)
    assert (options.max_length, options.max_prompt_length, options.empty_system_turn) == (1024, 512, True)
    assert isinstance(options.evaluation, RewardModelEvaluation)
    assert isinstance(options.held_out_evaluation, JudgeEvaluation)
    assert options.pairs % (options.micro_batch * 8) == 0


def test_pairs_left_out_are_noted(options, tmp_path):
    rows = pairs(70)
    rows[3]["chosen"] = None
    rows[4]["rejected"] = rows[4]["chosen"]
    for row in rows[5:9]:
        row["prompt"] = " ".join(["w1"] * 60)
    given = options(data=str(save_pairs(tmp_path / "data.jsonl", rows)), pairs=16, cache=str(tmp_path / "cache"))
    assert set(prepared(given).notes) == {
        "Left out of the data: 1 with a null completion.",
        "Left out of the data: 1 with equal completions.",
        "Left out of the data: 4 with a prompt that is too long.",
    }


def test_columns_that_are_not_read_are_noted(options, tmp_path):
    data = save_pairs(tmp_path / "data.jsonl", [row | {"id": 1, "\x1b[2J": 2} for row in pairs()])
    given = options(data=str(data), cache=str(tmp_path / "cache"))
    assert prepared(given).notes == (r"Columns that are not read: id, \x1b[2J.",)


def test_tool_calls_are_rendered_as_they_were_written(options, tmp_path):
    """Through a columnar file, which gives every call the arguments of all."""

    def row(i: int) -> dict[str, Any]:
        name, argument = (("w1", "w2"), ("w3", "w4"))[i % 2]
        call = {"type": "function", "function": {"name": name, "arguments": {argument: f"w{i % 29}"}}}
        return as_turns(pairs()[i]) | {"chosen": [{"role": "assistant", "content": None, "tool_calls": [call]}]}

    Dataset.from_list([row(i) for i in range(60)]).to_parquet(tmp_path / "data.parquet")
    (tmp_path / "chat.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }} {% for c in m.tool_calls or [] %}{{ c.function.name }} "
        "{% for k, v in c.function.arguments.items() %}{{ k }} {{ v }} {% endfor %}{% endfor %}{% endfor %}"
    )
    given = options(data=str(tmp_path / "data.parquet"), chat_template=str(tmp_path / "chat.jinja"))
    runner = prepared(given | {"cache": str(tmp_path / "cache")})._runner
    texts = {runner.tokenizer.decode(ids) for ids in runner.data["train"]["chosen_ids"]}
    assert all(re.fullmatch(r"assistant: (w1 w2|w3 w4) w\d+", text) for text in texts), texts


def test_there_is_no_note_if_nothing_is_left_out(options):
    assert prepared(options()).notes == ()


# --- models of another kind ---


def test_a_classifier_is_no_policy(folder, options):
    save_classifier(folder / "classifier")
    said = refused(options(model=str(folder / "classifier")))
    assert "has no weights 'lm_head.weight': expected a causal language model" in said


def test_tied_weights_are_not_missing(folder, options):
    config = tiny_config(tie_word_embeddings=True)
    save_model(folder / "tied")
    LlamaForCausalLM(config).save_pretrained(folder / "tied")
    assert prepared(options(model=str(folder / "tied"))).score_seed(graph("dpo"), "short", 0).steps == 2


@pytest.mark.parametrize("label", [None, 0])
def test_a_language_model_is_no_reward_model(options, label):
    model = options()["model"]
    evaluation = {"by": "reward_model", "model": model, "label": label, "max_new_tokens": 8}
    assert "is a language model: expected a sequence classification model" in refused(options(evaluation=evaluation))


def save_classifier(folder: Path) -> None:
    save_model(folder)
    LlamaForSequenceClassification(tiny_config(num_labels=1)).save_pretrained(folder)
