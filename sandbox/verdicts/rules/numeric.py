"""SBX3xx: findings of the numeric tests, which evaluate the graph at probe inputs that the candidate's author cannot know."""

from __future__ import annotations

from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Severity

_HEAD = """\
import torch
import torch.nn.functional as F


def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    x = beta * rho
"""
_GOOD = _HEAD + "    return F.softplus(-x)\n"


def _refuse(code: str, title: str, explanation: str, remedy: str, bad: str, good: str = "", line: str = "") -> Rule:
    good = _HEAD + good if good else _GOOD
    return Rule(code, title, Severity.REFUSE, explanation, remedy, _HEAD + bad, good, line=line)


def _note(code: str, title: str, explanation: str, remedy: str, bad: str, good: str = "", line: str = "") -> Rule:
    good = _HEAD + good if good else _GOOD
    return Rule(code, title, Severity.NOTE, explanation, remedy, _HEAD + bad, good, line=line)


NUMERIC_RULES: tuple[Rule, ...] = (
    _refuse(
        "SBX301",
        "the loss cannot be computed",
        "An operation fails on real tensors although the symbolic shapes agree: for example an index that a small batch does "
        "not have, or an operation that has no gradient, such as x // 2.",
        "Avoid fixed positions and operations without a gradient (instead of x // 2 write torch.floor(x / 2), whose gradient is "
        "zero). The loss must work at every batch size of 2 or more.",
        "    order = torch.argsort(x)\n    return torch.quantile(F.softplus(-x), 0.5) * torch.gather(x, 0, order + "
        "1)\n",
        line="return F.softplus(-x)",
    ),
    _refuse(
        "SBX302",
        "wrong shape",
        "The loss must give one number per item of the batch, shape (batch,), at every batch size of 2 or more.",
        "Return one loss per item: remove every axis that you added, reduce over no other axis, and do not average "
        "over the batch.",
        "    return torch.stack([x, -x]).squeeze().amax(dim=1)\n",
        line="return losses  # shape (batch,), no .sum(), no .mean()",
    ),
    _refuse(
        "SBX303",
        "wrong type",
        "The loss must be a floating-point tensor of the inputs' precision. Integers and booleans have no gradient.",
        "Return a floating-point tensor. Convert a mask to numbers with .float() and multiply it by a value that has a "
        "gradient.",
        "    return (x > 0) + 0\n",
        line="return (x > 0).float() * F.softplus(-x)",
    ),
    _refuse(
        "SBX304",
        "the loss is not finite",
        "The loss is NaN or infinite at inputs that occur in training: |beta rho| up to 30, |rho| up to 1500, "
        "log-probabilities of -2000 or more, batches of two or more, all in float32.",
        "Use the stable form: F.logsigmoid(x) for log(sigmoid(x)), F.softplus(x) for log(1 + exp(x)). Clamp the arguments of "
        "exp, log, sqrt and divisions.",
        "    return -torch.log(x)\n",
        line="y = torch.exp(z.clamp(max=20.0))  # bound the argument, not the result",
    ),
    _refuse(
        "SBX305",
        "a gradient to the policy is not finite",
        "The loss is finite, but its gradient with respect to the policy is NaN or infinite at inputs that occur in training. "
        "Frequent causes are an infinite slope at zero (sqrt, a fractional power, a norm) and the branch that torch.where does "
        "not select: both branches are differentiated, and 0 * inf is NaN.",
        "Keep sqrt, log, division and fractional powers away from zero (add a small constant inside), bound the argument of exp "
        "and not its result, and clamp the input of "
        "the branch that torch.where does not select.",
        "    return torch.where(x > 0, torch.sqrt(x), -x)\n",
        "    return torch.where(x > 0, torch.sqrt(x.clamp(min=0) + 1.0) - 1.0, -x)\n",
        line="y = torch.sqrt(x.clamp(min=0.0) + 1e-6)",
    ),
    _refuse(
        "SBX306",
        "no gradient reaches the policy",
        "The loss does not depend on the policy's log-probabilities through differentiable operations: it does not read them, "
        "or every value computed from them is detached, compared or rounded.",
        "Compute the loss from the policy's values without detach, comparisons or rounding on the way to the result.",
        "    return F.softplus(-x).detach()\n",
        line="return F.softplus(-x)  # x without .detach()",
    ),
    _refuse(
        "SBX307",
        "the gradient is zero everywhere",
        "A gradient path to the policy exists, but the gradient is zero at every probe, or for nearly all pairs that a stage of "
        "training should change, so training would change nothing.",
        "Make the loss change with the policy: do not multiply by zero, do not subtract a value from itself, do not clamp to a "
        "constant.",
        "    return F.softplus(-x) + rho.sign() - F.softplus(-x)\n",
        line="return F.softplus(-x)",
    ),
    _refuse(
        "SBX308",
        "the loss is constant",
        "The loss has the same value and no gradient at every probe.",
        "Make the loss depend on the policy's margin over the reference.",
        "    return x * 0.0 + 1.0\n",
        line="return F.softplus(-x)",
    ),
    _refuse(
        "SBX309",
        "blind to the preference",
        "The gradients stay the same when the chosen and the rejected completion are exchanged (in classification: when the "
        "labels change). Such a loss cannot teach which completion is better.",
        "Treat the two sides differently: the loss must fall when the chosen completion becomes more likely than "
        "the rejected one.",
        "    return x**2\n",
        "    return (x - 1) ** 2\n",
        line="return F.softplus(-x)",
    ),
    _refuse(
        "SBX310",
        "pushes the wrong way",
        "Over nearly the whole range the gradient makes the rejected completion more likely relative to the chosen one (in "
        "classification: the label less likely). The loss probably has the wrong sign.",
        "Change the sign of the margin that the loss is computed from, and nothing else: the loss must fall as the margin of "
        "chosen over rejected grows (in classification: as the label's score grows).",
        "    return F.softplus(x)\n",
        line="x = -x  # at the first line after x is computed",
    ),
    _refuse(
        "SBX311",
        "depends on the position in the batch",
        "The gradient of a pair changes when the batch is reordered. Data are shuffled, so the position of a pair carries no "
        "information.",
        "Do not use roll, flip, cumsum, arange, fixed indices or neighbouring entries along the batch axis.",
        "    return F.softplus(-x + 0.1 * torch.roll(x, 1, 0))\n",
        line="weight = torch.sigmoid(x.detach() - x.detach().mean())",
    ),
    _refuse(
        "SBX312",
        "a gradient too small to train with",
        "The gradient to the policy is too small for an optimiser. Adam adds 1e-8 to its denominator. A gradient below 1e-7 per "
        "log-probability, times the derivative of a log-probability by a single weight, is far below that. DPO's gradient is "
        "about beta / 2.",
        "Multiply the loss by a constant that brings its gradient near beta; remove terms that cancel each other.",
        "    return 1e-10 * F.softplus(-x)\n",
        line="return 1000 * losses  # until its gradient is near beta",
    ),
    _refuse(
        "SBX313",
        "a spike of the gradient",
        "Where some log-probabilities of a pair are equal or nearly equal, at an edge of the loss, or in batches as they occur in "
        "training, its gradient is a million times that of usual pairs, or more. "
        "With gradient clipping, that pair scales the whole step down and nothing is learnt from the others. Without clipping, "
        "its effect stays in the optimiser's state for thousands of steps.",
        "Add a larger constant inside a root or a denominator, for example sqrt(d**2 + 1) instead of abs(d) + 1e-8, or clamp what "
        "exp() gets within narrower bounds.",
        "    d = policy_chosen_logps - policy_rejected_logps\n    return F.softplus(-x) + rho / (d.abs() + 1e-9)\n",
        "    d = policy_chosen_logps - policy_rejected_logps\n    return F.softplus(-x - 0.1 * rho / torch.sqrt(d**2 + 1))\n",
        line="y = d / torch.sqrt(d**2 + 1.0)",
    ),
    _note(
        "SBX321",
        "no gradient to one of the two completions",
        "Only one completion's log-probability receives a gradient; the other one can drift.",
        "Let the loss depend on both completions, unless you intend otherwise.",
        "    return F.softplus(-beta * (policy_chosen_logps - reference_chosen_logps))\n",
        line="x = beta * ((policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps))",
    ),
    _note(
        "SBX322",
        "undefined for a batch of one",
        "For a batch of a single item, the loss or its gradient is NaN or infinite, has another shape, or cannot be computed; "
        "an unbiased variance is an example. The trainer never forms such a batch for this loss. A loss that lowers the margin of "
        "a single item has this note too.",
        "Use correction=0 in var and std, or statistics that exist for one item.",
        "    return torch.sigmoid(x.var()) * F.softplus(-x)\n",
        "    return torch.sigmoid(x.var(correction=0)) * F.softplus(-x)\n",
        line="spread = x.std(correction=0)",
    ),
    _note(
        "SBX323",
        "overflows beyond the usual range",
        "The loss or its gradient is NaN or infinite in float32 for margins beyond |beta rho| = 30, or log-probabilities "
        "below -2,000, which are rare in training.",
        "Bound the argument of exp, for example torch.exp(-x.clamp(min=-30)).",
        "    return torch.exp(-x)\n",
        line="y = torch.exp(-x.clamp(min=-30.0))",
    ),
    _note(
        "SBX324",
        "wrong sign where training starts",
        "Around rho = 0 the loss rises with the margin, so the first steps make the chosen completion less likely relative to "
        "the rejected one. LRML, known as DiscoPOP, has this property too.",
        "Check that the loss falls around rho = 0, unless you intend a barrier there.",
        "    s = torch.sigmoid(x / 0.05)\n    return (1 - s) * F.softplus(-x) + s * torch.exp(-x)\n",
    ),
    _note(
        "SBX325",
        "not convex in the margin",
        "The slope of the loss along the margin decreases somewhere, so the loss of a single pair is concave on some interval.",
        "Nothing needs to change; a convex form is easier to train.",
        "    return torch.sigmoid(-x)\n",
    ),
    _note(
        "SBX326",
        "depends on the other items of the batch",
        "A pair's gradient changes with the other pairs of its batch. The batch size is then part of the loss: it is recorded "
        "with the score, and batches are gathered over micro-batches and ranks.",
        "Nothing needs to change if you intend this. A loss of single pairs is easier to use with another batch size.",
        "    return F.softplus(-(x - x.mean()) - x)\n",
    ),
    _note(
        "SBX327",
        "singles out pairs",
        "At single values of the reference's log-probabilities (or of the policy's, which start there) the loss behaves "
        "differently than at neighbouring values: narrow windows, equality, rounding, waves. The reference's values of a pair "
        "are the same in the whole training, so such a loss can treat pairs that its author knows in a special way.",
        "Let the loss depend on log-ratios and margins; make a condition on log-probabilities hold over more than a nat.",
        "    return torch.where(reference_chosen_logps == -123.25, F.softplus(x), F.softplus(-x))\n",
    ),
    _note(
        "SBX328",
        "loses its precision in float32",
        "The gradient in float32 differs from that in float64 by more than 5 % at usual inputs. The cause is cancellation, or an "
        "overflow that a later operation hides.",
        "Use the stable form: subtract before exponentiating, F.softplus for log(1 + exp(x)), expm1 and log1p near "
        "zero.",
        "    far = x + 1e8\n    return F.softplus(1e8 - far)\n",
        line="return F.softplus(-x)",
    ),
    _refuse(
        "SBX329",
        "no gradient where training starts",
        "When training starts, the policy equals its reference and every margin is zero (in classification: all scores are "
        "equal). There the gradient is zero or negligible for every pair, so training never leaves the start. In torch relu, "
        "abs and sign have the slope 0 at 0, so sign(x) * log1p(abs(x)) has no slope there either.",
        "Shift the kink away from rho = 0, for example torch.relu(1 - x) instead of torch.relu(-x), or use a function with a "
        "slope at 0, for example torch.asinh(x) instead of sign(x) * log1p(abs(x)).",
        "    return torch.relu(-x)\n",
        "    return torch.relu(1 - x)\n",
        line="return torch.relu(1 - x)",
    ),
    _note(
        "SBX330",
        "not shown to be independent of the position in the batch",
        "Reordering changed nothing in batches of the sizes that were tried, but this could not be proved for larger batches: "
        "the formula uses ranks, cumulative sums, fixed entries or positions along the batch.",
        "Use statistics of the batch (mean, std, quantile, sorted values) instead of positions and ranks.",
        "    rank = torch.argsort(torch.argsort(x.detach())).float()\n"
        "    return F.softplus(-x) * (1 + 0.5 / (1 + rank))\n",
        "    return F.softplus(-x) * torch.sigmoid(x.detach() - x.detach().quantile(0.5))\n",
        line="z = (x - x.mean()) / (x.std(correction=0) + 1e-6)",
    ),
    _note(
        "SBX331",
        "lowers negative margins further",
        "For many pairs where the policy clearly prefers the rejected completion, the loss makes the margin even smaller.",
        "Let the loss fall with the margin wherever the margin is negative.",
        "    return torch.where(reference_chosen_logps < -200, F.softplus(x), F.softplus(-x))\n",
    ),
    _refuse(
        "SBX332",
        "a look-up table",
        "The loss changes at many places along the reference's log-probabilities, so it can contain a table of known pairs. The "
        "score of such a loss says nothing about preference optimisation. A loss whose conditions have too many cases to search "
        "for such a table is refused too.",
        "Let the loss depend on log-ratios and margins, which do not identify a pair.",
        "    key = reference_chosen_logps.unsqueeze(1)\n"
        "    known = (key == torch.tensor([-20.5, -31.25, -33.5, -40.25, -41.75, -52.5, -57.0, -58.5, -61.0, -77.25, -80.5, -91.0,"
        " -95.5, -99.75])).any(dim=1)\n"
        "    return F.softplus(torch.where(known, x, -x))\n",
    ),
    _note(
        "SBX333",
        "no gradient for many pairs",
        "Early in training, the loss gives no gradient to most of the pairs that are not learnt yet, at some length of the "
        "completions and some beta: training would leave these pairs as they are.",
        "Give every pair whose margin is not positive a gradient: let a weight have a lower bound above zero.",
        "    weight = torch.where(reference_chosen_logps + reference_rejected_logps < -200, 0.0, 1.0)\n"
        "    return weight * F.softplus(-x)\n",
        "    weight = torch.where(reference_chosen_logps + reference_rejected_logps < -200, 0.1, 1.0)\n"
        "    return weight * F.softplus(-x)\n",
    ),
    _refuse(
        "SBX334",
        "too many places where the loss could fail",
        "Divisions, roots and comparisons can make a loss NaN or infinite at single values. The sandbox searches for "
        "these values, and this loss has more such operations than it searches.",
        "Use fewer of these operations: bound a divisor or the argument of a root once, and write a table of cases as a formula.",
        "    d = x * 0\n"
        + "".join(f"    d = d + 1e-6 / (rho - {40.5 + 3 * k})\n" for k in range(34))
        + "    return F.softplus(-x) + d\n",
        line="d = 1e-6 / (rho.abs() + 1)",
    ),
    _refuse(
        "SBX335",
        "moves both completions together",
        "The loss raises or lowers the log-probabilities of chosen and rejected together: at the start of training far more than "
        "it changes their difference, or more than that and without end once both are below the reference. Training would make "
        "both likely, or both unlikely, instead of learning the preference.",
        "Let most of the gradient change the margin: give a term of one completion, or of the sum of both, a small weight, and the "
        "sign that brings log-ratios back to 0.",
        "    return F.softplus(-x) + 10 * (policy_chosen_logps + policy_rejected_logps - reference_chosen_logps)\n",
        line="return F.softplus(-x) + 0.1 * beta * F.softplus(reference_chosen_logps - policy_chosen_logps)",
    ),
)
"""The numeric rules, in order of their codes."""
