"""The length-controlled win rate: what the win rate would be if both answers had the same length.

Dubois et al. 2024 (arXiv 2404.04475), eq. 2 and 3: a logistic regression of the preference for the model's answer m over the
baseline's answer b to instruction x,

    logit P(m wins) = theta + phi tanh((len m - len b) / sd(len m - len b)) + psi gamma(x),

theta = theta_m - theta_b the quality, phi the effect of length, psi = psi_m - psi_b that of the instruction's difficulty gamma(x).
The rate is the mean of P over the instructions with the length term left out. Lengths are in characters, and sd is the sample
standard deviation over the instructions. The parameters are estimated as the package alpaca_eval (0.6) does: with an L1 penalty,
whose strength C is chosen out of ten by cross-validation over instructions in five parts. Three forms of it:

    length_controlled_v1        with gamma, and with the answers of two gamed baselines, which pull phi and psi (weight 0.1 each)
    length_controlled_noreg     with gamma
    length_controlled_minimal   without gamma: for instructions whose difficulty nobody has estimated

A small C sets parameters to zero exactly, so a rate of exactly one half means that the penalty won, and not that it was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STRENGTHS: Array = np.logspace(-4, 4, 10)
"""C: weight of the data against the penalty."""
PARTS = 5
GAMED_WEIGHT = 0.1
"""Weight of a gamed baseline's answer: 0.2 over the two of them."""
LEAST_QUESTIONS = 10
"""Fewest instructions that the model is fitted to: two in each part of the cross-validation."""
TINY = 1e-15
"""Probabilities are cut to [TINY, 1 - TINY] in the score of the cross-validation."""


@dataclass(frozen=True)
class Sample:
    """Judged comparisons of one policy with one opponent, one element for each question."""

    questions: tuple[str, ...]
    preference: Array
    """Points of the policy's answer, in [0, 1]."""
    longer: Array
    """Characters by which the policy's answer is longer than the opponent's."""
    difficulty: Array | None = None
    gamed: tuple[Array, Array, Array] | None = None
    """Gamed baselines, in one element for each of their answers: preference, (len m - len b) / sd, and difficulty."""

    @property
    def form(self) -> str:
        """The package's name for the form of the model that these data allow."""
        if self.difficulty is None:
            return "length_controlled_minimal"
        return "length_controlled_noreg" if self.gamed is None else "length_controlled_v1"


@dataclass(frozen=True)
class LengthControl:
    """The fitted model."""

    rate: float
    """Length-controlled win rate, in [0, 1]."""
    quality: float
    """theta."""
    length: float
    """phi: above 0, the longer answer wins."""
    difficulty: float | None
    """psi."""
    strength: float
    """The chosen C."""
    spread: float
    """Standard error of the mean of the predictions. It is published as the rate's error, but knows no noise of the judgements."""


class NotIdentified(ValueError):
    """Data that the effect of length cannot be told from. The message says why."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits the library of linear algebra to one thread.

    In products of three columns, its threads only wait for each other: on a busy machine a fit took up to fifty times as long.
    """
    import scipy.optimize  # noqa: F401 - loads that library; later it would have all its threads
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@_one_thread()
def length_controlled(sample: Sample) -> LengthControl:
    """The length-controlled win rate. Raises NotIdentified for few questions, and if all lengths differ by the same number."""
    if len(sample.questions) < LEAST_QUESTIONS:
        raise NotIdentified(f"{len(sample.questions)} judged questions, at least {LEAST_QUESTIONS} are needed")
    ours, weights, preference, design = _training(sample, np.ones(len(sample.questions)))
    strength = _chosen(design, preference, weights)
    fitted = _fit(design, preference, weights, strength)
    predicted = _predicted(sample, fitted)
    return LengthControl(
        rate=float(predicted.mean()),
        quality=float(fitted[-1]),
        length=float(fitted[0]),
        difficulty=None if sample.difficulty is None else float(fitted[1]),
        strength=strength,
        spread=float(predicted.std(ddof=1) / np.sqrt(ours)),
    )


