"""Facts of the embedded task for prompts."""

from __future__ import annotations

from fitness.sentiment.options import Options


def facts_of(options: Options) -> dict[str, str]:
    """What a proposer should know of a training, by name; all of it follows from the options."""
    return {
        "model": "a Llama of 90,000 parameters that writes short movie reviews; all weights are trained",
        "data": f"{options.pairs} pairs of its own samples; the chosen one has the more positive words",
        "label noise": f"the labels of {100 * options.label_noise:g} % of the pairs are flipped",
        "training": (
            f"{options.full_steps} optimiser steps (passes over the pairs: {options.epochs}, batches of {options.batch_size}); "
            f"a first selection uses {min(options.short_steps, options.full_steps)} steps"
        ),
        "optimiser": f"AdamW, peak learning rate {options.learning_rate:g}, 10 % warm-up, cosine to zero",
        "beta": f"{options.beta:g} per nat",
        "weight of the KL term": f"{options.kl_weight:g} of reward per nat of KL per sequence",
    }
