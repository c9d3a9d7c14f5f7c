"""Shapes f of a loss f(x), where x is a margin: the larger, the more the model prefers the right answer.

Shared by all contracts: x is beta * rho for preference losses, and the margin of the target's logit for classification. Every shape
is finite for |x| up to several hundred, for all of its constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from evo.proposing.genetic.builder import Value, log_uniform, uniform


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a loss: its value, its description with numbers, and a short tag for names."""

    value: Value
    words: str
    tag: str


Shape = Callable[[Random, Value], Piece]


def choose(rng: Random, weighted: Sequence[tuple[float, Shape]]) -> Shape:
    """One of the shapes, in proportion to its weight."""
    return rng.choices([s for _, s in weighted], [w for w, _ in weighted])[0]


def logistic(rng: Random, x: Value) -> Piece:
    """softplus(-a x) / a: Rafailov et al. 2023 at a = 1."""
    a = 1.0 if rng.random() < 0.35 else log_uniform(rng, 0.4, 2.5)
    value = (-(a * x)).softplus() / a
    return Piece(value, "softplus(-x)" if a == 1.0 else f"softplus(-{a:g} x)/{a:g}", "logistic")


def shifted_logistic(rng: Random, x: Value) -> Piece:
    """softplus(m - x): asks for a lead of about m."""
    m = uniform(rng, 0.1, 1.5)
    return Piece((m - x).softplus(), f"softplus({m:g} - x)", "offset")


def hinge(rng: Random, x: Value) -> Piece:
    """max(0, m - x): Zhao et al. 2023 at m = 1."""
    m = log_uniform(rng, 0.4, 2.5)
    return Piece((m - x).relu(), f"relu({m:g} - x)", "hinge")


def smooth_hinge(rng: Random, x: Value) -> Piece:
    """softplus(k (m - x)) / k: between logistic and hinge."""
    m, k = log_uniform(rng, 0.3, 2.0), log_uniform(rng, 1.5, 6.0)
    return Piece((k * (m - x)).softplus() / k, f"softplus({k:g} ({m:g} - x))/{k:g}", "smoothhinge")


def squared(rng: Random, x: Value) -> Piece:
    """(x - m)^2: Azar et al. 2023 in units of beta."""
    m = log_uniform(rng, 0.4, 2.5)
    return Piece((x - m).square(), f"(x - {m:g})^2", "squared")


def squared_hinge(rng: Random, x: Value) -> Piece:
    """max(0, m - x)^2."""
    m = log_uniform(rng, 0.5, 2.5)
    return Piece((m - x).relu().square(), f"relu({m:g} - x)^2", "squarehinge")


def exponential(rng: Random, x: Value) -> Piece:
    """exp(-a x) where x > -c / a, then its tangent: the same pull without the overflow."""
    a, c = log_uniform(rng, 0.4, 1.6), uniform(rng, 1.0, 4.0)
    y = -(a * x)
    value = y.at_most(c).apply("exp") + math.exp(c) * (y - c).relu()
    return Piece(value, f"exp(-{a:g} x), linear beyond exp({c:g})", "exponential")


def huber(rng: Random, x: Value) -> Piece:
    """Huber's loss of x against m: quadratic near it, linear far away."""
    m, delta = log_uniform(rng, 0.4, 2.5), log_uniform(rng, 0.2, 2.0)
    value = x.apply("huber_loss", x.builder.op("full_like", x, m), delta=delta)
    return Piece(value, f"huber(x, {m:g}; delta {delta:g})", "huber")


def leaky(rng: Random, x: Value) -> Piece:
    """A hinge that keeps a small slope beyond its margin."""
    m, slope = log_uniform(rng, 0.4, 2.5), log_uniform(rng, 0.02, 0.4)
    return Piece((m - x).apply("leaky_relu", negative_slope=slope), f"leaky_relu({m:g} - x; {slope:g})", "leaky")


def exponential_linear(rng: Random, x: Value) -> Piece:
    """elu(m - x): linear for what is wrong, saturating exponentially for what is right."""
    m, alpha = log_uniform(rng, 0.2, 2.0), log_uniform(rng, 0.5, 2.0)
    return Piece((m - x).apply("elu", alpha=alpha), f"elu({m:g} - x; {alpha:g})", "elu")


