"""The preference task on a tiny model and data that are written to disk: training, caching, evaluation, bad input."""

import gc
import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from datasets import Dataset, DatasetDict, load_from_disk
from loopback_llm import Fault, LoopbackLLM
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from evo.config.schema import load_config
from fitness.preference.runner import PreferenceRunner, _memory_errors
from fitness.score import EvaluationFailed, FailureReason
from fitness.task import TaskError, make_task, task_info
from fitness.training.trainer import GraphDPOTrainer
from fitness.workers.pool import score_all
from sandbox.known import graph

gc.freeze()  # every training ends with a collection, which takes 0.3 s over the imported modules
WORDS = [f"w{i}" for i in range(30)]
VOCABULARY = ["<unk>", "<eos>", "<pad>", *WORDS, "user:", "assistant:", "good", "bad"]
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% if m['role'] == 'assistant' %}<eos> {% endif %}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
ROOT = Path(__file__).parents[3]


def save_tokenizer(folder: Path, **changes: Any) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<pad>"} | changes
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def tiny_config(**changes: Any) -> LlamaConfig:
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"eos_token_id": 1, "pad_token_id": 2}
    return LlamaConfig(vocab_size=len(VOCABULARY), max_position_embeddings=64, **size, **special, **changes)


def save_model(folder: Path, **changes: Any) -> Path:
    """A tiny random Llama with a word tokenizer."""
    save_tokenizer(folder, **changes)
    torch.manual_seed(0)
    LlamaForCausalLM(tiny_config()).save_pretrained(folder)
    return folder


def pairs(count: int = 60) -> list[dict[str, Any]]:
    rng = random.Random(0)

    def words(length: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(length))

    return [{"prompt": words(3), "chosen": " good " + words(3), "rejected": " bad " + words(4)} for _ in range(count)]


def save_pairs(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder with `model` and `data.jsonl`, and the reference cache that all tests fill."""
    folder = tmp_path_factory.mktemp("preference")
    save_model(folder / "model")
    save_pairs(folder / "data.jsonl", pairs())
    return folder


Make = Callable[..., PreferenceRunner]


def options_in(folder: Path) -> Callable[..., dict[str, Any]]:
    """Makes options of a small training on the model and data in `folder`."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "model": str(folder / "model"), "data": str(folder / "data.jsonl"), "cache": str(folder / "cache"),
            "pairs": 32, "batch_size": 8, "short_steps": 2, "test_fraction": 0.4, "max_length": 32, "epochs": 2,
            "learning_rate": 5e-3,
        } | changes  # fmt: skip

    return make


@pytest.fixture
def options(shared: Path) -> Callable[..., dict[str, Any]]:
    return options_in(shared)


def prepared(options: dict[str, Any]) -> Any:
    task = make_task("preference", options)
    task.prepare()
    return task


def refused(options: dict[str, Any]) -> str:
    """The error of `prepare` for unusable options."""
    with pytest.raises(EvaluationFailed) as caught:
        prepared(options)
    assert caught.value.reason is FailureReason.BAD_DATA
    return caught.value.detail


# --- training and scoring ---


def test_dpo_learns_the_preference_and_its_opposite_unlearns_it(options):
    task = prepared(options())
    result = task.score_seed(graph("dpo"), "full", 0)
    assert result.fitness == result.metrics["accuracy"] > 0.8
    assert result.metrics["margin"] > 0.2
    assert result.steps == 8
    lrml = task.score_seed(graph("lrml"), "full", 0)  # which first pushes the wrong way
    assert lrml.metrics["margin"] < result.metrics["margin"]


def test_the_margins_of_the_training_pairs_are_those_after_training(options):
    task = prepared(options())
    before = task.score_seed(graph("dpo"), "full", 0)
    margins = task.pair_margins(graph("dpo"), "full", 0)
    assert len(margins) == 32 and sum(margins) / 32 > before.metrics["margin"], "pairs that were trained on gain more"
    assert sum(margins) / 32 == pytest.approx(before.curves["margin"][-1][1], rel=0.5), (
        "the last batch has a fourth of them"
    )
    untrained = task.pair_margins(graph("dpo"), "short", 0, learning_rate=1e-30)
    assert max(map(abs, untrained)) < 1e-4
    assert task.score_seed(graph("dpo"), "full", 0).metrics == before.metrics, "the model is as before"


