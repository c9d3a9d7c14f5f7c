"""Makes the tiny language model of the embedded sentiment task.

    python scripts/make_sentiment_model.py [--steps 200] [--out fitness/sentiment/data]

Writes config.json, model.safetensors and the tokenizer's files, less than 1 MB in total. Deterministic on one machine: one thread,
one seed, data from templates. Results of other machines differ in the last bits of float32;
tests/fitness/sentiment/test_sentiment.py defines what counts as the same model.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fitness.sentiment.reviews import BOS, EOS, PAD, UNKNOWN, vocabulary, write_reviews

OUT = Path(__file__).resolve().parent.parent / "fitness" / "sentiment" / "data"
STEPS = 200
BATCH = 64  # reviews
LEARNING_RATE = 4e-3
TRAIN_REVIEWS = 20_000
LONGEST = 36  # tokens: prompt, longest body and the special tokens


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word of the templates. It adds no special tokens."""
    words = {word: index for index, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN
    )


def make_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Two layers of width 64, about 90,000 parameters."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    """Token ids (len(texts), LONGEST), padded on the right."""
    rows = tokenizer([f"{BOS} {text} {EOS}" for text in texts], padding="max_length", max_length=LONGEST)
    return torch.tensor(rows["input_ids"])


def negative_log_likelihood(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood per token in nats, without padding; a scalar."""
    logits = model(input_ids=ids).logits[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=model.config.pad_token_id
    )


def train(steps: int, report_every: int = 0) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Supervised training on template reviews; AdamW, cosine schedule to zero."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM(make_config(tokenizer))
    ids = encode(tokenizer, [f"{review.prompt} {review.body}" for review in write_reviews("sft", TRAIN_REVIEWS)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = random.Random("sft order")
    started = time.perf_counter()
    for step in range(1, steps + 1):
        loss = negative_log_likelihood(model, ids[order.sample(range(TRAIN_REVIEWS), BATCH)])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if report_every and step % report_every == 0:
            print(f"step {step:4d}  loss {loss.item():.3f} nats  {time.perf_counter() - started:.1f} s")
    return model.eval(), tokenizer


def held_out_nll(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, reviews: int = 500) -> float:
    """Negative log-likelihood in nats per token on reviews whose prompts were not trained on."""
    texts = [f"{review.prompt} {review.body}" for review in write_reviews("sft held out", reviews, "held_out")]
    with torch.inference_mode():
        return negative_log_likelihood(model, encode(tokenizer, texts)).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model, tokenizer = train(arguments.steps, report_every=50)
    model.save_pretrained(arguments.out)
    (arguments.out / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(arguments.out)
    (arguments.out / "model.safetensors").chmod(0o644)
    figures = {
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "steps": arguments.steps,
        "held_out_nll": round(held_out_nll(model, tokenizer), 4),
    }
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
