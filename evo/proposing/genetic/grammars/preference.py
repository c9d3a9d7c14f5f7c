"""Grammar of preference losses: margins, terms on the chosen or the rejected answer, contrasts within the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from evo.proposing.genetic.builder import Builder, Value, log_uniform, uniform
from evo.proposing.genetic.grammars.grammar import Grammar
from evo.proposing.genetic.shapes import Piece, batch_middle

_POLICY = ("policy_chosen_logps", "policy_rejected_logps")
_REFERENCE = ("reference_chosen_logps", "reference_rejected_logps")


def chosen_ratio(b: Builder) -> Value:
    """Log-ratio of policy to reference on the chosen completion, nats, shape (batch,)."""
    return b.input(_POLICY[0]) - b.input(_REFERENCE[0])


def rejected_ratio(b: Builder) -> Value:
    """Log-ratio of policy to reference on the rejected completion, nats, shape (batch,)."""
    return b.input(_POLICY[1]) - b.input(_REFERENCE[1])


def margin(b: Builder) -> Value:
    """x = beta * rho, shape (batch,). Rafailov et al. 2023, eq. 7."""
    return b.input("beta") * ((b.input(_POLICY[0]) - b.input(_POLICY[1])) - _reference_margin(b))


def _reference_margin(b: Builder) -> Value:
    return b.input(_REFERENCE[0]) - b.input(_REFERENCE[1])


def _plain(_: Random, b: Builder) -> Piece:
    return Piece(margin(b), "", "")


def _partial_reference(rng: Random, b: Builder) -> Piece:
    a = uniform(rng, -0.2, 2.2)  # 1 is DPO's margin, 0 the one of losses without a reference
    x = b.input("beta") * (_policy_margin(b) - a * _reference_margin(b))
    return Piece(x, f"with {a:g} of the reference's margin in x", "partref")


def _reference_free(rng: Random, b: Builder) -> Piece:
    return Piece(b.input("beta") * _policy_margin(b), "without the reference in x", "reffree")


def _centred(rng: Random, b: Builder) -> Piece:
    x, a = margin(b), uniform(rng, 0.1, 0.7)
    return Piece(x - a * x.apply("mean").detach(), f"with x minus {a:g} times its batch mean", "centred")


def _standardised(rng: Random, b: Builder) -> Piece:
    x = margin(b)
    a, c = log_uniform(rng, 0.3, 1.5), log_uniform(rng, 0.3, 1.0)
    spread = (x.apply("var", correction=0) + 1e-6).apply("sqrt").detach()
    return Piece(x * a / (spread + c), f"with x times {a:g} over (its spread in the batch + {c:g})", "standardised")


def _squashed(rng: Random, b: Builder) -> Piece:
    s = log_uniform(rng, 1.5, 6.0)
    return Piece(s * (margin(b) / s).apply("asinh"), f"with x replaced by {s:g} asinh(x / {s:g})", "squashed")


def _uneven(rng: Random, b: Builder) -> Piece:
    # Below 0.9 the rejected completion is pushed harder than the chosen one is pulled, and tiny policies collapse.
    a = uniform(rng, 0.9, 1.6)
    x = b.input("beta") * (a * chosen_ratio(b) - (2.0 - a) * rejected_ratio(b))
    return Piece(x, f"with the chosen ratio weighted {a:g} and the rejected {2 - a:.3g} in x", "uneven")


def _each_side(rng: Random, b: Builder) -> Piece:
    """Both log-ratios judged on their own, as in NCA and BCO."""
    w, a, shift = uniform(rng, 0.35, 0.75), log_uniform(rng, 0.7, 3.0), uniform(rng, 0.0, 0.5)
    beta = b.input("beta")
    up, down = a * (beta * chosen_ratio(b)), a * (beta * rejected_ratio(b))
    value = w * (shift - up).softplus() + (1.0 - w) * (down + shift).softplus()
    words = (
        f"{w:g} softplus({shift:g} - {a:g} beta h_w) + {1 - w:.3g} softplus({shift:g} + {a:g} beta h_l) "
        "on the log-ratios h of the two completions"
    )
    return Piece(value, words, "sides")


def _kahneman(rng: Random, b: Builder) -> Piece:
    """Each log-ratio against the batch mean of the other side, clamped at 0: KTO-pair with temperatures."""
    a, w = log_uniform(rng, 0.7, 3.0), uniform(rng, 0.35, 0.65)
    beta, up, down = b.input("beta"), chosen_ratio(b), rejected_ratio(b)
    kept_up, kept_down = (h.apply("mean").at_least(0.0).detach() for h in (up, down))
    gain, loss = a * (beta * (up - kept_down)), a * (beta * (kept_up - down))
    value = w * (-gain).sigmoid() + (1.0 - w) * (-loss).sigmoid()
    return Piece(value, f"{w:g} of KTO's chosen and {1 - w:.3g} of its rejected side at {a:g} beta", "kto")


def _contrast(rng: Random, b: Builder) -> Piece:
    """Each chosen completion against all rejected ones of the batch, and its own twice."""
    w, a = uniform(rng, 0.4, 0.9), log_uniform(rng, 0.7, 2.0)
    beta = b.input("beta")
    up, down = a * (beta * chosen_ratio(b)), a * (beta * rejected_ratio(b))
    others = down.apply("logsumexp", dim=0) - b.op("log", b.op("size", symbol="B"))
    value = w * (down - up).softplus() + (1.0 - w) * (others - up).softplus()
    words = f"{w:g} softplus(-x) and {1 - w:.3g} of a contrast with all rejected of the batch, at {a:g} beta"
    return Piece(value, words, "contrast")


def _pull_up(rng: Random, b: Builder) -> Piece:
    """Pal et al. 2024: do not let the chosen completion lose probability."""
    k = log_uniform(rng, 0.05, 2.0)
    value = k * (b.input("beta") * (-chosen_ratio(b)).relu())
    return Piece(value, f"{k:g} beta relu(-h_w), against a falling probability of the chosen completion", "keep")


def _supervised(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.002, 0.1)
    return Piece(
        -(k * (b.input("beta") * b.input(_POLICY[0]))), f"{k:g} beta of the chosen negative log-likelihood", "sft"
    )


def _drift(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.005, 0.2)
    beta = b.input("beta")
    squares = (beta * chosen_ratio(b)).square() + (beta * rejected_ratio(b)).square()
    return Piece(k * squares, f"{k:g} beta^2 (h_w^2 + h_l^2), against a large distance from the reference", "tether")


def _large_margin(rng: Random, b: Builder) -> Piece:
    k = log_uniform(rng, 0.003, 0.1)
    return Piece(k * margin(b).square(), f"{k:g} x^2, against large margins", "ridge")


def _spread(rng: Random, b: Builder) -> Piece:
    k, x = log_uniform(rng, 0.01, 0.2), margin(b)
    return Piece(k * (x - x.apply("mean").detach()).square(), f"{k:g} (x - mean x)^2, against uneven margins", "even")


def _rejected_floor(rng: Random, b: Builder) -> Piece:
    k, c = log_uniform(rng, 0.02, 0.5), log_uniform(rng, 1.0, 4.0)
    value = k * (-(b.input("beta") * rejected_ratio(b)) - c).relu()
    return Piece(
        value, f"{k:g} relu(-beta h_l - {c:g}), against a very small probability of the rejected completion", "floor"
    )


def _hard_first(rng: Random, b: Builder) -> Piece:
    k, a = log_uniform(rng, 0.3, 3.0), log_uniform(rng, 0.5, 4.0)
    return Piece(
        (1.0 + k * (-(a * margin(b))).sigmoid()).detach(), f"1 + {k:g} sigmoid(-{a:g} x), detached", "hardfirst"
    )


def _easy_first(rng: Random, b: Builder) -> Piece:
    k, a = log_uniform(rng, 0.2, 1.5), log_uniform(rng, 0.5, 4.0)
    return Piece((1.0 + k * (a * margin(b)).sigmoid()).detach(), f"1 + {k:g} sigmoid({a:g} x), detached", "easyfirst")


def _gate(rng: Random, b: Builder) -> Piece:
    """More weight where a difference or sum of log-probabilities is large, or small: labels may differ in reliability."""
    name, signal = rng.choice(_SIGNALS)
    a, floor = log_uniform(rng, 0.05, 1.5) * (1 if rng.random() < 0.5 else -1), uniform(rng, 0.0, 0.3)
    value = floor + (a * signal(b)).sigmoid()
    return Piece(value.detach(), f"{floor:g} + sigmoid({a:g} times {name}), detached", "gated")


def _relative(rng: Random, b: Builder) -> Piece:
    k, x = log_uniform(rng, 0.5, 4.0), margin(b)
    name, middle = batch_middle(rng, x)
    value = 2.0 * (k * (middle - x)).sigmoid()
    return Piece(value.detach(), f"2 sigmoid({k:g} ({name} - x)), detached", "relative")


def _policy_margin(b: Builder) -> Value:
    return b.input(_POLICY[0]) - b.input(_POLICY[1])


def _usual(side: tuple[str, str]) -> Callable[[Builder], Value]:
    """Sum of both completions' log-probabilities less its batch mean, nats: how usual the pair is among those of the batch."""

    def value(b: Builder) -> Value:
        both = b.input(side[0]) + b.input(side[1])
        return both - both.apply("mean")

    return value


