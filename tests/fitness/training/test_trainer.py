"""GraphDPOTrainer reproduces TRL's own losses, and refuses losses and settings that would train silently wrong."""

import copy
import gc
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import logsigmoid
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from fitness.score import EvaluationFailed, FailureReason
from fitness.training import trainer as trainer_module
from fitness.training.batches import BatchNeeds, PreferenceCollator, as_function, batch_needs
from fitness.training.trainer import GraphDPOTrainer
from sandbox.execute.interpreter import compile_loss
from sandbox.known import graph, load, names

gc.freeze()  # every train() collects garbage, which takes 0.3 s over the imported modules
VOCABULARY = 40


# The losses of TRL that four log-probabilities express, by TRL's name for them.
EXPRESSIBLE = {load(name).trl: graph(name) for name in names("preference") if load(name).trl}
LABEL_SMOOTHING = {"exo_pair": 1e-3, "robust": 0.1}  # a constant in our sources
# These read token counts or single tokens.
NOT_EXPRESSIBLE = {"ipo", "sigmoid_norm", "sft"}


def sigmoid(pc, pr, rc, rr, beta):
    return -logsigmoid(beta * (pc - pr - rc + rr))


def batch_variance(pc, pr, rc, rr, beta):
    return sigmoid(pc, pr, rc, rr, beta) + 0.01 * (pc - pr - rc + rr).var()


# --- a tiny world ---


