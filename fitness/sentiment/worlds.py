"""Worlds of the embedded task: the same reviews and model, with another structure in the labels, the pairs or the judge.

A world sets defaults of the task's options, and what no option sets: which labels are wrong, who labels, and how a trained
policy is measured. What a search finds in a world holds for that world.

In every world a fraction `label_noise` of the pairs has its label flipped. A pair is flipped with a probability proportional to

    sigmoid(-(per_nat * d + per_token * l + per_level * s))

where d is the log-probability of the better review minus that of the worse one under the reference, in nats, l the difference of
their lengths in tokens, and s the sum of the two log-probabilities minus its median over the seed's pairs, in nats. Where all
factors are 0, all pairs are equally likely to be flipped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

WorldName = Literal["classic", "strong_noise", "typical", "unfamiliar", "length", "few_pairs", "shifted_judge"]


@dataclass(frozen=True)
class World:
    """One variant of the task."""

    name: WorldName
    structure: str
    """One line: what a loss can make use of, or has to cope with."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of options that the user did not set."""
    per_nat: float = 0.0
    per_token: float = 0.0
    per_level: float = 0.0
    labeller: Literal["word list", "adjectives"] = "word list"
    """Measure of sentiment that ranks the training pairs; the search always measures with the word list."""
    draws_per_pair: float = 1.25
    """Draws of two reviews for each training pair. Two reviews with equal rewards are no pair: about one draw in eight by the word
    list, one in four by adjectives."""
    deviation: float | None = None
    """Standard deviation over seeds of the difference of two good losses at held_out, default options; None: not measured."""
    controlled: bool = True
    """Whether the reward is measured with control variates (`fitness.sentiment.control`), on each prompt equally often."""


_LOW_NOISE = {"samples": 600}  # each prompt of the search, or of the final, twice

_RECORDS = (
    World("classic", "one label in ten is wrong, whatever the pair", deviation=0.045, controlled=False),
    World(
        "strong_noise",
        "one label in three is wrong, whatever the pair",
        _LOW_NOISE | {"label_noise": 0.35},
    ),
    World(
        "typical",
        "labels favour the review that the reference finds more likely: four in ten are wrong, and nearly all of these chose it",
        # At lower betas most losses drift far from the reference, how far differs from seed to seed. Each pair is trained on once,
        # because what there is to learn is in the few pairs whose label chose the unlikely review.
        {"label_noise": 0.4, "beta": 3.0, "learning_rate": 1e-3, "kl_weight": 0.01, "pairs": 1024, "epochs": 1}
        | {"short_steps": 24, "samples": 300},
        per_nat=1.0,
    ),
    World(
        "unfamiliar",
        "labels are wrong where the reference finds both reviews unlikely: four in five of that half of the pairs, hardly any of "
        "the other half",
        # At a higher rate or with smaller batches some losses drift far from the reference; how far differs from seed to seed.
        {"label_noise": 0.4, "learning_rate": 4e-4, "pairs": 1792, "batch_size": 64, "epochs": 1}
        | {"short_steps": 12, "samples": 300},
        per_level=1.0,
        deviation=0.065,  # root mean square of the 15 pairs of six discoveries of default runs, 24 seeds
    ),
    World(
        "length",
        "labels favour the longer review: one in three is wrong, and nearly all wrong ones chose it",
        _LOW_NOISE | {"label_noise": 0.35},
        per_token=0.5,
    ),
    World(
        "few_pairs",
        "64 pairs, each trained on 32 times: a loss should not learn them by heart",
        _LOW_NOISE | {"pairs": 64, "epochs": 32},
    ),
    World(
        "shifted_judge",
        "labels come from a cruder judge than the one that measures: it counts adjectives and overlooks all other words",
        _LOW_NOISE,
        labeller="adjectives",
        draws_per_pair=1.6,
    ),
)

WORLDS: Mapping[str, World] = {world.name: world for world in _RECORDS}

EMBEDDED: WorldName = "unfamiliar"
"""World of a new run that names none."""


def flipped(rng: Random, log_odds: Sequence[float], fraction: float) -> list[int]:
    """Positions of the pairs whose labels are flipped: a `fraction`, a pair with a probability proportional to sigmoid(log_odds).

    Systematic sampling (Madow 1949): the probabilities, in the order of the log-odds, are laid end to end, and every pair is taken
    that a grid of step 1 with a random start meets. So the number of flips does not vary, nor how they spread over the log-odds.
    """
    count, wanted = len(log_odds), round(fraction * len(log_odds))
    if not any(log_odds):
        return rng.sample(range(count), wanted)
    weights = [1.0 / (1.0 + math.exp(-max(-700.0, odds))) for odds in log_odds]
    step = sum(weights) / wanted if wanted else math.inf
    reached, due, taken = 0.0, rng.random() * step, []
    for number in sorted(range(count), key=lambda i: log_odds[i]):
        reached += weights[number]
        if reached > due:  # a pair longer than the step is taken once: a label cannot be flipped twice
            taken.append(number)
            due += step * math.ceil((reached - due) / step)
    return taken