_SIGNALS: tuple[tuple[str, Callable[[Builder], Value]], ...] = (
    ("the reference's margin", _reference_margin),
    ("the policy's margin", _policy_margin),
    ("the pair's log-probability under the reference less its batch mean", _usual(_REFERENCE)),
    ("the pair's log-probability under the policy less its batch mean", _usual(_POLICY)),
)
"""What a gate may look at, in words and as a value of several nats: difference and sum of either model's log-probabilities."""


def _agreement(rng: Random, b: Builder) -> Piece:
    """As in PFL: other weights where the policy alone prefers the chosen completion."""
    low = uniform(rng, 0.3, 1.0)
    ahead = b.input(_POLICY[0]).apply("gt", b.input(_POLICY[1]))
    value = b.op("where", ahead, low, 2.0 - low)
    return Piece(value, f"{low:g} where the policy itself prefers the chosen completion, else {2 - low:.3g}", "focus")


def _smoothed(rng: Random, b: Builder, loss: Callable[[Mapping[str, Value]], Value]) -> tuple[Value, str]:
    e = log_uniform(rng, 0.01, 0.2)
    value = (1.0 - e) * loss({}) + e * loss(_swapped(b))
    return value, f"smoothed the labels by {e:g}: that much of the loss of the swapped pair"