class StockTrainer(DPOTrainer):
    """TRL's trainer, except that it accepts precomputed columns."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset if "prompt_ids" in dataset.column_names else super()._prepare_dataset(dataset, *args, **kwargs)

    def _precompute_ref_logps(self, dataset, *args, **kwargs):
        return dataset if "ref_chosen_logps" in dataset.column_names else super()._precompute_ref_logps(dataset, *args)


class LossLog(TrainerCallback):
    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append(dict(logs))


@pytest.fixture(scope="module")
def tokenizer():
    words = ["<unk>", "<eos>", "<pad>", *(f"w{i}" for i in range(VOCABULARY - 3))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>")


def tiny_model(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
        )
    )


def pairs(count: int, *, cached: bool) -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def ids(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()

    rows = [{"prompt_ids": ids(2, 5), "chosen_ids": ids(3, 8), "rejected_ids": ids(3, 8)} for _ in range(count)]
    if cached:
        for row in rows:
            for side in ("chosen", "rejected"):
                row[f"ref_{side}_logps"] = -3.7 * len(row[f"{side}_ids"]) + torch.randn((), generator=generator).item()
    return Dataset.from_list(rows)


def config(tmp_path, **changes: Any) -> DPOConfig:
    return DPOConfig(
        output_dir=str(tmp_path),
        **{
            "per_device_train_batch_size": 4, "num_train_epochs": 1, "learning_rate": 5e-3, "beta": 0.1, "bf16": False,
            "gradient_checkpointing": False, "use_cpu": True, "report_to": [], "save_strategy": "no",
            "logging_steps": 1, "disable_tqdm": True, "precompute_ref_log_probs": False, "optim": "adamw_torch",
        } | changes,
    )  # fmt: skip


def train(cls, model, args, dataset, tokenizer, **kwargs):
    log = LossLog()
    trainer = cls(model, args=args, train_dataset=dataset, processing_class=tokenizer, callbacks=[log], **kwargs)
    trainer.train()
    return log.logs, {name: w.detach().clone() for name, w in trainer.model.named_parameters() if w.requires_grad}


# --- golden: the seam reproduces TRL ---


def assert_reproduces(
    loss_type, tmp_path, tokenizer, dataset, *, lora=False, reference=None, statistics="step", **changes
):
    args = config(tmp_path, loss_type=loss_type, label_smoothing=LABEL_SMOOTHING.get(loss_type, 0.0), **changes)
    peft = {"peft_config": LoraConfig(r=2, target_modules=["q_proj", "v_proj"])} if lora else {}
    stock_logs, stock_weights = train(
        StockTrainer, tiny_model(), copy.deepcopy(args), dataset, tokenizer, ref_model=copy.deepcopy(reference), **peft
    )
    our_logs, our_weights = train(
        GraphDPOTrainer, tiny_model(), args, dataset, tokenizer, ref_model=copy.deepcopy(reference), **peft,
        loss_graph=EXPRESSIBLE[loss_type], statistics=statistics,
    )  # fmt: skip
    assert len(stock_logs) == len(our_logs)
    for stock, ours in zip(stock_logs, our_logs, strict=True):
        assert stock.keys() == ours.keys()
        for key in stock.keys() - {"train_runtime", "train_samples_per_second", "train_steps_per_second"}:
            assert ours[key] == pytest.approx(stock[key], rel=2e-4, abs=2e-5), key
    assert stock_weights.keys() == our_weights.keys()
    for name, weight in stock_weights.items():
        torch.testing.assert_close(our_weights[name], weight, rtol=0, atol=2e-5)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("loss_type", EXPRESSIBLE)
def test_reproduces_trl_with_cached_reference(loss_type, lora, tmp_path, tokenizer):
    dataset = pairs(20, cached=True)
    assert_reproduces(loss_type, tmp_path, tokenizer, dataset, lora=lora, precompute_ref_log_probs=True)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("loss_type", EXPRESSIBLE)
def test_reproduces_trl_with_online_reference(loss_type, lora, tmp_path, tokenizer):
    reference = None if lora else tiny_model(seed=1)
    assert_reproduces(loss_type, tmp_path, tokenizer, pairs(20, cached=False), lora=lora, reference=reference)


def test_reproduces_trl_from_raw_text_with_precomputed_reference(tmp_path, tokenizer):
    words = [f"w{i}" for i in range(VOCABULARY - 3)]
    rows = [
        {
            "prompt": " ".join(words[i : i + 4]),
            "chosen": " " + " ".join(words[i + 4 : i + 9]),
            "rejected": " " + " ".join(words[i + 9 : i + 11]),
        }
        for i in range(20)
    ]
    args = {"precompute_ref_log_probs": True, "max_length": 8}
    assert_reproduces("discopop", tmp_path, tokenizer, Dataset.from_list(rows), **args)


def test_reproduces_trl_under_gradient_accumulation(tmp_path, tokenizer):
    args = {"precompute_ref_log_probs": True, "gradient_accumulation_steps": 2}
    assert_reproduces("apo_zero", tmp_path, tokenizer, pairs(24, cached=True), **args)


def test_reproduces_trl_when_the_logits_are_too_many_to_hold(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(trainer_module, "DENSE_LOGITS", 0)
    dataset = pairs(20, cached=True)
    assert_reproduces("sigmoid", tmp_path, tokenizer, dataset, precompute_ref_log_probs=True)
    assert_reproduces("sigmoid", tmp_path, tokenizer, pairs(20, cached=False), lora=True)


@pytest.mark.parametrize(
    "options", [{}, {"max_length": 7}, {"max_length": 7, "truncation_mode": "keep_end"}, {"pad_to_multiple_of": 8}]
)
def test_collates_as_trl_does(options):
    rows = pairs(9, cached=True).to_list()
    stock = DataCollatorForPreference(pad_token_id=2, **options)(rows)
    ours = PreferenceCollator(pad_token_id=2, **options)(rows)
    assert stock.keys() == ours.keys()
    for key, value in stock.items():
        assert value.dtype == ours[key].dtype
        assert torch.equal(value, ours[key]), key


def test_trls_methods_that_are_overridden_have_not_changed():
    """Fails when a new TRL adds or drops a loss, or changes what we override: look at the diff before pinning it."""
    branches = re.findall(r'loss_type == "(\w+)"', inspect.getsource(DPOTrainer._compute_loss))
    assert set(branches) == set(EXPRESSIBLE) | NOT_EXPRESSIBLE
    signatures = {
        (DPOTrainer, "_compute_loss"): "(self, model, inputs, return_outputs)",
        (DPOTrainer, "compute_ref_log_probs"): "(self, model, inputs)",
        (DPOTrainer, "_prepare_dataset"): "(self, dataset, processing_class, args, dataset_name)",
        (DPOTrainer, "_precompute_ref_logps"): "(self, dataset, name, batch_size)",
        (Trainer, "_get_dataloader"): (
            "(self, dataset, description, batch_size, sampler_fn, is_training, dataloader_key)"
        ),
        (Trainer, "get_batch_samples"): "(self, epoch_iterator, num_batches, device)",
        (Trainer, "_get_grad_norm"): "(self, model, grad_norm)",
    }
    for (cls, name), expected in signatures.items():
        assert f"({', '.join(inspect.signature(getattr(cls, name)).parameters)})" == expected, name
    for name in ("aux_loss_enabled", "router_aux_loss_coef", "_total_train_tokens", "_tp_size"):
        assert f"self.{name}" in inspect.getsource(DPOTrainer), name


# --- what must not train silently wrong ---


def fit(loss, tmp_path, tokenizer, count=8, changes=None, **kwargs):
    args = config(tmp_path, **(changes or {}))
    return train(GraphDPOTrainer, tiny_model(), args, pairs(count, cached=True), tokenizer, loss_graph=loss, **kwargs)


def failure(loss, *args, **kwargs) -> EvaluationFailed:
    with pytest.raises(EvaluationFailed) as caught:
        fit(loss, *args, **kwargs)
    return caught.value


def test_a_nan_loss_is_a_divergence_and_names_the_step(tmp_path, tokenizer):
    error = failure(lambda pc, pr, rc, rr, beta: torch.log(pc - pr), tmp_path, tokenizer, changes={"max_steps": 3})
    assert error.reason is FailureReason.DIVERGED
    assert "nan at step 1" in error.detail


def test_an_infinite_gradient_under_a_finite_loss_is_a_divergence(tmp_path, tokenizer):
    error = failure(lambda pc, pr, rc, rr, beta: torch.sqrt((pc - pc.detach()) ** 2), tmp_path, tokenizer)
    assert error.reason is FailureReason.DIVERGED
    assert "gradient" in error.detail


def test_weights_that_end_infinite_are_a_divergence(tmp_path, tokenizer):
    changes = {"optim": "sgd", "learning_rate": 3e38, "max_steps": 1, "max_grad_norm": 0.0}
    error = failure(lambda *inputs: 1e3 * sigmoid(*inputs), tmp_path, tokenizer, changes=changes)
    assert error.reason is FailureReason.DIVERGED


@pytest.mark.parametrize("loss", [lambda pc, *rest: pc.mean(), lambda pc, *rest: pc[:, None] - pc[None, :]])
def test_a_loss_of_another_shape_is_refused(loss, tmp_path, tokenizer):
    error = failure(loss, tmp_path, tokenizer)
    assert error.reason is FailureReason.UNSUPPORTED_LOSS
    assert "one loss per pair" in error.detail


def test_batch_requirements_of_a_loss_are_measured():
    assert batch_needs(sigmoid, 0.1) == BatchNeeds(min_batch=1, coupled=False)
    assert batch_needs(batch_variance, 0.1) == BatchNeeds(min_batch=2, coupled=True)
    root_of_one = lambda pc, pr, rc, rr, beta: -pc + torch.sqrt(pc.var(unbiased=False))  # noqa: E731
    assert batch_needs(root_of_one, 0.1).min_batch == 2


@pytest.mark.parametrize("beta", [0.025, 1.0])
def test_batch_requirements_of_known_losses_match_their_formulas(beta):
    """Some use a batch statistic, some an unbiased deviation; the exponential loss only overflows."""
    found = {name: as_function(graph(name), beta)[1] for name in names("preference")}
    coupled = {name for name, need in found.items() if need.coupled}
    assert coupled == {"kto_pair", "dbaql", "aql_found", "aql_repository", "aqfl", "aot", "aot_unpaired"}
    assert {name for name, need in found.items() if need.min_batch == 2} == {"dbaql", "aqfl"}
    assert batch_needs(compile_loss(graph("exponential")), beta) == BatchNeeds(min_batch=1, coupled=False)


def test_a_lone_last_pair_is_dropped_for_a_loss_undefined_on_it(tmp_path, tokenizer):
    logs, _ = fit(batch_variance, tmp_path, tokenizer, count=9)
    assert len([log for log in logs if "loss" in log]) == 2
    logs, _ = fit(sigmoid, tmp_path, tokenizer, count=9)
    assert len([log for log in logs if "loss" in log]) == 3


def test_no_pair_is_left_out_of_an_evaluation(tmp_path, tokenizer):
    def rewards(loss):
        trainer = GraphDPOTrainer(
            tiny_model(), args=config(tmp_path, per_device_eval_batch_size=4), train_dataset=pairs(8, cached=True),
            eval_dataset=pairs(9, cached=True), processing_class=tokenizer, loss_graph=loss,
        )  # fmt: skip
        batches = [len(batch["input_ids"]) // 2 for batch in trainer.get_eval_dataloader()]
        return batches, trainer.evaluate()

    assert rewards(sigmoid)[0] == [4, 4, 1]
    batches, metrics = rewards(batch_variance)
    assert sum(batches) == 9
    assert min(batches) > 1
    assert metrics["eval_loss"] == metrics["eval_loss"]


def test_too_few_pairs_or_too_small_batches_are_refused_before_training(tmp_path, tokenizer):
    assert failure(batch_variance, tmp_path, tokenizer, count=1).reason is FailureReason.BAD_DATA
    changes = {"per_device_train_batch_size": 1}
    assert failure(batch_variance, tmp_path, tokenizer, changes=changes).reason is FailureReason.UNSUPPORTED_LOSS


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "online"])
def test_a_coupled_loss_sees_all_micro_batches_of_a_step(cached, tmp_path, tokenizer):
    """Two micro-batches of two pairs must train like one of four, including the short last step."""
    results = []
    for changes in ({}, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}):
        args = config(tmp_path, **changes)
        reference = None if cached else tiny_model(seed=1)
        results.append(
            train(
                GraphDPOTrainer, tiny_model(), args, pairs(11, cached=cached), tokenizer, ref_model=reference,
                loss_graph=EXPRESSIBLE["aot"],
            )
        )  # fmt: skip
    (whole_logs, whole), (part_logs, parts) = results
    assert [log.get("loss") for log in part_logs] == pytest.approx([log.get("loss") for log in whole_logs], abs=1e-5)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=0, atol=2e-5)


def test_a_coupled_loss_on_micro_batches_trains_as_in_trl(tmp_path, tokenizer):
    """TRL computes a loss on each micro-batch alone."""
    args = {"precompute_ref_log_probs": True, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    for loss_type in ("aot", "aot_unpaired"):
        data = pairs(12, cached=True)
        assert_reproduces(loss_type, tmp_path, tokenizer, data, statistics="micro_batch", **args)


@pytest.mark.parametrize("name", ["dbaql", "aqfl"])
def test_statistics_are_over_the_step_or_over_each_micro_batch(name, tmp_path, tokenizer):
    """One step on six pairs: of all at once, or the mean of the losses of three micro-batches of two."""
    data, loss = pairs(6, cached=True), compile_loss(graph(name))
    parts = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}

    def one_step(statistics, **changes):
        plain = {"optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "max_steps": 1, "beta": 0.05, "seed": 3}
        trainer = GraphDPOTrainer(
            tiny_model(), args=config(tmp_path, **plain | changes), train_dataset=data, processing_class=tokenizer,
            loss_graph=graph(name), statistics=statistics,
        )  # fmt: skip
        trainer.train()
        ((_, value),) = trainer.watch.curves["loss"]
        before = tiny_model().state_dict()
        return value, {key: before[key] - w.detach() for key, w in trainer.model.named_parameters()}

    def by_hand(size):
        """Mean loss of the batches of `size` pairs in the trainer's order, and its gradient, without the trainer."""
        model, batches = tiny_model(), []
        order = one_order(tmp_path, tokenizer, data)
        for start in range(0, len(order), size):
            rows = [data[i] for i in order[start : start + size]]
            sides = [torch.stack([summed(model, row, side) for row in rows]) for side in ("chosen", "rejected")]
            cached = [torch.tensor([row[f"ref_{side}_logps"] for row in rows]) for side in ("chosen", "rejected")]
            batches.append(loss(*sides, *cached, 0.05).mean())
        mean = torch.stack(batches).mean()
        mean.backward()
        return mean.item(), {key: w.grad for key, w in model.named_parameters()}

    whole, of_parts = by_hand(6), by_hand(2)
    assert abs(whole[0] - of_parts[0]) > 1e-4
    for expected, found in (
        (whole, one_step("step", per_device_train_batch_size=6)),
        (whole, one_step("step", **parts)),
        (of_parts, one_step("micro_batch", **parts)),
    ):
        assert found[0] == pytest.approx(expected[0], rel=3e-5)
        for key, gradient in expected[1].items():
            torch.testing.assert_close(found[1][key], gradient, rtol=1e-3, atol=1e-5)