def algebraic(rng: Random, x: Value) -> Piece:
    """((m - x) + sqrt((m - x)^2 + s^2)) / 2: a softplus with heavier tails."""
    m, s = log_uniform(rng, 0.2, 1.5), log_uniform(rng, 0.4, 2.5)
    y = m - x
    value = 0.5 * (y + (y.square() + s * s).apply("sqrt"))
    return Piece(value, f"(y + sqrt(y^2 + {s * s:.3g}))/2 with y = {m:g} - x", "algebraic")


def sigmoidal(rng: Random, x: Value) -> Piece:
    """1 - sigmoid(a x): bounded, so mislabelled items are given up."""
    a = log_uniform(rng, 0.5, 2.5)
    return Piece((-(a * x)).sigmoid(), f"sigmoid(-{a:g} x)", "sigmoid")


def arc(rng: Random, x: Value) -> Piece:
    """-atan(a x): bounded like a sigmoid, with heavier tails."""
    a = log_uniform(rng, 0.4, 2.0)
    return Piece(-(a * x).apply("atan"), f"-atan({a:g} x)", "atan")


def generalised(rng: Random, x: Value) -> Piece:
    """(1 - sigmoid(x)^q) / q: Zhang and Sabuncu 2018 on the preference's probability."""
    q = uniform(rng, 0.1, 0.9)
    value = (1.0 - (q * x.apply("logsigmoid")).apply("exp")) / q
    return Piece(value, f"(1 - sigmoid(x)^{q:g})/{q:g}", "generalised")


def focal(rng: Random, x: Value) -> Piece:
    """sigmoid(-x)^g softplus(-x): Lin et al. 2017; the weight carries no gradient half of the time."""
    gamma = log_uniform(rng, 0.3, 2.5)
    weight = (-(gamma * x.softplus())).apply("exp")
    detached = rng.random() < 0.5
    value = (weight.detach() if detached else weight) * (-x).softplus()
    return Piece(value, f"sigmoid(-x)^{gamma:g} softplus(-x){', weight detached' if detached else ''}", "focal")


def robust_log(rng: Random, x: Value) -> Piece:
    """log(1 + max(0, m - x)^2): the pull of far outliers fades."""
    m, c = log_uniform(rng, 0.5, 2.5), log_uniform(rng, 0.5, 3.0)
    return Piece((c * (m - x).relu().square()).apply("log1p"), f"log(1 + {c:g} relu({m:g} - x)^2)", "cauchy")


def poly(rng: Random, x: Value) -> Piece:
    """softplus(-x) + e sigmoid(-x): Leng et al. 2022."""
    e = uniform(rng, 0.2, 2.0)
    return Piece((-x).softplus() + e * (-x).sigmoid(), f"softplus(-x) + {e:g} sigmoid(-x)", "poly")


def label_smoothed(rng: Random, x: Value) -> Piece:
    """(1 - e) softplus(-x) + e softplus(x): labels taken to be wrong with probability e."""
    e = log_uniform(rng, 0.01, 0.25)
    value = (1.0 - e) * (-x).softplus() + e * x.softplus()
    return Piece(value, f"softplus(-x) with label smoothing {e:g}", "smoothed")


def decayed(rng: Random, x: Value) -> Piece:
    """A logistic whose weight steps at a margin, as in PADLL."""
    low, at = uniform(rng, 0.3, 0.9), uniform(rng, -0.3, 0.5)
    ahead = rng.random() < 0.5
    weights = (1.0, low) if ahead else (low, 1.0)
    value = x.builder.op("where", x.apply("gt", at), weights[1], weights[0]) * (-x).softplus()
    return Piece(value, f"softplus(-x), times {low:g} where x {'>' if ahead else '<='} {at:g}", "decayed")


def curved(rng: Random, x: Value) -> Piece:
    """softplus(-a asinh(x)): the logistic on a margin with logarithmic tails."""
    a = log_uniform(rng, 0.7, 2.5)
    return Piece((-(a * x.apply("asinh"))).softplus(), f"softplus(-{a:g} asinh(x))", "asinh")


