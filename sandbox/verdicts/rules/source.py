"""SBX1xx: what source may not say. Told by the jailed child, before anything runs."""

from __future__ import annotations

from textwrap import dedent

from sandbox.verdicts.rules.rule import Rule
from sandbox.verdicts.verdict import Severity

_ARGUMENTS = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta"
_HEAD = f"def loss({_ARGUMENTS}):"
_MARGIN = (
    "    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"
)
GOOD = f"{_HEAD}\n{_MARGIN}\n    return -F.logsigmoid(beta * rho)\n"
"""DPO: the good example wherever nothing more fitting is at hand."""


def example(body: str, before: str = "") -> str:
    """A whole source around the lines of a body that may use `rho`, `beta` and the arguments."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in dedent(body).strip("\n").split("\n"))
    return f"{dedent(before)}{_HEAD}\n{_MARGIN}\n{lines}"


def refuse(
    code: str, title: str, explanation: str, remedy: str, bad: str, good: str = GOOD, message: str = "", line: str = ""
) -> Rule:
    """A rule that refuses the candidate."""
    return Rule(code, title, Severity.REFUSE, explanation, remedy, bad, good, message, line)


SOURCE_RULES = (
    refuse(
        "SBX101",
        "not UTF-8 text",
        "A source is UTF-8 text. Bytes that are not, and lone surrogates in a Python string, are refused unread.",
        "Write the loss as plain text; letters beyond ASCII belong in comments only.",
        "def loss(\udc80): pass\n",
        message="the source is not valid UTF-8 text",
    ),
    refuse(
        "SBX102",
        "source too long",
        "A loss is about fifteen lines. Sources beyond 20,000 bytes or 1,000 lines are refused before they are parsed.",
        "Write the loss in at most a few dozen lines; use a loop over constants instead of repeated lines.",
        example("\n".join(["y = 0.0"] * 1200) + "\nreturn -F.logsigmoid(beta * rho)"),
        message="the source is too long: {0}, at most {1} are allowed",
        line="for k in (0.5, 1.0, 2.0):",
    ),
    refuse(
        "SBX103",
        "control character",
        "NUL bytes, escape sequences and other control characters have no use in a loss, and terminals act on them.",
        "Remove the control characters; indent with spaces.",
        GOOD + "# \x1b[2J\n",
        message="the source contains a control character",
    ),
    refuse(
        "SBX104",
        "invisible or reordering character",
        "Bidirectional controls and zero-width characters make the source look different from what it is (CVE-2021-42574).",
        "Remove the invisible characters.",
        GOOD + "# \u202e\n",
        message="the source contains an invisible character, or one that reorders text",
    ),
    refuse(
        "SBX105",
        "character beyond ASCII in code",
        "Python folds look-alike letters in names to others (NFKC), so names are ASCII. Comments and docstrings are free.",
        "Use ASCII letters for names and operators: beta, not its Greek letter; *, not a multiplication sign.",
        example("λ = 2.0\nreturn -F.logsigmoid(λ * beta * rho)"),
        message="{text} is not an ASCII character",
        line="scale = 2.0",
    ),
    refuse(
        "SBX106",
        "not valid Python",
        "The source does not parse.",
        "Reply with the Python source alone: no Markdown fences, no prose, balanced brackets, consistent indentation.",
        "def loss(:\n    pass\n",
        message="the source is not valid Python here",
    ),
    refuse(
        "SBX107",
        "nested too deep",
        "Brackets, expressions and blocks may be nested only so deep, and a source may hold only so many expressions.",
        "Split the expression into several assignments, or sum in a loop over constants.",
        example("return " + "(" * 70 + "rho" + ")" * 70),
        message="the source is nested too deep or too complex",
        line="terms = [torch.tanh(k * rho) for k in (0.5, 1.0, 2.0)]",
    ),
    refuse(
        "SBX108",
        "literal too large",
        "Integers are bounded by 2**53, floats must be finite, strings take 200 characters, names 64: no loss needs more.",
        "Use a smaller constant.",
        example("return -F.logsigmoid(beta * rho) * 1" + "0" * 60),
        message="the literal {text} is too large",
        line="bound = 1e6",
    ),
    refuse(
        "SBX109",
        "no function",
        "A candidate is a source with one function that takes the contract's arguments.",
        "Define one function with the contract's arguments that returns one loss per item of the batch.",
        "beta = 0.1\n",
        message="the source defines no function",
        line=_HEAD,
    ),
    refuse(
        "SBX110",
        "wrong arguments",
        "One function or method must take the contract's arguments under their names or under names that clearly say which is "
        "meant (docs/sandbox.md has the table), or the policy's two log-probabilities alone. A method reads numbers as "
        "`self.beta`. Further parameters need constant defaults. Other names can be told with --arguments.",
        "Give the function exactly the contract's arguments.",
        "def loss(a, b):\n    return a - b\n",
        message="{text} does not take the contract's arguments",
    ),
    refuse(
        "SBX111",
        "more than one entry function",
        "Several functions take the contract's arguments, or one name is defined twice, so it is not clear which is the loss.",
        "Keep one function with the contract's arguments; give helpers other parameters.",
        GOOD + GOOD.replace("def loss", "def other"),
        message="{0} definitions could be the loss; expected one",
        line="def helper(rho, scale):",
    ),
    refuse(
        "SBX112",
        "statement outside of a function",
        "At the top level a source may import, define functions, and assign constants. Nothing else runs.",
        "Move the statement into the loss function, or remove it.",
        "math.sqrt(2.0)\n" + GOOD,
        message="{text} may not stand outside of a function",
        line="SCALE = 2.0",
    ),
    refuse(
        "SBX113",
        "syntax that losses may not use",
        "Only the syntax that arithmetic needs is allowed; `evopo-sandbox rules --syntax` lists it.",
        "Write it with assignments, arithmetic, calls, loops over constants and conditional expressions.",
        example("return -F.logsigmoid(beta * (y := rho))"),
        message="the syntax of {text} is not allowed in a loss",
        line="y = rho.clamp(min=-30.0, max=30.0)",
    ),
    refuse(
        "SBX114",
        "while loop",
        "A loss runs once on symbols, so its loops must have a constant number of rounds.",
        "Use `for i in range(N)` with a constant N, or a closed form.",
        example("while True:\n    pass\nreturn rho"),
        message="a while loop is not allowed",
        line="for i in range(4):",
    ),
    refuse(
        "SBX115",
        "exceptions",
        "A loss neither raises nor catches exceptions: both would make what it computes depend on how it runs. A `raise` that "
        "the contract's arguments and the other defaults never reach is left out.",
        "Remove try, except and raise; make the formula valid for all inputs, for instance with torch.clamp.",
        example("try:\n    return -F.logsigmoid(beta * rho)\nexcept ValueError:\n    return rho"),
        message="{text}: try is not allowed, nor a raise that the loss reaches",
        line="x = x.clamp(min=-30.0, max=30.0)",
    ),
    refuse(
        "SBX116",
        "with statement",
        "Context managers change state around the loss. `with torch.no_grad():` and `with torch.enable_grad():`, alone and "
        "without `as`, are taken.",
        "Remove the with statement; where gradients should stop use .detach() on the value.",
        example("with torch.autocast('cuda'):\n    y = rho + 1\nreturn -F.logsigmoid(beta * rho)"),
        example("y = (rho + 1).detach()\nreturn -F.logsigmoid(beta * rho) * y * 0 - F.logsigmoid(beta * rho)"),
        message="{text}: this with statement is not allowed",
        line="weight = torch.sigmoid(rho).detach()",
    ),
    refuse(
        "SBX117",
        "class",
        "A class around a loss is taken where it stands at the top level, derives from nn.Module or nothing, and its body holds "
        "methods with `self` first, constants, annotations and docstrings only; of magic methods __init__, forward and "
        "__call__.",
        "Give the function alone, or a plain class with __init__ and forward.",
        "class Loss(dict):\n    pass\n" + GOOD,
        message="{text}: this class, or this part of it, is not taken",
        line="class PreferenceLoss(nn.Module):",
    ),
    refuse(
        "SBX118",
        "value kept between calls",
        "A loss keeps no state between calls: no global or nonlocal, no list that is made outside of the loss and grows in it, no "
        "iterator that is made outside and used up in it.",
        "Make the list or iterator inside of the function; pass values as arguments and return them.",
        example("global K\nreturn -F.logsigmoid(beta * rho)"),
        message="{text} would keep a value between calls",
        line="def helper(rho, scale):",
    ),
    refuse(
        "SBX119",
        "generator or coroutine",
        "Generators and coroutines hold frames, which lead out of every Python sandbox known so far.",
        "Use a list and return.",
        example("def g():\n    yield 1\nreturn -F.logsigmoid(beta * rho)"),
        message="yield, async and await are not allowed",
        line="terms = [k * rho for k in (1.0, 2.0)]",
    ),
    refuse(
        "SBX120",
        "decorator",
        "A decorator runs when the function is defined.",
        "Remove the decorator.",
        "@torch.exp\n" + GOOD,
        message="the decorator {text} is not allowed",
    ),
    refuse(
        "SBX121",
        "starred argument",
        "Arguments are given and taken one by one, so that each can be checked. `*args` and `**kwargs` may stand in a definition "
        "where nothing reads them.",
        "Write out the arguments.",
        example("return torch.stack(*[[rho, rho]]).mean(0)"),
        example("return -F.logsigmoid(beta * torch.stack([rho, rho]).mean(0))"),
        message="{text}: starred arguments are not allowed in a call, nor in a definition that reads them",
        line="return torch.stack([a, b]).mean(0)",
    ),
    refuse(
        "SBX122",
        "text formatting",
        "A loss has no use for text, and str.format reaches attributes that nothing else does (CVE-2023-41039).",
        "Remove the text.",
        example('f"{rho}"\nreturn -F.logsigmoid(beta * rho)'),
        message="formatting text is not allowed",
        line='if loss_type == "hinge":',
    ),
    refuse(
        "SBX123",
        "import",
        "torch, torch.nn.functional (as F) and math are in scope already. Imports of them are tolerated, and of numpy for its "
        "constants; nothing is imported.",
        "Remove the import; torch, F and math are already there, and nothing else is.",
        "import os\n" + GOOD,
        "import torch.nn.functional as F\n" + GOOD,
        message="{text} may not be imported",
        line="import torch.nn.functional as F",
    ),
    refuse(
        "SBX124",
        "import under a taken name",
        "A name that means one thing may not come to mean another.",
        "Import under the usual names: import torch, import math, import torch.nn.functional as F.",
        "import math as F\n" + GOOD,
        message="{text} gives another meaning to a name that is taken",
        line="import math",
    ),
    refuse(
        "SBX125",
        "name that begins with an underscore",
        "Underscored names are where Python keeps its machinery.",
        "Choose a name that begins with a letter.",
        example("rho.__class__\nreturn -F.logsigmoid(beta * rho)"),
        message="{text} begins with an underscore",
        line="margin = rho - 1.0",
    ),
    refuse(
        "SBX126",
        "undefined name",
        "The name is defined nowhere in the source. The arguments, torch, F, math and a few builtins are in scope.",
        "Define the name before its use, or use one of the function's arguments.",
        example("return -F.logsigmoid(beta * margin)"),
        message="{text} is not defined",
        line="rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)",
    ),
    refuse(
        "SBX127",
        "builtin that losses may not use",
        "Only builtins on numbers and lists are there: abs, all, any, bool, dict, enumerate, filter, float, int, isinstance, "
        "len, list, map, max, min, pow, range, reversed, round, sorted, sum, tuple, zip.",
        "Remove the call; a loss is arithmetic on its arguments.",
        example('eval("1")\nreturn -F.logsigmoid(beta * rho)'),
        message="{text} is not available to a loss",
        line="bound = max(0.5, 1.0)",
    ),
    refuse(
        "SBX128",
        "print",
        "A loss computes and returns; it prints nothing.",
        "Remove the print.",
        example("print(rho)\nreturn -F.logsigmoid(beta * rho)"),
        message="print is not available to a loss",
    ),
    refuse(
        "SBX129",
        "unknown attribute",
        "Tensors have the methods and attributes that losses use; `self` has the contract's numbers.",
        "Use an allowed tensor method, or the function of torch or F.",
        example("return -F.logsigmoid(beta * rho.lgamma())"),
        message="{text}: there is no such attribute here",
        line="return torch.log1p(torch.exp(-beta * rho))",
    ),
    refuse(
        "SBX130",
        "function of torch that losses may not use",
        "Only functions that are deterministic, differentiable or harmless, and stay within the graph, are exposed.",
        "Use an exposed function, or compose the value from exp, log, sigmoid, softplus, clamp, where and arithmetic.",
        example("return torch.lgamma(rho)"),
        message="{text} is not available to a loss",
        line="return F.softplus(-beta * rho)",
    ),
    refuse(
        "SBX131",
        "randomness",
        "The same inputs must give the same loss: nothing random, nothing uninitialised.",
        "Remove the randomness; use constants.",
        example("return -F.logsigmoid(beta * rho) + torch.randn_like(rho)"),
        message="{text} is random or uninitialised",
        line="margin = 0.1",
    ),
    refuse(
        "SBX132",
        "method that changes a tensor in place",
        "A loss must not change its arguments, which belong to the trainer.",
        "Use the method without the trailing underscore and keep its result.",
        example("policy_rejected_logps.mul_(0)\nreturn -F.logsigmoid(beta * rho)"),
        message="{text} changes a tensor in place",
        line="x = x.clamp(min=0.0)",
    ),
    refuse(
        "SBX133",
        "value taken out of the computation",
        "Values leave torch for Python, files or memory: gradients stop there, and the loss would depend on how it is run.",
        "Stay with tensors: keep x.mean() as a tensor instead of float(x.mean()) or x.mean().item(); "
        "use .detach() to stop gradients.",
        example("return -F.logsigmoid(beta * rho) * rho.mean().item()"),
        example("return -F.logsigmoid(beta * rho) * torch.sigmoid(rho.mean().detach())"),
        message="{text} takes values out of the computation",
        line="weight = torch.sigmoid(rho.mean().detach())",
    ),
    refuse(
        "SBX134",
        "assignment to an attribute or element",
        "Only names can be assigned. Assigning to attributes or elements changes objects that others see.",
        "Assign to a name; build tensors with torch.where, torch.stack or torch.cat, lists with append.",
        example("rho[0] = 0.0\nreturn rho"),
        message="{text} cannot be assigned to",
        line="losses = torch.where(rho > 0, a, b)",
    ),
    refuse(
        "SBX135",
        "assignment to a protected name",
        "torch, F, math, self and the builtins that losses may call keep their meaning, so that the source means what it seems to "
        "mean.",
        "Choose another name for the variable.",
        example("F = beta\nreturn rho * F"),
        message="{text} is a protected name",
        line="scale = 2.0",
    ),
    refuse(
        "SBX136",
        "default that is not a constant",
        "A default is made once and kept, so a list there is memory between calls.",
        "Use a constant as default: a number, a string, None, or a tuple of them.",
        GOOD.replace("beta)", "beta, state=[])", 1),
        GOOD.replace("beta)", "beta, tau=0.05)", 1),
        message="the default {text} is not a constant",
        line=_HEAD.replace("beta)", "beta, tau=0.05)"),
    ),
    refuse(
        "SBX137",
        "switch of torch's state",
        "Gradients, precision, devices and threads are the trainer's business, and these switches are global.",
        "Remove it; use .detach() on values that should get no gradient.",
        example("torch.set_grad_enabled(False)\nreturn -F.logsigmoid(beta * rho)"),
        message="{text} changes how torch runs",
        line="weight = torch.sigmoid(rho).detach()",
    ),
    refuse(
        "SBX138",
        "del",
        "Nothing can be deleted.",
        "Remove the del statement.",
        example("del F.relu\nreturn -F.logsigmoid(beta * rho)"),
        message="del is not allowed",
    ),
    refuse(
        "SBX139",
        "annotation that computes",
        "Annotations may name types. They are removed before anything runs.",
        "Use plain annotations such as torch.Tensor and float, or none.",
        GOOD.replace("beta)", "beta: exec('1'))", 1),
        GOOD.replace("beta)", "beta: float)", 1),
        message="the annotation {text} is more than a type",
        line=_HEAD.replace("beta)", "beta: float)"),
    ),
    refuse(
        "SBX140",
        "refused by RestrictedPython",
        "A second opinion: RestrictedPython's own checks refuse what ours have let through.",
        "Write it in a plainer way: assignments, arithmetic, calls.",
        GOOD.replace("rho", "x__roles__"),
        message="RestrictedPython refuses this source",
        line="return -F.logsigmoid(beta * rho)",
    ),
    refuse(
        "SBX141",
        "parameter without a value",
        "Besides the contract's arguments a function, and the `__init__` of a class, may have parameters with constant defaults. "
        "This one has none, and nothing says which value is meant.",
        "Give the parameter a constant default.",
        GOOD.replace("beta)", "beta, label_smoothing)", 1),
        GOOD.replace("beta)", "beta, label_smoothing=0.0)", 1),
        message="nothing gives the parameter {text} a value",
    ),
)
