"""Movie reviews from templates, and two measures of their sentiment: the data of the embedded task.

A review is a neutral prompt of seven words ("i saw this french comedy yesterday .") and a body of three or four sentences, each
positive, negative or neutral. A hidden polarity biases the sentences. All prompts have the same length, so sampling from
a model needs no padding.

The search uses `lexicon_reward`, a word list with negation and intensifiers after VADER (Hutto and Gilbert 2014). The held-out
rung uses `PolarityClassifier`, which does not use that list: it is trained on reviews and their hidden polarity.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Literal

Split = Literal["train", "search", "held_out"]

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL = (PAD, BOS, EOS, UNKNOWN)

PERSONS = ("i", "we")
SEEING = ("saw", "watched")
DEMONSTRATIVES = ("this", "that")
ORIGINS = ("french", "british", "old", "new", "short", "animated")
FORMS = ("film", "movie", "drama", "comedy", "thriller")
TIMES = ("yesterday", "today", "twice", "again", "recently")
ASPECTS = (
    "acting", "cast", "script", "plot", "story", "music", "ending", "dialogue", "pace", "camera", "hero", "villain",
)  # fmt: skip

GOOD = (
    "wonderful", "great", "brilliant", "charming", "excellent", "moving", "funny", "superb", "good", "pleasant",
    "gripping", "fresh",
)  # fmt: skip
BAD = (
    "awful", "terrible", "boring", "dull", "weak", "poor", "silly", "clumsy", "bad", "tedious", "horrible", "bland",
)  # fmt: skip
INDIFFERENT = ("long", "quiet", "loud", "slow", "simple", "strange", "modern", "familiar")
LIKING = ("loved", "enjoyed", "liked", "admired")
DISLIKING = ("hated", "disliked", "regretted", "resented")
DEGREES = ("very", "really", "quite", "rather")
PRAISE = ("please see it soon", "a joy for everyone", "it is a masterpiece", "worth every minute")
BLAME = ("please avoid it", "a waste of time", "it is a disaster", "not worth a minute")
REMARKS = ("it has two parts", "my friends came too", "it is about a war", "there is a dog")
FUNCTION_WORDS = ("the", "was", "and", "but", "not", "it", "is", "a", ".")


# Valences in the style of VADER, about -4 to 4. Words that are not listed count 0.
VALENCE = {
    "wonderful": 2.7, "great": 3.1, "brilliant": 2.8, "charming": 2.8, "excellent": 2.7, "moving": 1.2, "funny": 1.9,
    "superb": 3.1, "good": 1.9, "pleasant": 2.3, "gripping": 1.4, "fresh": 1.3, "loved": 2.9, "enjoyed": 2.3,
    "liked": 1.8, "admired": 2.3, "joy": 2.8, "masterpiece": 3.1, "worth": 0.9, "awful": -2.0, "terrible": -2.1,
    "boring": -1.3, "dull": -1.7, "weak": -1.9, "poor": -2.1, "silly": -0.6, "clumsy": -1.1, "bad": -2.5,
    "tedious": -1.7, "horrible": -2.5, "bland": -1.0, "hated": -3.2, "disliked": -1.7, "regretted": -1.6,
    "resented": -1.6, "avoid": -1.2, "waste": -1.8, "disaster": -3.1,
}  # fmt: skip
INTENSITY = {"very": 0.293, "really": 0.293, "quite": 0.15, "rather": -0.15}
NEGATED = -0.74  # factor of a word that follows "not" within three words, as in VADER
SATURATION = 15.0  # a sum s becomes s / sqrt(s^2 + 15), as in VADER


@dataclass(frozen=True)
class Review:
    """A prompt, the body that follows it, and the hidden polarity."""

    prompt: str
    body: str
    positive: bool


def vocabulary() -> list[str]:
    """Every word that the templates can produce, special tokens first, in a fixed order."""
    groups: list[Iterable[str]] = [
        SPECIAL, FUNCTION_WORDS, PERSONS, SEEING, DEMONSTRATIVES, ORIGINS, FORMS, TIMES, ASPECTS, GOOD, BAD,
        INDIFFERENT, LIKING, DISLIKING, DEGREES, *(phrase.split() for phrase in (*PRAISE, *BLAME, *REMARKS)),
    ]  # fmt: skip
    return list(dict.fromkeys(word for group in groups for word in group))


def prompts(split: Split) -> list[str]:
    """The prompts of one split, disjoint from the other splits: half for training, a quarter each for search and held-out."""
    parts = (PERSONS, SEEING, DEMONSTRATIVES, ORIGINS, FORMS, TIMES)
    every = [" ".join(words) + " ." for words in product(*parts)]
    random.Random("prompts").shuffle(every)
    start, stop = {"train": (0, 600), "search": (600, 900), "held_out": (900, 1200)}[split]
    return every[start:stop]


def write_review(rng: random.Random, prompt: str) -> Review:
    """One review; its hidden polarity is positive with probability 0.5, and each sentence agrees with it with probability 0.7."""
    positive = rng.random() < 0.5
    moods = [_mood(rng, positive) for _ in range(rng.choice((2, 2, 3)))]
    body = " ".join([*(_sentence(rng, mood) for mood in moods), _closing(rng, _mood(rng, positive))])
    return Review(prompt, body, positive)


def write_reviews(seed: str, count: int, split: Split = "train") -> list[Review]:
    """`count` reviews on prompts of one split; equal for equal seeds on every machine."""
    rng = random.Random(seed)
    pool = prompts(split)
    return [write_review(rng, rng.choice(pool)) for _ in range(count)]


def lexicon_reward(text: str) -> float:
    """Sentiment of a text by the word list, in (-1, 1); 0 for a text without a listed word."""
    words = text.split()
    total = 0.0
    for index, word in enumerate(words):
        valence = VALENCE.get(word, 0.0)
        before = words[max(0, index - 3) : index]
        if before and before[-1] in INTENSITY:
            valence += math.copysign(INTENSITY[before[-1]], valence) if valence else 0.0
        # A full stop ends the scope of a negation.
        if "not" in before[_last_stop(before) :]:
            valence *= NEGATED
        total += valence
    return total / math.sqrt(total * total + SATURATION)


def adjective_reward(text: str) -> float:
    """Good adjectives minus bad ones, saturated as in `lexicon_reward`: a crude judge that overlooks all other words."""
    words = text.split()
    total = 2.0 * (sum(word in GOOD for word in words) - sum(word in BAD for word in words))
    return total / math.sqrt(total * total + SATURATION)


class PolarityClassifier:
    """Naive Bayes classifier over words and pairs of adjacent words, trained on reviews and their hidden polarity.

    `reward` is 2 P(positive) - 1, in (-1, 1), at a temperature that corrects for overlapping features.
    """

    TEMPERATURE = 2.0  # each word counts about twice: alone and in a pair

    def __init__(self, reviews: Sequence[Review]) -> None:
        self._reviews = reviews

    @cached_property
    def _log_odds(self) -> dict[tuple[str, ...], float]:
        counts = {True: Counter[tuple[str, ...]](), False: Counter[tuple[str, ...]]()}
        for review in self._reviews:
            counts[review.positive].update(set(_features(review.body)))
        totals = {side: 2 + sum(review.positive == side for review in self._reviews) for side in (True, False)}
        return {
            feature: math.log((counts[True][feature] + 1) / totals[True])
            - math.log((counts[False][feature] + 1) / totals[False])
            for feature in counts[True] | counts[False]
        }

    def reward(self, text: str) -> float:
        """Sentiment of a text, in (-1, 1); repeated features count once."""
        odds = sum(self._log_odds.get(feature, 0.0) for feature in set(_features(text)))
        return math.tanh(odds / self.TEMPERATURE / 2)


def _mood(rng: random.Random, positive: bool) -> int:
    """1 positive, -1 negative, 0 neutral."""
    draw = rng.random()
    if draw < 0.15:
        return 0
    along = 1 if positive else -1
    return along if draw < 0.85 else -along


def _sentence(rng: random.Random, mood: int) -> str:
    aspect = rng.choice(ASPECTS)
    if mood == 0:
        return f"the {aspect} was {_maybe(rng, DEGREES)}{rng.choice(INDIFFERENT)} ."
    own, other = (GOOD, BAD) if mood > 0 else (BAD, GOOD)
    form = rng.random()
    if form < 0.40:
        return f"the {aspect} was {_maybe(rng, DEGREES)}{rng.choice(own)} ."
    if form < 0.55:
        return f"the {aspect} was {rng.choice(own)} and {rng.choice(own)} ."
    if form < 0.65:
        return f"the {aspect} was {rng.choice(INDIFFERENT)} but {rng.choice(own)} ."
    if form < 0.75:
        return f"the {aspect} was not {rng.choice(other)} ."
    return f"{rng.choice(PERSONS)} {rng.choice(LIKING if mood > 0 else DISLIKING)} the {aspect} ."


def _closing(rng: random.Random, mood: int) -> str:
    return rng.choice({1: PRAISE, 0: REMARKS, -1: BLAME}[mood]) + " ."


def _maybe(rng: random.Random, words: Sequence[str]) -> str:
    return rng.choice(words) + " " if rng.random() < 0.4 else ""


def _features(text: str) -> Iterable[tuple[str, ...]]:
    words = text.split()
    yield from ((word,) for word in words)
    yield from pairwise(words)


def _last_stop(words: Sequence[str]) -> int:
    stops = [index for index, word in enumerate(words) if word == "."]
    return stops[-1] + 1 if stops else 0
