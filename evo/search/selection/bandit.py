"""Bandit over operators, proposers and sampling temperatures: estimates of their rewards so far, and draws by them.

The estimate is factored: one for each operator, one for each proposer, one for each temperature of a proposer, each shrunk to the
mean reward of all. A run has a few hundred outcomes at most; a product of 4 operators, 3 proposers and 2 temperatures would leave
about ten for each of its arms. A proposer's estimate is divided by what its proposals cost (`Replies.costs`), and counts replies
without a loss as reward 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np

from archive.records import Operator, Role
from evo.search.operators import BY_NAME, SearchOperator
from evo.search.selection.columns import Columns, Floats, Mask, Members
from evo.search.selection.members import OWN_CODE, Member, ProposerArm, SelectionSettings

NEGLIGIBLE, CERTAIN = 0.5, 2.0
"""Gains in standard deviations of a single training: up to the first a gain has no reward, from the second on the whole."""

FORGOTTEN = 1e-12
"""Weight below which an outcome is too old to count, so that a draw looks at a bounded number of members."""


@dataclass(frozen=True, slots=True)
class RewardEstimate:
    """Estimate of an arm's reward in [0, 1]: mean and standard deviation."""

    mean: float
    deviation: float


def arm_name(proposer: str, temperature: float) -> str:
    """Name of the bandit's arm for a proposer at a temperature."""
    return f"{proposer}/{temperature}"


class Outcomes(NamedTuple):
    """The latest members whose outcome is known, with the rewards of those who proposed them."""

    members: Members
    rows: Columns
    gain: Floats
    """What each gained on its best parent, in [0, 1]; 0 for a refused, duplicate or failed member."""
    reward: Floats
    """In [0, 1]: a share for being accepted, the rest for the gain."""
    weight: Floats
    """Smaller for older outcomes."""


def rewards(members: Sequence[Member], settings: SelectionSettings) -> Outcomes:
    """Reward in [0, 1] of each proposed member whose outcome is known and not too old to count.

    A refused, duplicate or failed member has reward 0. Any other has `acceptance` plus (1 - acceptance) times what it gained on its
    best parent: 0 up to NEGLIGIBLE standard deviations of a single training, 1 from CERTAIN of them on. So a change without an
    effect is of no use, and a large gain counts for more than a small one. Both are compared in their first trainings, since scores
    of different rungs cannot be compared. If no parent was measured, or the operator explores or repairs, the upper quartile of all
    members takes the place of the best parent: about what a parent has.
    """
    members = Members.of(members, settings.axes)
    rows, measured = members.columns, members.measured & np.isfinite(members.columns["first"])
    typical = rows["first"][measured]
    usual, spread = (float(np.quantile(typical, 0.75)), float(typical.std())) if typical.size else (0.0, 0.0)
    oldest = math.log(FORGOTTEN) / math.log(settings.discount) if settings.discount < 1 else len(members)
    counted = slice(max(0, len(members) - math.ceil(oldest)), None)
    recent = {name: column[counted] for name, column in rows.items()}
    known = recent["proposed"] & (measured[counted] | ~recent["usable"])
    latest, able = {name: column[known] for name, column in recent.items()}, measured[counted][known]
    ages = np.arange(len(known) - 1, -1, -1)[known]
    error = latest["error"] * np.sqrt(np.maximum(latest["seeds"], 1))
    noise = np.where(np.isnan(error), spread, error)
    ahead = latest["first"] - _bars(latest, rows, measured, usual)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.clip((ahead / noise - NEGLIGIBLE) / (CERTAIN - NEGLIGIBLE), 0.0, 1.0)
    gain = np.where(able, np.where(noise == 0, ahead > 0, share), 0.0)
    reward = np.where(able, settings.acceptance + (1 - settings.acceptance) * gain, 0.0)
    return Outcomes(members, latest, gain, reward, np.power(settings.discount, ages, dtype=np.float64))


def _bars(latest: Columns, rows: Columns, measured: Mask, usual: float) -> Floats:
    """The first score of the best measured parent of each; `usual` where parents do not count."""
    parents, ids = latest["parents"], rows["id"]
    if not len(parents):
        return np.empty(0)
    parents = parents[:, : max(1, int((parents > 0).sum(axis=1).max()))]  # the rest of each row is 0
    at = np.minimum(np.searchsorted(ids, parents), len(ids) - 1)
    counts = (ids[at] == parents) & measured[at] & latest["own_bar"][:, None]
    scores = np.where(counts, rows["first"][at], -math.inf)
    return np.where(counts.any(axis=1), scores.max(axis=1), usual)


def operator_rewards(outcomes: Outcomes, settings: SelectionSettings) -> dict[str, RewardEstimate]:
    """Reward estimate of each operator, by name."""
    return _estimates(outcomes, "operator", settings, settings.priors, {})


def change_weights(outcomes: Outcomes, kinds: Iterable[str], settings: SelectionSettings) -> dict[str, float]:
    """Factor on the prior weight of each kind of change of the built-in proposer, by name; empty without the bandit.

    It is the kind's mean gain over that of all kinds, from `change_strength` outcomes with the mean gain and its own. Most changes
    gain nothing, and a kind that often does harm may gain most, so that a few failures must not count for much.
    """
    names, column, weight = outcomes.members.names, outcomes.rows["change"], outcomes.weight
    told = weight * (column != names.get("", -1))
    if not settings.bandit or not (whole := math.fsum(told * outcomes.gain)):
        return {}
    typical = whole / math.fsum(told)
    mass, gained = (np.bincount(column, w, len(names)).tolist() for w in (told, told * outcomes.gain))
    prior, found = settings.change_strength, {}
    for kind in kinds:
        n, own = (mass[names[kind]], gained[names[kind]]) if kind in names else (0.0, 0.0)
        found[kind] = (prior * typical + own) / (prior + n) / typical
    return found