def summed(model, row, side):
    """The log-probability of a completion, in nats, from the model's own head."""
    ids = torch.tensor([row["prompt_ids"] + row[f"{side}_ids"]])
    log_probs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    return log_probs[len(row["prompt_ids"]) - 1 :].sum()


def one_order(tmp_path, tokenizer, data):
    """The positions of the pairs in the order in which a trainer with this seed meets them."""
    args = config(tmp_path, per_device_train_batch_size=1, seed=3)
    trainer = GraphDPOTrainer(
        tiny_model(), args=args, train_dataset=data, processing_class=tokenizer, loss_graph=sigmoid
    )
    seen = [round(float(batch["ref_chosen_logps"]), 4) for batch in trainer.get_train_dataloader()]
    return [[round(value, 4) for value in data["ref_chosen_logps"]].index(value) for value in seen]


def test_a_loss_undefined_on_one_pair_needs_two_in_a_micro_batch(tmp_path, tokenizer):
    changes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    error = failure(batch_variance, tmp_path, tokenizer, changes=changes, statistics="micro_batch")
    assert error.reason is FailureReason.UNSUPPORTED_LOSS
    assert "would get 1 at a time" in error.detail


def test_a_loss_undefined_on_one_pair_trains_on_micro_batches_of_one(tmp_path, tokenizer):
    changes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    logs, _ = fit(batch_variance, tmp_path, tokenizer, count=9, changes=changes)
    assert len([log for log in logs if "loss" in log]) == 2