def test_a_seed_is_reproducible_and_redraws(options):
    task = prepared(options())
    first, again, other = (task.score_seed(graph("dpo"), "short", seed) for seed in (1, 1, 2))
    assert first.metrics == again.metrics
    assert first.metrics["train_loss"] != other.metrics["train_loss"]


def test_adapters_train_and_leave_the_base_model_as_it_was(options, shared):
    task = prepared(options(lora={"r": 4}))
    first = task.score_seed(graph("dpo"), "full", 0)
    task.score_seed(graph("slic"), "full", 1)
    again = task.score_seed(graph("dpo"), "full", 0)
    assert first.metrics == again.metrics
    assert first.metrics["margin"] > 0.05
    base = task._runner.policies.pristine.state_dict()
    untouched = AutoModelForCausalLM.from_pretrained(shared / "model").state_dict()
    assert base.keys() == untouched.keys()
    assert all(torch.equal(base[name], untouched[name]) for name in base)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"precision": "bfloat16_weights"},
        {"precision": "bfloat16", "lora": {"r": 2}},
        {"gradient_checkpointing": True},
        {"micro_batch": 2},
        {"max_prompt_length": 2},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_trains_in_other_ways(changes, options):
    result = prepared(options(**changes)).score_seed(graph("dpo"), "full", 0)
    assert result.metrics["margin"] > 0.02