@_one_thread()
def redrawn(
    samples: Sequence[Sample], controls: Sequence[LengthControl], draws: int, seed: int = 0
) -> tuple[Array, Array]:
    """Win rates and length-controlled win rates of redrawn questions, each of shape (draws, samples): the bootstrap.

    All samples get the same questions in a draw, since what is special about a question is so for all of them. C stays as it was
    chosen. A draw whose lengths all differ by the same number is nan in the second array.
    """
    names = list(dict.fromkeys(name for sample in samples for name in sample.questions))
    place = {name: number for number, name in enumerate(names)}
    columns = [np.array([place[name] for name in sample.questions]) for sample in samples]
    rng = np.random.default_rng(seed)
    plain, controlled = np.full((draws, len(samples)), np.nan), np.full((draws, len(samples)), np.nan)
    for draw in range(draws):
        counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names))).astype(np.float64)
        for number, (sample, control, column) in enumerate(zip(samples, controls, columns, strict=True)):
            times = counts[column]
            if not times.any():
                continue
            plain[draw, number] = np.average(sample.preference, weights=times)
            try:
                _, weights, preference, design = _training(sample, times)
            except NotIdentified:
                continue
            fitted = _fit(design, preference, weights, control.strength)
            controlled[draw, number] = np.average(_predicted(sample, fitted), weights=times)
    return plain, controlled


def _training(sample: Sample, times: Array) -> tuple[int, Array, Array, Array]:
    """Number of own rows, weights, preferences and design of the training; gamed rows first. `times`: how often a question occurs.

    The columns of the design are length, difficulty (if there is one) and quality, which gamed rows do not have.
    """
    total = times.sum()
    middle = np.average(sample.longer, weights=times)
    deviation = float(np.sqrt((times * (sample.longer - middle) ** 2).sum() / max(total - 1, 1)))
    if deviation == 0 and middle != 0:
        raise NotIdentified(
            f"all answers are longer than the opponent's by {middle:g} characters, so length and quality are one"
        )
    length = np.tanh(sample.longer / deviation) if deviation else np.zeros_like(sample.longer)
    ones = np.ones_like(length)
    own = [length, ones] if sample.difficulty is None else [length, sample.difficulty, ones]
    design, preference, weights = np.stack(own, axis=1), sample.preference, times
    if sample.gamed is not None:
        liked, longer, difficulty = sample.gamed
        gamed = np.stack([np.tanh(longer), difficulty, np.zeros_like(longer)], axis=1)
        design = np.concatenate([gamed, design])
        preference = np.concatenate([liked, preference])
        weights = np.concatenate([np.full(len(liked), GAMED_WEIGHT), weights])
    return len(times), weights, preference, design


def _predicted(sample: Sample, fitted: Array) -> Array:
    """Probabilities that the policy's answers win if they are as long as the opponent's, one for each question."""
    logits = np.full(len(sample.questions), fitted[-1])
    if sample.difficulty is not None:
        logits = logits + fitted[1] * sample.difficulty
    return _sigmoid(logits)


def _chosen(design: Array, preference: Array, weights: Array) -> float:
    """The C with the best mean score over the parts; the smallest of equal ones."""
    part = np.arange(len(preference)) % PARTS
    scores = np.zeros(len(STRENGTHS))
    for held_out in range(PARTS):
        kept, left = part != held_out, part == held_out
        start: Array | None = None
        for number, strength in enumerate(STRENGTHS):
            start = _fit(design[kept], preference[kept], weights[kept], float(strength), start)
            chance = np.clip(_sigmoid(design[left] @ start), TINY, 1 - TINY)
            gained = preference[left] * np.log(chance) + (1 - preference[left]) * np.log(1 - chance)
            scores[number] += float((weights[left] * gained).mean()) / PARTS
    return float(STRENGTHS[int(np.argmax(scores))])


def _fit(design: Array, preference: Array, weights: Array, strength: float, start: Array | None = None) -> Array:
    """Parameters b that minimise  |b|_1 + C sum_i w_i logloss(preference_i, sigmoid(design_i b)),  divided by C sum w.

    b = up - down with up, down >= 0, where the penalty is linear, so that a method with bounds finds exact zeros.
    """
    from scipy.optimize import minimize

    size = design.shape[1]
    total = float(weights.sum())
    price = 1 / (strength * total)
    shares = weights / total

    def loss(both: Array) -> tuple[float, Array]:
        logits = design @ (both[:size] - both[size:])
        value = float(shares @ (np.logaddexp(0, logits) - preference * logits))
        slope = design.T @ (shares * (_sigmoid(logits) - preference))
        return value + price * float(both.sum()), np.concatenate([slope, -slope]) + price

    first = np.zeros(2 * size) if start is None else np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)])
    found = minimize(
        loss, first, jac=True, method="L-BFGS-B", bounds=[(0, None)] * (2 * size), options={"ftol": 1e-14, "gtol": 1e-9}
    )
    solution: Array = found.x[:size] - found.x[size:]
    return solution


def _sigmoid(logits: Array) -> Array:
    result: Array = np.exp(-np.logaddexp(0, -logits))
    return result