def test_arguments_that_only_trls_losses_read_are_refused(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="use_weighting"):
        fit(sigmoid, tmp_path, tokenizer, changes={"use_weighting": True})


def test_one_model_can_be_used_by_many_trainers(tmp_path, tokenizer):
    """TRL wraps `forward` once per trainer: the wrappers must not accumulate, and a reset model must use its new weights."""
    model = tiny_model()
    start = copy.deepcopy(model.state_dict())
    results = []
    for _ in range(3):
        model.load_state_dict(start)
        results.append(
            train(GraphDPOTrainer, model, config(tmp_path), pairs(8, cached=True), tokenizer, loss_graph=sigmoid)[1]
        )
    for again in results[1:]:
        for name, weight in results[0].items():
            assert torch.equal(weight, again[name])
    assert model.forward.__func__.__closure__ is not None
    wrapped = inspect.getclosurevars(model.forward.__func__).nonlocals["original_forward"]
    assert wrapped.__func__ is LlamaForCausalLM.forward


@pytest.mark.parametrize("dense_logits", [2**24, 0], ids=["dense", "tiled"])
def test_log_probabilities_are_taken_at_a_temperature(dense_logits, tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(trainer_module, "DENSE_LOGITS", dense_logits)
    data, model = pairs(8, cached=True), tiny_model()
    trainer = GraphDPOTrainer(
        model, args=config(tmp_path), train_dataset=data, processing_class=tokenizer, loss_graph=sigmoid
    )

    def expected(row: dict[str, Any], temperature: float) -> float:
        ids = torch.tensor([row["prompt_ids"] + row["chosen_ids"]])
        log_probs = (model(ids).logits[0, :-1] / temperature).log_softmax(-1).gather(1, ids[0, 1:, None])
        return log_probs[len(row["prompt_ids"]) - 1 :].sum().item()

    before = trainer.log_probs(data)
    for temperature in (0.5, 2.0):
        found = trainer.log_probs(data, temperature=temperature)[:, 0]
        assert found.tolist() == pytest.approx([expected(row, temperature) for row in data], abs=1e-4)
    assert torch.equal(trainer.log_probs(data), before)


def test_a_lone_pair_can_be_measured_for_a_loss_undefined_on_it(tmp_path, tokenizer):
    """No batch is large enough for its loss, and none is needed. The search for a batch size must still end."""
    data = pairs(8, cached=True)
    trainer = GraphDPOTrainer(
        tiny_model(), args=config(tmp_path), train_dataset=data, processing_class=tokenizer, loss_graph=batch_variance
    )
    torch.testing.assert_close(trainer.log_probs(data.select([3])), trainer.log_probs(data)[3:4])


ONE_BAD_SHARD = """
import sys
from pathlib import Path
from transformers import AutoTokenizer, TrainerCallback
sys.path.insert(0, {tests!r})
from test_trainer import GraphDPOTrainer, LlamaForCausalLM, config, pairs, sigmoid
from fitness.score import EvaluationFailed

class Spoil(TrainerCallback):
    def on_train_end(self, args, state, control, model=None, **kwargs):
        if args.process_index == 1:
            model.lm_head.weight.to_local().data[0, 0] = float("inf")

folder = Path({folder!r})
trainer = GraphDPOTrainer(
    LlamaForCausalLM.from_pretrained(folder / "model"), args=config(folder, max_steps=1), callbacks=[Spoil()],
    train_dataset=pairs(8, cached=True), loss_graph=sigmoid,
    processing_class=AutoTokenizer.from_pretrained(folder / "model"),
)
try:
    trainer.train()
    outcome = "no failure"
except EvaluationFailed as failure:
    outcome = str(failure)
(folder / str(trainer.args.process_index)).write_text(outcome)
"""


def test_all_ranks_fail_if_weights_end_infinite_on_one(tmp_path, tokenizer):
    """Each rank sees a part of a sharded model; ranks without a fault would wait for ranks that raised."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "preference"))
    from test_preference import FSDP, ROOT, fsdp_variables

    tokenizer.save_pretrained(tmp_path / "model")
    tiny_model().save_pretrained(tmp_path / "model")
    code = ONE_BAD_SHARD.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    (tmp_path / "one_bad_shard.py").write_text(code)
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = os.environ | fsdp_variables() | {"PYTHONPATH": paths}
    subprocess.run([*FSDP, "-m", "one_bad_shard"], env=environment, check=True, capture_output=True, timeout=600)
    outcomes = [(tmp_path / rank).read_text() for rank in "01"]
    assert outcomes == ["diverged: weights of lm_head.weight are not finite after training"] * 2