@pytest.mark.parametrize("loss", ["dpo", "kto_pair"])  # the second is coupled
def test_gradient_accumulation_gives_the_same_training(loss, options):
    whole = prepared(options()).score_seed(graph(loss), "full", 0)
    parts = prepared(options(micro_batch=2)).score_seed(graph(loss), "full", 0)
    assert parts.metrics["margin"] == pytest.approx(whole.metrics["margin"], rel=1e-3)
    for name, points in whole.curves.items():
        assert dict(parts.curves[name]) == pytest.approx(dict(points), rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize(("loss", "equal"), [("dpo", True), ("kto_pair", False)])  # the second is coupled
def test_statistics_of_micro_batches_change_a_coupled_loss_only(loss, equal, options):
    by_step, by_part = (
        prepared(options(micro_batch=2, statistics=statistics)).score_seed(graph(loss), "short", 0).curves["loss"]
        for statistics in ("step", "micro_batch")
    )
    assert (dict(by_part) == pytest.approx(dict(by_step), rel=1e-6)) is equal


def test_a_loss_undefined_on_one_pair_trains_on_an_odd_number(options):
    result = prepared(options(pairs=33)).score_seed(graph("dbaql"), "full", 0)
    assert result.steps == 10
    assert result.metrics["margin"] == result.metrics["margin"]


def test_a_training_leaves_nothing_in_memory(options):
    task = prepared(options())
    task.score_seed(graph("dpo"), "short", 0)
    living = [type(thing) for thing in gc.get_objects() if isinstance(thing, (GraphDPOTrainer, torch.optim.Optimizer))]
    assert living == []


def test_held_out_pairs_are_other_pairs(options):
    task = prepared(options())
    data = task._runner.data
    prompts = {name: set(map(str, data[name]["prompt_ids"])) for name in ("train", "search", "held_out")}
    assert not prompts["train"] & prompts["search"]
    assert not prompts["search"] & prompts["held_out"]
    assert task.score_seed(graph("dpo"), "full", 0).metrics != task.score_seed(graph("dpo"), "held_out", 0).metrics


# --- data ---


def as_turns(row: dict[str, str]) -> dict[str, Any]:
    turn = lambda role, text: {"role": role, "content": text.strip()}  # noqa: E731
    return {
        "prompt": [turn("user", row["prompt"])],
        "chosen": [turn("assistant", row["chosen"])],
        "rejected": [turn("assistant", row["rejected"])],
    }


def implicit(row: dict[str, Any]) -> dict[str, Any]:
    return {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}


@pytest.mark.parametrize("form", ["strings", "implicit strings", "turns", "implicit turns"])
def test_reads_every_format_of_preference_data(form, options, shared, tmp_path):
    rows = pairs()
    if "turns" in form:
        rows = [as_turns(row) for row in rows]
    if "implicit" in form:
        rows = [implicit(row) for row in rows]
    template = tmp_path / "chat.jinja"
    template.write_text(CHAT_TEMPLATE)
    data = save_pairs(tmp_path / "data.jsonl", rows)
    chat = {"chat_template": str(template)} if "turns" in form else {}
    task = prepared(options(data=str(data), **chat))
    assert task.score_seed(graph("dpo"), "short", 0).metrics["margin"] > 0
    row = task._runner.data["train"][0]
    text = [VOCABULARY[i] for i in row["prompt_ids"] + row["chosen_ids"]]
    assert "good" in [VOCABULARY[i] for i in row["chosen_ids"]]
    assert text[-1] == "<eos>"
    if "turns" in form:
        assert text[0] == "user:"
        assert text[len(row["prompt_ids"]) - 1] == "assistant:"


@pytest.mark.parametrize("form", ["parquet", "folder", "folder with splits"])
def test_reads_every_kind_of_storage(form, options, tmp_path):
    data, path = Dataset.from_list(pairs()), tmp_path / "data"
    more: dict[str, Any] = {}
    if form == "parquet":
        path = tmp_path / "data.parquet"
        data.to_parquet(path)
    elif form == "folder":
        data.save_to_disk(path)
    else:
        DatasetDict({"train": data.select(range(40)), "exam": data.select(range(40, 60))}).save_to_disk(path)
        more = {"test_split": "exam"}
    task = prepared(options(data=str(path), **more))
    assert task.score_seed(graph("dpo"), "short", 0).metrics["margin"] > 0
    assert len(task._runner.data["search"]) == (10 if more else 12)


def test_a_tokenizer_without_padding_token_is_padded_with_its_end_token(options, tmp_path):
    model = save_model(tmp_path / "model", pad_token=None)
    assert AutoTokenizer.from_pretrained(model).pad_token is None
    assert prepared(options(model=str(model))).score_seed(graph("dpo"), "full", 0).metrics["accuracy"] > 0.8


# --- the reference cache ---


def test_the_cache_holds_the_models_own_log_probabilities(options, shared):
    data = prepared(options())._runner.data["train"]
    model = AutoModelForCausalLM.from_pretrained(shared / "model").eval()
    for row in data.select(range(5)):
        ids = torch.tensor([row["prompt_ids"] + row["rejected_ids"]])
        with torch.no_grad():
            log_probs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        expected = log_probs[len(row["prompt_ids"]) - 1 :].sum().item()
        assert row["ref_rejected_logps"] == pytest.approx(expected, abs=1e-4)


def test_the_reference_pass_runs_once_per_model_data_and_template(options, tmp_path):
    cache = tmp_path / "cache"

    def folders() -> int:
        return sum(path.is_dir() for path in (cache / "reference").iterdir())

    prepared(options(cache=str(cache)))
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")}
    prepared(options(cache=str(cache), beta=0.5, learning_rate=1e-5, epochs=1))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")} == written
    assert folders() == 1
    prepared(options(cache=str(cache), data=str(save_pairs(tmp_path / "other.jsonl", pairs(59)))))
    assert folders() == 2
    prepared(options(cache=str(cache), max_prompt_length=2))
    assert folders() == 3
    assert all(len(load_from_disk(str(path))) == 3 for path in (cache / "reference").iterdir() if path.is_dir())


# --- resuming ---


def test_an_interrupted_training_resumes_from_its_checkpoint(options, tmp_path, monkeypatch):
    long = {"epochs": 60, "checkpoint_steps": 20}
    whole = prepared(options(**long)).score_seed(graph("dpo"), "full", 0)

    cache = tmp_path / "cache"
    task = prepared(options(cache=str(cache), **long))

    training = GraphDPOTrainer.training_step

    def interrupted(self: GraphDPOTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 45:
            signal.raise_signal(signal.SIGINT)
        return training(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GraphDPOTrainer, "training_step", interrupted)
        task.score_seed(graph("dpo"), "full", 0)
    assert list(cache.glob("training/*/checkpoint-40"))
    resumed = task.score_seed(graph("dpo"), "full", 0)
    assert resumed.metrics["margin"] == pytest.approx(whole.metrics["margin"], rel=1e-5)
    assert resumed.tokens == whole.tokens
    assert not list(cache.glob("training/*"))


# --- evaluation ---


@pytest.fixture(scope="session")
def reward_model(shared) -> str:
    folder = shared / "reward"
    save_tokenizer(folder)
    torch.manual_seed(3)
    LlamaForSequenceClassification(tiny_config(num_labels=1)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["full", "lora"])
def test_a_reward_model_scores_sampled_answers_less_their_divergence(lora, options, reward_model):
    sampling = {"prompts": 12, "max_new_tokens": 8, "batch": 5, "temperature": 1.0}
    evaluation = {"by": "reward_model", "model": reward_model, "kl_weight": 0.1} | sampling
    task = prepared(options(evaluation=evaluation, lora=lora, epochs=8))
    trained = task.score_seed(graph("dpo"), "full", 0)
    metrics = trained.metrics
    assert trained.fitness == pytest.approx(metrics["reward"] - 0.1 * metrics["kl_per_sequence"])
    assert metrics["kl_per_sequence"] > 0
    assert 1 <= metrics["length"] <= 8
    again = task.score_seed(graph("dpo"), "full", 0)
    assert again.metrics == trained.metrics


def test_a_classifier_rewards_by_the_class_that_is_named(options, shared):
    folder = shared / "classifier"
    save_tokenizer(folder)
    LlamaForSequenceClassification(tiny_config(num_labels=3)).save_pretrained(folder)
    evaluation = {"by": "reward_model", "model": str(folder), "prompts": 4, "max_new_tokens": 4}
    assert "set label to one of 0 (LABEL_0)" in refused(options(evaluation=evaluation, model="/nowhere"))
    assert "below 3" in refused(options(evaluation=evaluation | {"label": 3}))
    task = prepared(options(evaluation=evaluation | {"label": 2}))
    assert task.score_seed(graph("dpo"), "short", 0).metrics["reward"] < 0  # a log-probability


def test_a_failed_adapter_leaves_an_intact_base_model(options):
    task = prepared(options(lora={"r": 4}, batch_size=1))
    before = task.score_seed(graph("dpo"), "short", 0)
    with pytest.raises(EvaluationFailed, match="undefined below 2 pairs"):
        task.score_seed(graph("dbaql"), "short", 0)
    assert task.score_seed(graph("dpo"), "short", 0).metrics == before.metrics


def test_an_untrained_policy_answers_as_the_reference_does(options, reward_model):
    evaluation = {"by": "reward_model", "model": reward_model, "prompts": 12, "max_new_tokens": 8}
    task = prepared(options(evaluation=evaluation, learning_rate=1e-12))
    metrics = task.score_seed(graph("dpo"), "short", 0).metrics
    assert metrics["reward"] == metrics["reference_reward"]
    assert metrics["kl_per_sequence"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("by", ["accuracy", "margin", "reward_model", "judge"])
def test_the_fitness_is_the_mean_of_items_that_are_grouped_by_prompt(by, options, reward_model, tmp_path):
    """Every prompt comes twice, so every group has two items."""
    rows = [row | {"chosen": f"{row['chosen']} w{again}"} for row in pairs(30) for again in range(2)]
    data = str(save_pairs(tmp_path / "data.jsonl", rows))
    sampling = {"prompts": 40, "max_new_tokens": 6, "temperature": 1.0}
    with LoopbackLLM(fallback=judged_by(prefer_good)) as server:
        evaluation = {
            "accuracy": {"by": by},
            "margin": {"by": by},
            "reward_model": {"by": by, "model": reward_model, "kl_weight": 0.1} | sampling,
            "judge": judge_options(server) | sampling,
        }[by]
        task = prepared(options(data=data, evaluation=evaluation))
        first, second = (task.score_seed(graph("dpo"), "held_out", seed) for seed in (0, 1))
    fitness = {
        "accuracy": first.metrics["accuracy"],
        "margin": first.metrics["margin"],
        "reward_model": first.metrics.get("reward", 0) - 0.1 * first.metrics.get("kl_per_sequence", 0),
        "judge": first.metrics.get("win_rate"),
    }[by]
    assert first.items.mean == pytest.approx(first.fitness, abs=1e-9)
    assert first.fitness == pytest.approx(fitness, abs=1e-6)
    assert {first.items.groups.count(group) for group in first.items.groups} == {2}
    assert set(first.items.groups) == set(second.items.groups)


def judged_by(rule: Callable[[dict[str, str]], str]) -> Callable[[dict[str, Any], int], str]:
    def reply(body: dict[str, Any], number: int) -> str:
        return rule(json.loads(body["messages"][-1]["content"]))

    return reply


def prefer_good(asked: dict[str, str]) -> str:
    if asked["first"] == "4":  # the question that asks whether the judge is there
        return '{"better": "first"}'
    count = {side: asked[side].split().count("good") for side in ("first", "second")}
    winner = "tie" if count["first"] == count["second"] else max(count, key=count.get)
    return f'Sure! {{"better": "{winner}"}}'


def judge_options(server: LoopbackLLM, **changes: Any) -> dict[str, Any]:
    sampling = {"prompts": 12, "max_new_tokens": 6, "temperature": 1.0}
    return {"by": "judge", "base_url": server.base_url, "model": "scripted-1"} | sampling | changes


def test_a_judge_compares_in_both_orders(options):
    with LoopbackLLM(fallback=judged_by(prefer_good)) as server:
        task = prepared(options(evaluation=judge_options(server), epochs=12))
        result = task.score_seed(graph("dpo"), "full", 0)
        asked = [json.loads(body["messages"][-1]["content"]) for body in server.bodies[1:]]
    assert result.fitness == result.metrics["win_rate"] > 0.6
    assert result.metrics["judge_agreement"] == 1.0
    assert len(asked) == 24
    assert {(a["first"], a["second"]) for a in asked} == {(a["second"], a["first"]) for a in asked}


def test_a_judge_that_always_prefers_the_first_answer_gives_a_win_rate_of_one_half(options):
    with LoopbackLLM(fallback=judged_by(lambda asked: '{"better": "first"}')) as server:
        task = prepared(options(evaluation=judge_options(server, opponent="chosen")))
        metrics = task.score_seed(graph("dpo"), "short", 0).metrics
    assert metrics["win_rate"] == 0.5
    assert metrics["judge_agreement"] == 0.0


def test_a_judge_that_is_down_is_reported_before_any_model_is_loaded(options):
    with LoopbackLLM() as server:
        evaluation = judge_options(server)
    detail = refused(options(evaluation=evaluation, model="/nowhere"))
    assert "judge" in detail
    assert "base_url" in detail


def test_a_judge_that_stops_answering_leaves_the_evaluation_open_and_keeps_the_key(options, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-of-the-judge")
    script = ['{"better": "first"}']
    with LoopbackLLM(script, fallback=lambda body, number: Fault.UNAUTHORIZED) as server:
        task = prepared(options(evaluation=judge_options(server, api_key_env="JUDGE_KEY")))
        with pytest.raises(EvaluationFailed) as caught:
            task.score_seed(graph("dpo"), "short", 0)
        assert server.keys[-1].endswith("sk-secret-of-the-judge")
    assert caught.value.reason is FailureReason.BAD_DATA
    assert "401" in caught.value.detail
    assert "secret" not in str(caught.value)


def test_a_judge_without_readable_replies_is_refused(options):
    with LoopbackLLM(fallback=lambda body, number: Fault.PROSE) as server:
        assert "stronger" in refused(options(evaluation=judge_options(server)))


# --- bad input ---


def test_describes_itself_without_torch(options):
    code = (
        "import json, sys; from fitness.task import task_info;"
        "info = task_info('preference', json.loads(sys.argv[1]));"
        "assert 'torch' not in sys.modules and 'datasets' not in sys.modules;"
        "print(info.rungs['full'].steps, info.offline)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(options())], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert run.stdout.split() == ["8", "True"]


def test_identity_depends_on_contents_and_not_on_incidental_options(options, tmp_path):
    def identity(**changes: Any) -> Any:
        return task_info("preference", options(**changes)).identity

    assert identity() == identity(micro_batch=2, checkpoint_steps=5, cache=str(tmp_path))
    assert identity() != identity(beta=0.2)
    over_2, over_4 = (identity(statistics="micro_batch", micro_batch=size) for size in (2, 4))
    assert over_2 != over_4 and over_2 != identity(micro_batch=2)
    assert identity(statistics="step") == identity()
    assert identity(empty_system_turn=True) != identity() == identity(empty_system_turn=False)
    data = save_pairs(tmp_path / "data.jsonl", pairs())
    before = identity(data=str(data))
    save_pairs(data, pairs(59))
    assert identity(data=str(data)) != before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batchsize": 8}, "batchsize"),
        ({"beta": 0}, "beta"),
        ({"quantization": "4bit"}, "quantization needs fitness.lora"),
        ({"batch_size": 64}, "batch_size must be at most fitness.pairs"),
        ({"batch_size": 8, "micro_batch": 3}, "multiple of fitness.micro_batch"),
        ({"statistics": "micro_batch"}, "needs fitness.micro_batch.* expected 2 or more, got None"),
        ({"statistics": "micro_batch", "micro_batch": 1}, "expected 2 or more, got 1"),
        ({"statistics": "epoch"}, "statistics"),
        ({"max_prompt_length": 32}, "less than fitness.max_length"),
        ({"evaluation": {"by": "magic"}}, "magic"),
    ],
)
def test_options_that_contradict_themselves_are_refused(changes, words, options):
    with pytest.raises(TaskError, match=words):
        make_task("preference", options(**changes))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "is empty"),
        (pairs(1), "1 training pairs|test pairs"),
        ([{"prompt": "w1", "better": "w2", "worse": "w3"}] * 9, "no column 'chosen' and no column 'rejected'"),
        ([{"prompt": "w1", "chosen": "w2", "rejected": "w2"}] * 9, "is left out: 9 with equal completions"),
        ([{"prompt": "w1", "chosen": 1, "rejected": 2}] * 9, "holds a number"),
        (
            [{"prompt": f"w1 {'w2 ' * 40}{i}", "chosen": "w2", "rejected": "w3"} for i in range(60)],
            "raise (fitness.)?max_length",
        ),
    ],
    ids=["empty", "one row", "no columns", "equal", "numbers", "long prompts"],
)
def test_data_that_cannot_be_trained_on_is_refused_with_the_remedy(rows, words, options, tmp_path):
    data = save_pairs(tmp_path / "data.jsonl", rows)
    with pytest.raises(EvaluationFailed, match=words) as caught:
        prepared(options(data=str(data)))
    assert caught.value.reason is FailureReason.BAD_DATA


