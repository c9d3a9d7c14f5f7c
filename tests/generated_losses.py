"""Generated losses in the style of a language model, for fuzz tests of `vet` and for tests that verdicts are stable.

`sources(seed, count)` gives source texts; the same seed gives the same texts. Most are natural and mostly sensible: a margin of
log-ratios, a link function, weights, a penalty, statistics of the batch, arithmetic on beta, constants of two or three digits.
Some have the wrong sign or no gradient: a fuzz wants refusals too. Nothing here is executed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_SIGNATURE = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta"
_IMPORTS = "import math\nimport torch\nimport torch.nn.functional as F\n\n"

_HEADS = (
    """    pi_logratios = policy_chosen_logps - policy_rejected_logps
    ref_logratios = reference_chosen_logps - reference_rejected_logps
    rho = pi_logratios - ref_logratios
    up = policy_chosen_logps - reference_chosen_logps
    down = policy_rejected_logps - reference_rejected_logps
""",
    """    up = policy_chosen_logps - reference_chosen_logps
    down = policy_rejected_logps - reference_rejected_logps
    rho = up - down
""",
    """    pc, pr, rc, rr = policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    rho = (pc - pr) - (rc - rr)
    up, down = pc - rc, pr - rr
""",
)

_BETAS = ("beta", "beta", "beta", "{c} * beta", "beta * (1 + {s})", "math.sqrt(beta)", "beta ** {p}", "max(beta, {s})",
          "beta / (1 + beta)", "(beta if beta < {c} else {c})")  # fmt: skip
"""Scale factors of the margin."""

_MARGINS = ("rho", "rho", "rho", "rho - {c}", "up - {k} * down", "rho + {s} * up", "rho / (1 + {s} * rho.abs())",
            "torch.tanh({s} * rho) / {s}", "rho.clamp(min=-{w}, max={w})", "torch.sign(rho) * torch.log1p(rho.abs())",
            "rho * torch.sigmoid({c} * rho).detach()", "torch.asinh(rho)", "rho - {s} * rho.mean().detach()",
            "rho / (rho.detach().abs().mean() + {c})", "torch.where(rho > {c}, {c} + {s} * (rho - {c}), rho)",
            "rho / torch.sqrt(up ** 2 + down ** 2 + 1)", "torch.minimum(rho, {k} * rho)")  # fmt: skip
"""Expressions in nats that decrease when the policy prefers the chosen answer less."""

_LINKS = ("-F.logsigmoid({x})", "-F.logsigmoid({x})", "F.softplus(-{x})", "F.softplus(-{x}, beta={k})", "F.relu({c} - {x})",
          "F.relu({c} - {x}) ** 2", "({x} - {c}) ** 2", "torch.exp(-{x}.clamp(min=-{w}))", "1 - torch.sigmoid({x})",
          "torch.log1p(torch.exp(-{x}))", "-{x} * torch.sigmoid(-{x}).detach()", "F.huber_loss({x}, torch.full_like({x}, {c}), "
          "reduction='none', delta={k})", "F.elu({c} - {x})", "F.silu(-{x})", "F.gelu({c} - {x})", "F.mish(-{x})",
          "torch.sqrt(1 + {x} ** 2) - {x}", "-torch.atan({x})", "-torch.tanh({x})", "F.leaky_relu({c} - {x}, {s})",
          "-(1 - {s}) * F.logsigmoid({x}) - {s} * F.logsigmoid(-{x})", "torch.where({x} > {c}, {s} * ({c} - {x}), {c} - {x})",
          "F.binary_cross_entropy_with_logits({x}, torch.ones_like({x}), reduction='none')",
          "F.smooth_l1_loss({x}, torch.ones_like({x}) * {c}, reduction='none')", "torch.logaddexp(-{x}, torch.zeros_like({x}))",
          "(1 + torch.exp(-{x})) ** {p} - 1", "-torch.sigmoid({x}) ** {k}", "-F.softsign({x})", "-F.logsigmoid({x}) ** {k}",
          "F.softplus({c} - {x}) - {s} * {x}", "-torch.erf({s} * {x})")  # fmt: skip
"""Losses per pair as functions of the scaled margin."""

_WEIGHTS = ("(1 + {s} * torch.sigmoid(-{x}).detach())", "torch.exp(-{s} * {x}.detach().abs())", "{k}", "(1 - beta * {s})",
            "torch.softmax(-{x}.detach(), dim=0) * {x}.shape[0]", "(reference_chosen_logps / -{w}).exp().clamp(min={s}, max={c})",
            "(1 + {s} * ({x} < 0).float())", "(2 - torch.tanh({x}.detach()))", "(ref_gap.abs() + {c}).rsqrt()",
            "(1 - torch.sigmoid({x}).detach()) ** {k}")  # fmt: skip
_PENALTIES = ("{s} * F.relu(-up)", "{s} * (up - down).pow(2).mean()", "{s} * rho ** 2", "{s} * up.abs()", "{s} * F.softplus(-up)",
              "{s} * (down + {c}).clamp(max=0) ** 2", "{s} * torch.std(rho, unbiased=False)", "{s} * torch.sqrt(rho ** 2 + {c})",
              "-{s} * policy_chosen_logps", "{s} * beta * F.relu(down - up)", "{s} * (policy_chosen_logps - policy_rejected_logps "
              "- {c}).abs()", "{s} * torch.logsumexp(torch.stack([up, down]), dim=0)",
              "{s} * torch.norm(torch.stack([up, down], dim=1), dim=1)", "{s} * F.mse_loss(up, -down, reduction='none')",
              "{s} * (rho - rho.mean().detach()) ** 2", "{s} * torch.maximum(up, down)")  # fmt: skip
_BLOCKS = ("    with torch.no_grad():\n        {t} = torch.sigmoid({x})\n", "    {t} = torch.sigmoid(-{x}).detach()\n",
           "    {t} = (({x} - {x}.mean()) / ({x}.std(unbiased=False) + {c})).detach().sigmoid()\n",
           "    {t} = torch.where({x} > torch.quantile({x}, {q}), {s}, 1.0).detach()\n",
           "    {t} = sum([torch.sigmoid(k * {x}) for k in ({s}, {c}, {k})]).detach() / 3\n",
           "    {t} = ({x} > {c}).float() * {s} + {c}\n", "    {t} = 1 / (1 + ref_gap.abs() / {w})\n")  # fmt: skip
"""Statements that make a weight `{t}`."""


def sources(seed: int, count: int) -> Iterator[str]:
    """`count` source texts. The first n do not depend on `count`."""
    for i in range(count):
        yield source(random.Random(f"{seed}:{i}"))


def source(rng: random.Random) -> str:
    """One source text."""
    body = [rng.choice(_HEADS), "    ref_gap = reference_chosen_logps - reference_rejected_logps\n"]
    body.append(f"    x = ({_filled(rng.choice(_BETAS), rng)}) * ({_filled(rng.choice(_MARGINS), rng)})\n")
    weights = []
    if rng.random() < 0.35:
        body.append(_filled(rng.choice(_BLOCKS).replace("{t}", "weight"), rng))
        weights.append("weight")
    if rng.random() < 0.3:
        weights.append(_filled(rng.choice(_WEIGHTS), rng))
    body.append(f"    losses = {_filled(rng.choice(_LINKS), rng)}\n")
    if rng.random() < 0.15:
        mixed = _filled(rng.choice(_LINKS), rng)
        share = _filled("{s}", rng)
        body.append(f"    losses = (1 - {share}) * losses + {share} * ({mixed})\n")
    if weights:
        body.append(f"    losses = losses * {' * '.join(weights)}\n")
    if rng.random() < 0.35:
        body.append(f"    losses = losses + {_filled(rng.choice(_PENALTIES), rng)}\n")
    if rng.random() < 0.06:
        body.append("    losses = -losses\n")
    ends = ("losses", "losses", "losses", "losses.mean()", "losses, up.detach(), down.detach()")
    body.append(f"    return {rng.choice(ends)}\n")
    imports = _IMPORTS if rng.random() < 0.5 else ""
    return f"{imports}def loss({_SIGNATURE}):\n{''.join(body)}"


def _filled(template: str, rng: random.Random) -> str:
    """The template filled with numbers: {s} small, {c} about one, {k} a factor above one, {p} a power, {q} a share, {w} wide."""
    numbers: dict[str, Callable[[], str]] = {
        "{s}": lambda: f"{rng.choice((0.01, 0.05, 0.1, 0.2, 0.25, rng.uniform(0.01, 0.5))):.3g}",
        "{c}": lambda: f"{rng.choice((0.5, 1.0, 1.0, 2.0, rng.uniform(0.2, 3.0))):.3g}",
        "{k}": lambda: f"{rng.choice((1.5, 2, 2, 3, rng.uniform(1.05, 3.0))):.3g}",
        "{p}": lambda: f"{rng.choice((0.5, 0.75, 1.5, 2)):.3g}",
        "{q}": lambda: f"{rng.choice((0.1, 0.25, 0.5, 0.75, 0.9)):.3g}",
        "{w}": lambda: f"{rng.choice((5, 10, 20, 30, 50)):.3g}",
    }
    out = template.replace("{x}", "x")
    for key, make in numbers.items():
        while key in out:
            out = out.replace(key, make(), 1)
    return out