def proposer_rewards(outcomes: Outcomes, settings: SelectionSettings) -> dict[str, RewardEstimate]:
    """Reward estimate of each proposer, by name. A reply without a loss has reward 0."""
    lost: dict[str, float] = {}
    for answer in outcomes.members.replies.without_loss:
        weight = settings.discount ** (len(outcomes.members) - answer.at)
        lost[answer.proposer] = lost.get(answer.proposer, 0.0) + weight
    return _estimates(outcomes, "proposer", settings, [arm.name for arm in settings.proposers], lost)


def temperature_rewards(
    outcomes: Outcomes, proposer: ProposerArm, settings: SelectionSettings
) -> dict[str, RewardEstimate]:
    """Reward estimate of each temperature of a proposer, by `arm_name`."""
    return _estimates(outcomes, "arm", settings, [arm_name(proposer.name, t) for t in proposer.temperatures], {})


def _estimates(
    outcomes: Outcomes,
    column: str,
    settings: SelectionSettings,
    arms: Iterable[str],
    lost: Mapping[str, float],
) -> dict[str, RewardEstimate]:
    """`lost`: weight of further outcomes with reward 0, by arm."""
    names = outcomes.members.names
    mass = np.bincount(outcomes.rows[column], outcomes.weight, len(names))
    gained = np.bincount(outcomes.rows[column], outcomes.weight * outcomes.reward, len(names))
    # The prior mean of each arm is the mean reward of all arms, starting at 0.5.
    typical = (math.fsum(gained) + 0.5) / (math.fsum(mass) + math.fsum(lost.values()) + 1.0)
    found = {}
    for arm in arms:
        n, own = (mass[names[arm]], gained[names[arm]]) if arm in names else (0.0, 0.0)
        n += lost.get(arm, 0.0)
        total = settings.prior_strength + float(n)
        mean = (settings.prior_strength * typical + float(own)) / total
        found[arm] = RewardEstimate(mean, math.sqrt(max(0.0, mean * (1 - mean)) / (total + 1)))
    return found


def draw_operator(
    rng: Random, outcomes: Outcomes, parents: Mapping[Role, int], settings: SelectionSettings
) -> SearchOperator:
    """Draw an operator for which there are enough parents. `parents`: number of available parents by role."""
    estimates = operator_rewards(outcomes, settings)
    known = [BY_NAME[name] for name in settings.priors]
    possible = [o for o in known if not o.needs_parents or parents[o.role] >= o.parents]
    if not possible:
        return BY_NAME[Operator.EXPLORE]
    rewarded = {o.name: _optimistic(estimates[o.name], settings) if settings.bandit else 1.0 for o in possible}
    return rng.choices(possible, [settings.priors[o.name] * rewarded[o.name] for o in possible])[0]


def draw_proposer(
    rng: Random, outcomes: Outcomes, operator: SearchOperator, settings: SelectionSettings, unavailable: Collection[str]
) -> ProposerArm:
    """Draw a proposer for an operator, none of the `unavailable` ones unless all are."""
    if operator.prompt is None:
        return OWN_CODE
    possible = available(settings, unavailable)
    if len(possible) == 1:
        return possible[0]
    weights = proposer_weights(outcomes, settings)
    return rng.choices(possible, [weights[arm.name] for arm in possible])[0]


def available(settings: SelectionSettings, unavailable: Collection[str]) -> Sequence[ProposerArm]:
    """The proposers without the `unavailable` ones; all of them if all are."""
    return [arm for arm in settings.proposers if arm.name not in unavailable] or settings.proposers


def proposer_weights(outcomes: Outcomes, settings: SelectionSettings) -> dict[str, float]:
    """Weight of each proposer in a draw, by name: its own, times a power of its optimistic reward per cost."""
    if not settings.bandit:
        return {arm.name: arm.weight for arm in settings.proposers}
    estimates = proposer_rewards(outcomes, settings)
    members = outcomes.members
    costs = members.replies.costs(estimates, len(members), settings.discount)
    return {
        arm.name: arm.weight * _optimistic(estimates[arm.name], settings, costs[arm.name]) for arm in settings.proposers
    }


def standing(outcomes: Outcomes, settings: SelectionSettings) -> dict[str, list[float]]:
    """Reward estimate and share in a draw of each proposer, by name, to three decimals; empty with one proposer."""
    if len(settings.proposers) == 1:
        return {}
    estimates, weights = proposer_rewards(outcomes, settings), proposer_weights(outcomes, settings)
    whole = math.fsum(weights.values())
    return {name: [round(estimates[name].mean, 3), round(weights[name] / whole, 3)] for name in weights}


def draw_temperature(rng: Random, outcomes: Outcomes, proposer: ProposerArm, settings: SelectionSettings) -> float:
    """Draw a sampling temperature for a proposer."""
    if len(proposer.temperatures) == 1:
        return proposer.temperatures[0]
    if not settings.bandit:
        return rng.choice(proposer.temperatures)
    estimates = temperature_rewards(outcomes, proposer, settings)
    weights = [_optimistic(estimates[arm_name(proposer.name, t)], settings) for t in proposer.temperatures]
    return rng.choices(proposer.temperatures, weights)[0]


def _optimistic(estimate: RewardEstimate, settings: SelectionSettings, cost: float = 1.0) -> float:
    """Weight of an arm: an upper confidence bound per cost to a power. Positive, so that no arm is dropped for good."""
    return math.pow(max(estimate.mean + settings.exploration * estimate.deviation, 0.01) / cost, settings.exponent)
