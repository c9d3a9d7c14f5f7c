"""Facts of the embedded task for prompts."""

from __future__ import annotations

from fitness.sentiment.options import Options


def facts_of(options: Options) -> dict[str, str]:
    """What a proposer should know of a training, by name; all of it follows from the options."""
    counted = _COUNTED[options.record.labeller]
    return {
        "model": "a Llama of 90,000 parameters that writes short movie reviews; all weights are trained",
        "data": f"{options.pairs} pairs of its own samples; the chosen one has the more positive {counted}",
        "label noise": _label_noise(options),
        "training": (
            f"{options.full_steps} optimiser steps (passes over the pairs: {options.epochs}, batches of {options.batch_size}); "
            f"a first selection uses {min(options.short_steps, options.full_steps)} steps"
        ),
        "optimiser": f"AdamW, peak learning rate {options.learning_rate:g}, 10 % warm-up, cosine to zero",
        "beta": f"{options.beta:g} per nat",
        "weight of the KL term": f"{options.kl_weight:g} of reward per nat of KL per sequence",
    }


_COUNTED = {"word list": "words", "adjectives": "adjectives, although fitness counts all positive words"}


def _label_noise(options: Options) -> str:
    """How many labels are wrong, and how they are wrong where a loss can see it."""
    said = f"the labels of {100 * options.label_noise:g} % of the pairs are flipped"
    if not options.label_noise:
        return said
    if options.record.per_nat:
        return (
            f"{said}, and not at random: a label that chose the completion that the reference finds more likely "
            "(reference_chosen_logps above reference_rejected_logps) is often wrong, one that chose the less likely completion is "
            "nearly always right"
        )
    if options.record.per_level:
        return (
            f"{said}, and not at random: nearly all of them are in pairs whose completions both have a low log-probability under "
            "the reference (reference_chosen_logps + reference_rejected_logps below its mean over the batch)"
        )
    if options.record.per_token:
        return f"{said}, and not at random: nearly all of them chose the longer completion, usually that of lower log-probability"
    return f"{said}, at random"
