"""SBX25x: notes on what was taken off a source on the way to its graph. They refuse nothing; the loss is as the note says."""

from __future__ import annotations

from sandbox.verdicts.rules.examples import GOOD, example
from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Severity

_DPO = "return -F.logsigmoid(beta * rho)"


def _taken(code: str, title: str, explanation: str, remedy: str, bad: str, message: str, good: str = GOOD) -> Rule:
    return Rule(code, title, Severity.NOTE, explanation, remedy, bad, good, message)


TAKEN_RULES: tuple[Rule, ...] = (
    _taken(
        "SBX250",
        "class taken apart",
        "A class with `__init__`, `forward` and helper methods is the loss that it computes: `__init__` ran with the contract's "
        "beta and its own defaults, `forward` is the loss.",
        "Nothing needs to change; check that the defaults of __init__ are those that you mean.",
        "class Loss(nn.Module):\n"
        "    def __init__(self, beta=0.1):\n"
        "        super().__init__()\n"
        "        self.beta = beta\n\n"
        "    def forward(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, "
        "reference_rejected_logps):\n"
        "        rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)\n"
        "        return -F.logsigmoid(self.beta * rho)\n",
        "the class {text} was taken apart: __init__ ran with the contract's beta and its own defaults",
    ),
    _taken(
        "SBX251",
        "final mean undone",
        "The last step was the mean over the batch, which the trainer takes itself. The loss is what was averaged.",
        "Nothing needs to change.",
        example("return -F.logsigmoid(beta * rho).mean()"),
        "{text} ends with the mean over the batch, which was undone: the trainer takes it",
    ),
    _taken(
        "SBX252",
        "first tensor of several taken",
        "The function returns several values, as published losses do (losses, chosen rewards, rejected rewards). The loss is the "
        "first tensor among them.",
        "Nothing needs to change, if the losses come first.",
        example("losses = -F.logsigmoid(beta * rho)\nreturn losses, beta * rho.detach()"),
        "{text} returns several values; the first tensor is the loss",
    ),
    _taken(
        "SBX253",
        "arguments matched by meaning",
        "The parameters have other names than the contract's arguments, and each name says which one it is.",
        "Nothing needs to change, if the names mean what they say.",
        "def loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta):\n"
        "    rho = (chosen_logps - rejected_logps) - (ref_chosen_logps - ref_rejected_logps)\n"
        f"    {_DPO}\n",
        "the names of the parameters of {text} were matched to the contract",
    ),
    _taken(
        "SBX254",
        "loss without a reference",
        "The function takes the policy's two log-probabilities only. They are sums over the tokens of a completion, as everywhere "
        "here; SimPO and its kin are published with averages per token.",
        "Choose beta and margins for summed log-probabilities.",
        "def loss(policy_chosen_logps, policy_rejected_logps, beta):\n"
        "    return -F.logsigmoid(beta * (policy_chosen_logps - policy_rejected_logps) - 0.5)\n",
        "{text} reads no reference; the log-probabilities that it gets are sums over tokens, not averages",
    ),
    _taken(
        "SBX255",
        "raise that is never reached",
        "With the contract's arguments and the defaults of the others the branch is never taken, and it was left out.",
        "Nothing needs to change.",
        example(f'kind = "sigmoid"\nif kind != "sigmoid":\n    raise ValueError(kind)\n{_DPO}'),
        "{text} is never reached, and was left out",
    ),
    _taken(
        "SBX256",
        "block without gradients became detach",
        "Gradients stop at what is computed inside of `with torch.no_grad():`; in the graph that is a detach.",
        "Nothing needs to change.",
        example(f"with torch.no_grad():\n    y = torch.sigmoid(-beta * rho)\n{_DPO} * (1 + y)"),
        "{text} became detach on what is computed inside and used outside",
        example(f"y = torch.sigmoid(-beta * rho).detach()\n{_DPO} * (1 + y)"),
    ),
    _taken(
        "SBX257",
        "floating type dropped",
        "The trainer chooses the floating type (float32). The conversion was the last step, and was left out.",
        "Nothing needs to change.",
        example("return (-F.logsigmoid(beta * rho)).double()"),
        "the conversion {text} was left out: losses are float32",
    ),
    _taken(
        "SBX258",
        "assertion that is not checked",
        "What it says is known only in training. An assertion changes no value, so it was left out; the numeric tests look for "
        "NaN and infinite values anyway.",
        "Nothing needs to change.",
        example(f"assert not torch.isnan(rho).any()\n{_DPO}"),
        "{text} is known only in training, and is not checked",
    ),
    _taken(
        "SBX259",
        "branch on beta joined by where",
        "Each way through the branches on beta was traced; torch.where chooses between the results when beta is known.",
        "Nothing needs to change, if the loss is meant to be another one at other values of beta.",
        example("scale = 2.0 if beta > 0.5 else 1.0\nreturn -F.logsigmoid(beta * rho) * scale"),
        "{text} depends on beta: both ways were traced, and are joined by where",
    ),
    _taken(
        "SBX260",
        "condition that the contract decides",
        "beta is above zero and a batch has at least one item, so the condition has one outcome, and the other branch was left "
        "out.",
        "Nothing needs to change.",
        example(f"if beta > 0:\n    {_DPO}\nreturn -rho"),
        "{text} is decided by the contract: beta is above zero, and a batch is not empty",
    ),
)
"""The notes, in order of their codes."""
