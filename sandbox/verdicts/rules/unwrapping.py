"""SBX250 to SBX265: notes on how a source was unwrapped: what was removed or rewritten before tracing. They refuse nothing."""

from __future__ import annotations

from sandbox.verdicts.rules.examples import ARGUMENTS, DPO, GOOD, HEAD, MARGIN, example
from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Severity


def _unwrapping(code: str, title: str, explanation: str, remedy: str, bad: str, message: str, good: str = GOOD) -> Rule:
    return Rule(code, title, Severity.NOTE, explanation, remedy, bad, good, message)


UNWRAPPING_RULES: tuple[Rule, ...] = (
    _unwrapping(
        "SBX250",
        "class unwrapped",
        "The source is a class with `__init__`, `forward` and perhaps helper methods. `__init__` ran with the contract's beta "
        "and its own defaults, and `forward` is the loss.",
        "Nothing needs to change; check that the defaults of __init__ are those that you intend.",
        "class Loss(nn.Module):\n"
        "    def __init__(self, beta=0.1):\n"
        "        super().__init__()\n"
        "        self.beta = beta\n\n"
        "    def forward(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, "
        "reference_rejected_logps):\n"
        "        rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)\n"
        "        return -F.logsigmoid(self.beta * rho)\n",
        "the class {text} was unwrapped: __init__ ran with the contract's beta and its own defaults",
    ),
    _unwrapping(
        "SBX251",
        "final mean removed",
        "The last step was the mean over the batch, which the trainer computes itself. The loss is the tensor before that mean. "
        "A sum divided by the number of items is a mean, and so is one divided by the sum of weights, or with weights that add up "
        "to one: each item's part, times the number of items. Several losses of an item, as columns or as whole batches one after "
        "the other, become one.",
        "Nothing needs to change.",
        example("return -F.logsigmoid(beta * rho).mean()"),
        "{text} ends with the mean over the batch, which was removed: the trainer computes it",
    ),
    _unwrapping(
        "SBX252",
        "first of several results used",
        "The function returns several values, as published losses do (losses, chosen rewards, rejected rewards). The loss is the "
        "first tensor among them.",
        "Nothing needs to change if the losses come first.",
        example("losses = -F.logsigmoid(beta * rho)\nreturn losses, beta * rho.detach()"),
        "{text} returns several values; the first tensor is the loss",
    ),
    _unwrapping(
        "SBX253",
        "arguments matched by name",
        "The parameters have other names than the contract's arguments. Each was matched to an argument by the words in its name.",
        "Nothing needs to change if the matching is right.",
        "def loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta):\n"
        "    rho = (chosen_logps - rejected_logps) - (ref_chosen_logps - ref_rejected_logps)\n"
        f"    {DPO}\n",
        "the names of the parameters of {text} were matched to the contract",
    ),
    _unwrapping(
        "SBX254",
        "loss without a reference",
        "The function takes the policy's two log-probabilities only. They are sums over the tokens of a completion. SimPO and "
        "similar losses are published with averages per token.",
        "Choose beta and margins for summed log-probabilities.",
        "def loss(policy_chosen_logps, policy_rejected_logps, beta):\n"
        "    return -F.logsigmoid(beta * (policy_chosen_logps - policy_rejected_logps) - 0.5)\n",
        "{text} reads no reference; the log-probabilities that it gets are sums over tokens, not averages",
    ),
    _unwrapping(
        "SBX255",
        "raise that is never reached",
        "With the contract's arguments and the defaults of the others the branch is never reached, so it was removed.",
        "Nothing needs to change.",
        example(f'kind = "sigmoid"\nif kind != "sigmoid":\n    raise ValueError(kind)\n{DPO}'),
        "{text} is never reached, and was removed",
    ),
    _unwrapping(
        "SBX256",
        "no_grad block replaced by detach",
        "Values computed inside `with torch.no_grad():`, or in a function with `@torch.no_grad()`, pass no gradient on. In the "
        "graph this is a detach.",
        "Nothing needs to change.",
        example(f"with torch.no_grad():\n    y = torch.sigmoid(-beta * rho)\n{DPO} * (1 + y)"),
        "{text} was replaced by detach on each value that is computed inside and used outside",
        example(f"y = torch.sigmoid(-beta * rho).detach()\n{DPO} * (1 + y)"),
    ),
    _unwrapping(
        "SBX257",
        "floating-point type removed",
        "The trainer chooses the floating-point type (float32). The conversion was the last step, and was removed.",
        "Nothing needs to change.",
        example("return (-F.logsigmoid(beta * rho)).double()"),
        "the conversion {text} was removed: losses are float32",
    ),
    _unwrapping(
        "SBX258",
        "assertion that is not checked",
        "The condition depends on values that exist only in training. An assertion changes no value, so it was removed. The "
        "numeric tests look for NaN and infinite values in any case.",
        "Nothing needs to change.",
        example(f"assert not torch.isnan(rho).any()\n{DPO}"),
        "{text} can be evaluated only in training, and is not checked",
    ),
    _unwrapping(
        "SBX259",
        "branch on beta joined by where",
        "Every path through the branches on beta, or on whether the batch has one item, was traced; torch.where selects between "
        "the results when beta and the batch are known.",
        "Nothing needs to change if you intend different losses at different values of beta.",
        example("scale = 2.0 if beta > 0.5 else 1.0\nreturn -F.logsigmoid(beta * rho) * scale"),
        "{text} depends on beta or on a batch of one: both branches were traced and are joined by torch.where",
    ),
    _unwrapping(
        "SBX260",
        "condition that the contract decides",
        "beta is above zero and a batch has at least one item, so the condition has a single outcome. The other branch was "
        "removed.",
        "Nothing needs to change.",
        example(f"if beta > 0:\n    {DPO}\nreturn -rho"),
        "{text} is decided by the contract: beta is above zero, and a batch is not empty",
    ),
    _unwrapping(
        "SBX261",
        "description of the module removed",
        "Names such as `__all__` and `__version__` describe a module to those who import it. A loss is not imported, so they "
        "were removed.",
        "Nothing needs to change.",
        f'__all__ = ["loss"]\n\n\n{GOOD}',
        "{text} has no effect on the loss, and was removed",
    ),
    _unwrapping(
        "SBX262",
        "helper with the loss's arguments",
        "Several functions take the arguments of the contract. One was vetted: the one that calls the others, or whose "
        "parameters have the contract's own names. The verdict does not hold for the others.",
        "Nothing needs to change, if the function that was vetted is the loss.",
        f"def plain({ARGUMENTS}):\n{MARGIN}\n    {DPO}\n\n\n{HEAD}\n    return 2.0 * plain({ARGUMENTS})\n",
        "{text} takes the loss's arguments too, and was not vetted on its own",
    ),
    _unwrapping(
        "SBX263",
        "wrapping without effect removed",
        "`@torch.compile` and `@torch.jit.script` make a function faster, `@staticmethod` changes nothing in a module, and "
        "`with torch.autocast(..., enabled=False):` computes in float32, as the trainer does.",
        "Nothing needs to change.",
        "@torch.compile\n" + GOOD,
        "{text} has no effect on the loss, and was removed",
    ),
    _unwrapping(
        "SBX264",
        "report removed",
        "A loss has no output besides its result: what it prints, logs or warns of was dropped. The numbers in a report, such as "
        "`rho.mean().item()`, may also be kept and returned beside the loss.",
        "Nothing needs to change.",
        example(f'print(f"margin {{rho.mean().item():.3f}}")\n{DPO}'),
        "{text} has no effect on the loss, and was removed",
    ),
    _unwrapping(
        "SBX265",
        "exception that is never caught",
        "A loss that raises while it is traced is refused, so what `except` would do was removed. What the body of `try` computes "
        "is the loss.",
        "Nothing needs to change.",
        example(f"try:\n    {DPO}\nexcept RuntimeError:\n    return rho"),
        "nothing in {text} raises: what it would catch was removed",
    ),
)
"""The notes, in order of their codes."""
