"""Grammar of classification losses: the target's probability, its margin over the other classes, the whole distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from evo.proposing.genetic.builder import Builder, Value, log_uniform, uniform
from evo.proposing.genetic.grammars.grammar import Grammar
from evo.proposing.genetic.shapes import Piece, batch_middle

_MASK = -1e4
"""Added to the target's logit to leave it out of a log-sum-exp; far below any logit, and finite in float32."""


def _all_log_probabilities(b: Builder) -> Value:
    return b.input("logits").apply("log_softmax", dim=1)


def _at_target(b: Builder, scores: Value) -> Value:
    index = b.input("targets").apply("unsqueeze", dim=1)
    return scores.apply("gather", index, dim=1).apply("squeeze", dim=1)


def _log_probability(b: Builder) -> Value:
    """Log-probability of the target, nats, shape (batch,)."""
    return _at_target(b, _all_log_probabilities(b))


def margin(b: Builder) -> Value:
    """The target's logit less the log-sum-exp of the others, shape (batch,): cross-entropy is softplus(-x)."""
    logits = b.input("logits")
    others = (logits + _MASK * b.input("targets").apply("one_hot", symbol="C")).apply("logsumexp", dim=1)
    return _at_target(b, logits) - others


def _plain(_: Random, b: Builder) -> Piece:
    return Piece(margin(b), "", "")


def _against_best(_: Random, b: Builder) -> Piece:
    logits = b.input("logits")
    best = (logits + _MASK * b.input("targets").apply("one_hot", symbol="C")).apply("amax", dim=1)
    return Piece(_at_target(b, logits) - best, "with x the lead over the best other class", "best")


def _tempered_margin(rng: Random, b: Builder) -> Piece:
    t = log_uniform(rng, 0.5, 2.0)
    return Piece(margin(b) / t, f"with x / {t:g} for x", "tempered")


def _squashed(rng: Random, b: Builder) -> Piece:
    s = log_uniform(rng, 2.0, 8.0)
    return Piece(s * (margin(b) / s).apply("asinh"), f"with x replaced by {s:g} asinh(x / {s:g})", "squashed")


def _cross_entropy(rng: Random, b: Builder) -> Piece:
    e = log_uniform(rng, 0.01, 0.3)
    value = b.input("logits").apply("cross_entropy", b.input("targets"), label_smoothing=e)
    return Piece(value, f"cross-entropy with label smoothing {e:g}", "smoothed")


def _generalised(rng: Random, b: Builder) -> Piece:
    q = uniform(rng, 0.1, 0.9)
    value = (1.0 - (q * _log_probability(b)).apply("exp")) / q
    return Piece(value, f"(1 - p^{q:g})/{q:g} of the target's probability p", "generalised")


def _focal(rng: Random, b: Builder) -> Piece:
    gamma, lp = log_uniform(rng, 0.3, 3.0), _log_probability(b)
    weight = ((1.0 - lp.apply("exp")).at_least(0.0) + 1e-6).apply("pow", gamma)
    detached = rng.random() < 0.5
    value = -((weight.detach() if detached else weight) * lp)
    return Piece(value, f"(1 - p)^{gamma:g} times -log p{', weight detached' if detached else ''}", "focal")


def _brier(rng: Random, b: Builder) -> Piece:
    p = b.input("logits").apply("softmax", dim=1)
    w = uniform(rng, 0.0, 0.5)
    square = (p - b.input("targets").apply("one_hot", symbol="C")).square().apply("sum", dim=1)
    if w < 0.1:
        return Piece(square, "squared distance of the probabilities from the label", "brier")
    value = (1.0 - w) * square - w * _log_probability(b)
    return Piece(value, f"{1 - w:.3g} of the squared distance from the label and {w:g} of -log p", "brier")


def _poly(rng: Random, b: Builder) -> Piece:
    e, lp = uniform(rng, -0.5, 3.0), _log_probability(b)
    return Piece(-lp + e * (1.0 - lp.apply("exp")), f"-log p + {e:g} (1 - p)", "poly")


