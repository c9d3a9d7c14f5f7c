"""Bandit over operators and sampling temperatures: estimates of their rewards so far, and draws by them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, median, pvariance

from archive.records import Operator, Role
from evo.search.operators import BY_NAME, SearchOperator, role_of
from evo.search.selection.members import Member, SelectionSettings, fitness_of, measured


@dataclass(frozen=True, slots=True)
class RewardEstimate:
    """Estimate of an arm's reward in [0, 1]: mean and standard deviation."""

    mean: float
    deviation: float


def arm_name(operator: str, temperature: float) -> str:
    """Name of the bandit's arm for an operator at a temperature."""
    return f"{operator}/{temperature}"


def rewards(members: Sequence[Member], settings: SelectionSettings) -> dict[int, float]:
    """Reward in [0, 1] of each proposed member whose outcome is known, by candidate id.

    A refused, duplicate or failed member has reward 0. Any other has `acceptance` plus (1 - acceptance) times the probability that
    its true fitness is above its best parent's. If no parent was measured, or the operator explores or repairs, the median of all
    members takes the place of the best parent.
    """
    by_id = {m.candidate_id: m for m in members}
    typical = [fitness_of(m) for m in members if measured(m)]
    middle, spread = (median(typical), math.sqrt(pvariance(typical))) if typical else (0.0, 0.0)
    found = {}
    for m in members:
        if m.operator is None:
            continue
        if not m.usable:
            found[m.candidate_id] = 0.0
        elif measured(m):
            parents = [by_id[p] for p in m.parents if p in by_id and measured(by_id[p])]
            if role_of(m.operator) in (Role.EXPLORED_FROM, Role.REPAIRED) or not parents:
                bar, error = middle, 0.0
            else:
                best = max(parents, key=fitness_of)
                bar, error = fitness_of(best), best.standard_error or 0.0
            noise = math.hypot(m.standard_error if m.standard_error is not None else spread, error)
            better = NormalDist().cdf((fitness_of(m) - bar) / noise) if noise else float(fitness_of(m) > bar)
            found[m.candidate_id] = settings.acceptance + (1 - settings.acceptance) * better
    return found


def operator_rewards(members: Sequence[Member], settings: SelectionSettings) -> dict[str, RewardEstimate]:
    """Reward estimate of each operator, by name."""
    return _estimates(members, settings, {m.candidate_id: m.operator or "" for m in members}, settings.priors)


def arm_rewards(members: Sequence[Member], settings: SelectionSettings) -> dict[str, RewardEstimate]:
    """Reward estimate of each operator at each temperature, by `arm_name`."""
    arms = [arm_name(o, t) for o in settings.priors for t in settings.temperatures]
    return _estimates(members, settings, {m.candidate_id: m.arm for m in members}, arms)


def _estimates(
    members: Sequence[Member], settings: SelectionSettings, arm_of: Mapping[int, str], arms: Iterable[str]
) -> dict[str, RewardEstimate]:
    gained = rewards(members, settings)
    weight = {m.candidate_id: settings.discount ** (len(members) - 1 - k) for k, m in enumerate(members)}
    mass = math.fsum(weight[i] for i in gained)
    # The prior mean of each arm is the mean reward of all arms, starting at 0.5.
    typical = (math.fsum(weight[i] * r for i, r in gained.items()) + 0.5) / (mass + 1.0)
    found = {}
    for arm in arms:
        own = [i for i in gained if arm_of[i] == arm]
        n = math.fsum(weight[i] for i in own)
        a = settings.prior_strength * typical + math.fsum(weight[i] * gained[i] for i in own)
        total = settings.prior_strength + n
        mean = a / total
        found[arm] = RewardEstimate(mean, math.sqrt(mean * (1 - mean) / (total + 1)))
    return found


def draw_operator(
    rng: Random, members: Sequence[Member], parents: Mapping[Role, int], settings: SelectionSettings
) -> SearchOperator:
    """Draw an operator for which there are enough parents. `parents`: number of available parents by role."""
    estimates = operator_rewards(members, settings)
    known = [BY_NAME[name] for name in settings.priors]
    possible = [o for o in known if not o.needs_parents or parents[o.role] >= o.parents]
    if not possible:
        return BY_NAME[Operator.EXPLORE]
    rewarded = {o.name: _optimistic(estimates[o.name], settings) if settings.bandit else 1.0 for o in possible}
    return rng.choices(possible, [settings.priors[o.name] * rewarded[o.name] for o in possible])[0]


def draw_temperature(rng: Random, members: Sequence[Member], operator: str, settings: SelectionSettings) -> float:
    """Draw a sampling temperature for an operator."""
    if len(settings.temperatures) == 1 or operator not in settings.priors:
        return settings.temperatures[0]
    if not settings.bandit:
        return rng.choice(settings.temperatures)
    estimates = arm_rewards(members, settings)
    weights = [_optimistic(estimates[arm_name(operator, t)], settings) for t in settings.temperatures]
    return rng.choices(settings.temperatures, weights)[0]


def _optimistic(estimate: RewardEstimate, settings: SelectionSettings) -> float:
    """Weight of an arm: an upper confidence bound to a power. Positive, so that no arm is dropped for good."""
    return math.pow(max(estimate.mean + settings.exploration * estimate.deviation, 0.01), settings.exponent)