def _swapped(b: Builder) -> Mapping[str, Value]:
    up, down, ref_up, ref_down = (b.input(n) for n in (*_POLICY, *_REFERENCE))
    return dict(zip((*_POLICY, *_REFERENCE), (down, up, ref_down, ref_up), strict=True))


def _tempered(b: Builder, factor: float) -> Mapping[str, Value]:
    return {"beta": factor * b.input("beta")}


PREFERENCE_GRAMMAR = Grammar(
    contract="preference",
    margin=margin,
    margin_words="x = beta rho",
    margins=(
        (5.0, _plain),
        (2.5, _partial_reference),
        (0.6, _reference_free),
        (0.3, _centred),
        (0.3, _standardised),
        (0.6, _squashed),
        (0.6, _uneven),
    ),
    whole=((1.0, _each_side), (0.4, _kahneman), (0.6, _contrast)),
    terms=(
        (1.5, _pull_up),
        (1.0, _supervised),
        (1.0, _drift),
        (1.0, _large_margin),
        (0.3, _spread),
        (0.6, _rejected_floor),
    ),
    weights=((1.5, _hard_first), (1.0, _easy_first), (10.0, _gate), (0.5, _relative), (0.6, _agreement)),
    weighing=4.0,
    smoothed=_smoothed,
    reversed_inputs=_swapped,
    tempered_inputs=_tempered,
)