def test_more_pairs_than_there_are_names_the_number_to_set(options):
    assert "set fitness.pairs to 36 or less" in refused(options(pairs=4000))


def test_pools_bound_what_the_reference_pass_costs(options):
    data = prepared(options(train_pool=33, test_pool=10))._runner.data
    assert {name: len(part) for name, part in data.items()} == {"train": 33, "search": 5, "held_out": 5}


def test_what_is_missing_is_named(options, tmp_path):
    assert "no-such-model" in refused(options(model=str(tmp_path / "no-such-model")))
    assert "no-such.jsonl" in refused(options(data=str(tmp_path / "no-such.jsonl")))
    assert "no split 'exam'" in refused(options(data=_folder_of_splits(tmp_path / "splits"), train_split="exam"))


def _folder_of_splits(path: Path) -> str:
    DatasetDict({"train": Dataset.from_list(pairs())}).save_to_disk(path)
    return str(path)


def test_conversations_need_a_chat_template(options, tmp_path):
    data = save_pairs(tmp_path / "data.jsonl", [as_turns(row) for row in pairs()])
    assert "chat_template" in refused(options(data=str(data)))


def test_a_tokenizer_without_end_token_is_refused(options, tmp_path):
    model = save_model(tmp_path / "model", eos_token=None)
    assert "end token" in refused(options(model=str(model)))