def _symmetric(rng: Random, b: Builder) -> Piece:
    a, c, lp = uniform(rng, 0.1, 1.0), uniform(rng, 1.0, 6.0), _log_probability(b)
    value = a * -lp + c * (1.0 - lp.apply("exp"))
    return Piece(value, f"{a:g} of -log p and {c:g} of 1 - p, as in symmetric cross-entropy", "symmetric")


def _taylor(rng: Random, b: Builder) -> Piece:
    k = rng.randint(2, 5)
    miss = 1.0 - _log_probability(b).apply("exp")
    value = power = miss
    for n in range(2, k + 1):
        power = power * miss
        value = value + power / float(n)
    return Piece(value, f"-log p expanded to order {k} in 1 - p", "taylor")


def _logit_norm(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.0005, 0.02)
    return Piece(k * b.input("logits").square().apply("mean", dim=1), f"{k:g} times the mean squared logit", "ridge")


def _confidence(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.02, 0.4)
    lp = _all_log_probabilities(b)
    return Piece(k * (lp.apply("exp") * lp).apply("sum", dim=1), f"{k:g} times the negative entropy", "entropy")


def _uniform(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.01, 0.2)
    return Piece(-(k * _all_log_probabilities(b).apply("mean", dim=1)), f"{k:g} of uniform label smoothing", "uniform")


def _normaliser(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.001, 0.05)
    value = k * b.input("logits").apply("logsumexp", dim=1).square()
    return Piece(value, f"{k:g} times the squared log-normaliser", "znorm")


def _hard_first(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.3, 3.0)
    value = (1.0 + k * (1.0 - _log_probability(b).apply("exp"))).detach()
    return Piece(value, f"1 + {k:g} (1 - p), detached", "hardfirst")


def _easy_first(rng: Random, b: Builder) -> Piece:
    q = log_uniform(rng, 0.1, 1.0)
    value = ((q * _log_probability(b)).apply("exp") + 0.05).detach()
    return Piece(value, f"p^{q:g} + 0.05, detached", "easyfirst")


def _relative(rng: Random, b: Builder) -> Piece:
    k, x = log_uniform(rng, 0.3, 2.0), margin(b)
    name, middle = batch_middle(rng, x)
    easy = rng.random() < 0.5
    value = 2.0 * (k * ((x - middle) if easy else (middle - x))).sigmoid()
    order = f"x - {name}" if easy else f"{name} - x"
    return Piece(value.detach(), f"2 sigmoid({k:g} ({order})), detached", "relative")


def _smoothed(rng: Random, b: Builder, loss: Callable[[Mapping[str, Value]], Value]) -> tuple[Value, str]:
    e = log_uniform(rng, 0.01, 0.3)
    value = (1.0 - e) * loss({}) - e * _all_log_probabilities(b).apply("mean", dim=1)
    return value, f"smoothed the labels by {e:g}: that much cross-entropy to the uniform distribution"


def _reversed(b: Builder) -> Mapping[str, Value]:
    return {"logits": -b.input("logits")}


def _tempered(b: Builder, factor: float) -> Mapping[str, Value]:
    return {"logits": factor * b.input("logits")}


CLASSIFICATION_GRAMMAR = Grammar(
    contract="classification",
    margin=margin,
    margin_words="x = the target's logit less the log-sum-exp of the others",
    margins=((5.0, _plain), (1.0, _against_best), (1.0, _tempered_margin), (1.0, _squashed)),
    whole=(
        (1.5, _cross_entropy),
        (1.5, _generalised),
        (1.0, _focal),
        (1.0, _brier),
        (1.0, _poly),
        (1.0, _symmetric),
        (0.7, _taylor),
    ),
    terms=((1.0, _logit_norm), (1.5, _confidence), (1.5, _uniform), (0.7, _normaliser)),
    weights=((1.0, _hard_first), (1.5, _easy_first), (1.0, _relative)),
    smoothed=_smoothed,
    reversed_inputs=_reversed,
    tempered_inputs=_tempered,
)
