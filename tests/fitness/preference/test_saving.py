"""Policies that the preference task saves: whole models, whose log-probabilities are those of the trained policy."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from test_preference import options, prepared, shared  # noqa: F401
from transformers import AutoModelForCausalLM, AutoTokenizer

from fitness.preference.pairs.sources import drawn
from sandbox.known import graph


def log_prob(model, prompt: list[int], completion: list[int]) -> float:
    """Summed log-probability of a completion, in nats, from one forward pass."""
    with torch.no_grad():
        scores = model(torch.tensor([prompt + completion])).logits[0].log_softmax(dim=-1)
    return sum(scores[len(prompt) - 1 + i, token].item() for i, token in enumerate(completion))


@pytest.mark.parametrize("changes", [{}, {"lora": {"r": 4}}], ids=["full", "adapter"])
def test_a_saved_policy_has_the_margins_of_the_trained_one(options, tmp_path, changes):  # noqa: F811
    task = prepared(options(**changes))
    task.save_policy(graph("dpo"), "full", 3, tmp_path / "dpo")
    task.save_policy(None, "full", 0, tmp_path / "reference")
    policy, reference = (AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("dpo", "reference"))
    train = drawn(task._runner.data["train"], task.options.pairs, "pairs 3")
    margins = [
        sum(
            sign
            * (log_prob(policy, pair["prompt_ids"], pair[side]) - log_prob(reference, pair["prompt_ids"], pair[side]))
            for side, sign in (("chosen_ids", 1), ("rejected_ids", -1))
        )
        for pair in train.select(range(6))
    ]
    assert margins == pytest.approx(task.pair_margins(graph("dpo"), "full", 3)[:6], abs=1e-3)
    assert sum(margins) > 0.1, "training changed the policy"
    for name in ("dpo", "reference"):
        assert AutoTokenizer.from_pretrained(tmp_path / name).eos_token == "<eos>"
        assert not list((tmp_path / name).glob("*.bin")) and not list((tmp_path / name).glob("adapter*"))


def test_saving_leaves_the_base_model_as_it_was(options, tmp_path):  # noqa: F811
    task = prepared(options(lora={"r": 4}))
    first = task.score_seed(graph("dpo"), "short", 0)
    task.save_policy(graph("slic"), "short", 1, tmp_path / "slic")
    assert task.score_seed(graph("dpo"), "short", 0).metrics == first.metrics