def test_a_max_length_beyond_the_context_is_refused(options):
    assert "set fitness.max_length to 64" in refused(options(max_length=65))


def test_code_that_comes_with_a_model_never_runs(options, tmp_path):
    folder = save_model(tmp_path / "model")
    (folder / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert "never run" in refused(options(model=str(folder)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_required_gpu_that_is_missing_is_reported(options):
    assert "GPU" in refused(options(device="gpu"))
    assert "quantization" in refused(options(quantization="4bit", lora={}))


def test_running_out_of_memory_is_a_failure_with_a_remedy():
    with pytest.raises(EvaluationFailed, match="micro_batch") as caught, _memory_errors():
        torch.empty(2**50, dtype=torch.uint8)
    assert caught.value.reason is FailureReason.OUT_OF_MEMORY


# --- recipes and documentation ---


@pytest.mark.parametrize("recipe", sorted(ROOT.glob("recipes/*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_valid_configurations(recipe):
    config = load_config(recipe)
    info = task_info(config.task, config.fitness)
    timeout = config.timeout_seconds
    assert timeout is None or all(rung.estimated_seconds < timeout for rung in info.rungs.values())
    if config.launcher:
        assert (ROOT / config.launcher[-1]).is_file()


@pytest.mark.parametrize("launch", sorted(ROOT.glob("recipes/launch/*.yaml")), ids=lambda path: path.stem)
def test_launch_configurations_are_accelerates(launch):
    assert load_config_from_file(str(launch)).num_processes >= 2


def test_the_documented_options_are_those_of_the_code():
    subprocess.run([sys.executable, "scripts/write_option_docs.py", "--check"], cwd=ROOT, check=True)


# --- several processes ---


DDP = [
    sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
    "--mixed_precision", "no", "--dynamo_backend", "no",
]  # fmt: skip
FSDP = [
    sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint",
    "localhost:0", str(Path(__file__).with_name("sharded_on_cpu.py")),
]  # fmt: skip


@pytest.fixture
def ddp() -> Iterator[list[str]]:
    """The launcher of two processes with a port of its own. The port is held, since `accelerate` would only pick a free one."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the launched process may listen on it
        holder.bind(("", 0))
        yield [*DDP, "--main_process_port", str(holder.getsockname()[1])]


def test_two_processes_train_as_one_does(options, ddp):
    """A launch group of two on the CPU; the second loss is coupled, so it must see the pairs of both."""
    requests = [(graph("dpo"), "full", 0), (graph("aot"), "full", 0)]
    together = score_all("preference", requests, options(), launcher=ddp, timeout=600.0)
    task = prepared(options())
    for (loss, rung, seed), result in zip(requests, together, strict=True):
        alone = task.score_seed(loss, rung, seed)
        assert result.metrics == pytest.approx(alone.metrics, rel=1e-3, abs=1e-5)
        assert result.items == alone.items
        assert result.tokens == alone.tokens


def fsdp_variables(version: int = 2) -> dict[str, str]:
    """What `accelerate launch` would set for our configuration, with the weights sharded by `version` of FSDP."""
    launch = yaml.safe_load((ROOT / "recipes" / "launch" / "fsdp-8.yaml").read_text())["fsdp_config"]
    variables = {
        key.upper(): str(value).lower() if isinstance(value, bool) else str(value) for key, value in launch.items()
    }
    return variables | {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": str(version)}


def deepspeed() -> list[str]:
    pytest.importorskip("deepspeed")
    configuration = str(ROOT / "recipes" / "launch" / "deepspeed-zero3-8.yaml")
    one_port = ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]
    return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", configuration, *one_port]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"lora": {}}, id="lora"),
        pytest.param({"micro_batch": 2, "gradient_checkpointing": True}, id="full", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("kind", ["fsdp", "deepspeed"])
def test_sharded_weights_train_and_write_as_whole_ones_do(kind, changes, options, reward_model, ddp):
    """FSDP and ZeRO-3 against DDP, two processes each: the answers are sampled, so a wrong weight anywhere would show.

    They write three answers and two, in batches of two: a rank that waited for the others' weights would wait for ever.
    """
    launcher, variables = (FSDP, fsdp_variables()) if kind == "fsdp" else (deepspeed(), {"DS_ACCELERATOR": "cpu"})
    by_reward = {
        "by": "reward_model",
        "model": reward_model,
        "prompts": 5,
        "batch": 2,
        "max_new_tokens": 6,
        "max_length": 64,
    }
    given = options(evaluation=by_reward, **changes)
    requests = [(graph("dpo"), "full", 0), (graph("aot"), "full", 0)]
    sharded = score_all("preference", requests, given, launcher=launcher, timeout=600.0, environment=variables)
    whole = score_all("preference", requests, given, launcher=ddp, timeout=600.0)
    for ours, theirs in zip(sharded, whole, strict=True):
        assert not isinstance(ours, EvaluationFailed), ours
        assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-3, abs=1e-5)
        assert ours.items.groups == theirs.items.groups
        assert ours.items.values == pytest.approx(theirs.items.values, rel=1e-3, abs=1e-3)
        assert ours.tokens == theirs.tokens


def test_answers_under_the_first_version_of_fsdp_are_refused_at_once(options, reward_model, monkeypatch):
    for name, value in fsdp_variables(version=1).items():
        monkeypatch.setenv(name, value)
    evaluation = {"by": "reward_model", "model": reward_model, "max_new_tokens": 8}
    assert "set fsdp_version: 2" in refused(options(evaluation=evaluation))
