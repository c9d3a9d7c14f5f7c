"""A printed TRL trainer gives the same training as TRL's own trainer with the same loss."""

import copy

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from sandbox import known
from sandbox.graph.printers import to_trl


class AsItIs:
    """Tokenised data."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


def printed(name: str, called: str):
    scope: dict[str, object] = {}
    exec(to_trl(known.graph(name), called), scope)
    return scope[called.capitalize() + "Trainer"]


def trained(cls, loss_type: str, tmp_path, *, cached: bool) -> list[torch.Tensor]:
    words = {w: i for i, w in enumerate(["<unk>", "<eos>", "<pad>", *map(str, range(17))])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")), eos_token="<eos>", pad_token="<pad>"
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    rows = [{"prompt_ids": [3, 4], "chosen_ids": [5 + i, 6, 1], "rejected_ids": [7, 8 + i, 9, 1]} for i in range(8)]
    args = DPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=4, max_steps=4, learning_rate=1e-2, beta=0.3, bf16=False,
        gradient_checkpointing=False, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
        loss_type=loss_type, precompute_ref_log_probs=cached, logging_strategy="no", label_smoothing=0.1,
    )  # fmt: skip
    trainer_class = type("Quiet", (AsItIs, cls), {})
    trainer = trainer_class(
        model,
        ref_model=None if cached else copy.deepcopy(model),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    return [p.detach().clone() for p in trainer.model.parameters()]


@pytest.mark.parametrize(
    ("name", "called", "cached"),
    [("dpo", "mine", True), ("dpo", "loss", False), ("robust", "policy", True), ("robust", "tokens", False)],
)
def test_the_printed_trainer_reaches_the_same_weights_as_trl(name, called, cached, tmp_path):
    """For any name of the function, including names that the trainer uses."""
    loss_type = known.load(name).trl
    ours = trained(printed(name, called), "hinge", tmp_path, cached=cached)
    theirs = trained(DPOTrainer, loss_type, tmp_path, cached=cached)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5)