SHAPES: tuple[tuple[float, Shape], ...] = (
    (4.0, logistic),
    (1.5, shifted_logistic),
    (1.0, hinge),
    (1.5, smooth_hinge),
    (0.6, squared),
    (1.0, squared_hinge),
    (1.5, exponential),
    (0.7, huber),
    (1.0, leaky),
    (1.0, exponential_linear),
    (1.0, algebraic),
    (0.7, sigmoidal),
    (0.5, arc),
    (1.0, generalised),
    (1.0, focal),
    (0.7, robust_log),
    (1.2, poly),
    (1.0, label_smoothed),
    (0.8, decayed),
    (0.8, curved),
)
"""Shapes with the weight each is drawn by; losses that trained well in the literature weigh more."""

UNBOUNDED: tuple[tuple[float, Shape], ...] = (
    (3.0, logistic),
    (1.0, shifted_logistic),
    (1.5, smooth_hinge),
    (1.0, exponential),
    (1.0, algebraic),
)
"""Shapes with a gradient on every item; they repair losses without a gradient."""


def blend(rng: Random, x: Value, first: Piece, second: Piece) -> Piece:
    """Two pieces mixed: by a constant, a gate on the margin, a statistic of the batch, or the larger or smaller of them."""
    return rng.choices([_constant, _gated, _by_batch, _extreme, _stepped], [3.0, 3.0, 1.2, 1.0, 1.0])[0](
        rng, x, first, second
    )


def _constant(rng: Random, x: Value, first: Piece, second: Piece) -> Piece:
    w = uniform(rng, 0.2, 0.8)
    value = w * first.value + (1.0 - w) * second.value
    return Piece(
        value, f"{w:g} times [{first.words}] plus {1 - w:.3g} times [{second.words}]", f"{first.tag}_{second.tag}"
    )


def _gated(rng: Random, x: Value, first: Piece, second: Piece) -> Piece:
    k = log_uniform(rng, 0.5, 8.0)
    gate = (k * x).sigmoid()
    detached = rng.random() < 0.7
    if detached:
        gate = gate.detach()
    value = _mixed(gate, first, second)
    words = f"[{first.words}] changing to [{second.words}] with the weight {'detached ' if detached else ''}sigmoid({k:g} x)"
    return Piece(value, words, f"gated_{first.tag}_{second.tag}")


def _by_batch(rng: Random, x: Value, first: Piece, second: Piece) -> Piece:
    statistic, value = batch_statistic(rng, x)
    k, m = log_uniform(rng, 0.5, 5.0), uniform(rng, 0.0, 1.0)
    gate = (k * (value - m)).sigmoid().detach()
    words = (
        f"[{first.words}] changing to [{second.words}] where the batch's {statistic} of x exceeds {m:g} (slope {k:g})"
    )
    return Piece(_mixed(gate, first, second), words, f"adaptive_{first.tag}_{second.tag}")


def _extreme(rng: Random, x: Value, first: Piece, second: Piece) -> Piece:
    name = rng.choice(("maximum", "maximum", "minimum", "logaddexp"))
    tag = {"maximum": "max", "minimum": "min", "logaddexp": "smoothmax"}[name]
    value = first.value.apply(name, second.value)
    return Piece(value, f"the {tag} of [{first.words}] and [{second.words}]", f"{tag}_{first.tag}_{second.tag}")


def _stepped(rng: Random, x: Value, first: Piece, second: Piece) -> Piece:
    m = uniform(rng, -0.3, 0.6)
    value = x.builder.op("where", x.apply("gt", m), first.value, second.value)
    return Piece(value, f"[{first.words}] where x > {m:g}, else [{second.words}]", f"stepped_{first.tag}_{second.tag}")


def _mixed(gate: Value, first: Piece, second: Piece) -> Value:
    return (1.0 - gate) * first.value + gate * second.value


def batch_statistic(rng: Random, x: Value) -> tuple[str, Value]:
    """Name and value of one number about the batch; defined at batch size 1 too."""
    name = rng.choice(("mean", "mean", "standard deviation", "mean absolute value", "median"))
    match name:
        case "standard deviation":
            return name, (x.apply("var", correction=0) + 1e-6).apply("sqrt")
        case "mean absolute value":
            return name, x.apply("abs").apply("mean")
        case "median":
            return name, x.apply("quantile", q=0.5)
        case _:
            return name, x.apply("mean")


def batch_middle(rng: Random, x: Value) -> tuple[str, Value]:
    """Name and value of the batch's mean or median of x."""
    if rng.random() < 0.5:
        return "mean", x.apply("mean")
    return "median", x.apply("quantile", q=0.5)
