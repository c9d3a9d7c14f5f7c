"""Suggestions for a function that losses may not call: an equal expression, or a name that was probably meant. No torch.

Sources, in this order: a table of equal expressions, which a test checks with torch; a table of what to write instead; available
names with the same letters (`log_sigmoid`, `nn.relu`, `torch.softplus`) or the same words; available names that differ by a typing
error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

EQUAL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acos": "torch.atan2(torch.sqrt((1 - x * x).clamp(min=1e-12)), x)",
        "acosh": "torch.log(x + torch.sqrt(x * x - 1))",
        "arccos": "torch.atan2(torch.sqrt((1 - x * x).clamp(min=1e-12)), x)",
        "arccosh": "torch.log(x + torch.sqrt(x * x - 1))",
        "arcsin": "torch.atan2(x, torch.sqrt((1 - x * x).clamp(min=1e-12)))",
        "arctanh": "0.5 * (torch.log1p(x) - torch.log1p(-x))",
        "asin": "torch.atan2(x, torch.sqrt((1 - x * x).clamp(min=1e-12)))",
        "atanh": "0.5 * (torch.log1p(x) - torch.log1p(-x))",
        "entr": "-torch.xlogy(x, x.clamp(min=1e-6))",
        "float_power": "torch.pow(x, y)",
        "fmax": "torch.maximum(x, y)",
        "fmin": "torch.minimum(x, y)",
        "log_cosh": "torch.logaddexp(x, -x) - math.log(2)",
        "logcosh": "torch.logaddexp(x, -x) - math.log(2)",
        "np.select": "torch.where(x > 0, y, z)",
        "np.std": "torch.std(x, unbiased=False)",
        "np.transpose": "x.T",
        "np.var": "torch.var(x, unbiased=False)",
        "power": "torch.pow(x, y)",
        "prelu": "torch.where(x > 0, x, y * x)",
        "xlog1py": "x * torch.log1p(y)",
    }
)
"""Functions of tensors by name -> an equal expression of operands x, y, z. The prefix `np.` marks names that differ in torch."""

IN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "baddbmm": "torch.matmul and +",
        "bucketize": "sums of comparisons, such as `(x > 1.0).float() + (x > 2.0).float()`",
        "cdist": "differences of `x.unsqueeze(1)` and `y.unsqueeze(0)`, and .norm",
        "cov": "means of products of differences to the mean",
        "histc": "means of comparisons",
        "index_select": "torch.gather, or an index such as `x[order]`",
        "layer_norm": "`(x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)`",
        "log_ndtr": (
            "`torch.where(x > -5, torch.log(0.5 * torch.erfc(-x.clamp(min=-5) / math.sqrt(2))), -0.5 * x * x - 0.919 "
            "- torch.log(-x.clamp(max=-5)))`, which is within 0.04 of it"
        ),
        "mode": "torch.median",
        "tensordot": "products of tensors and .sum(dim), or torch.matmul",
    }
)
"""Functions without one equal expression -> what to write instead."""

_SLIPS: Final = ((12, 2), (6, 1))
"""(letters, typing errors): a name of at least so many letters may have so many errors, but not in its first letter."""
_MOST = 3


def suggestion(excerpt: str) -> str:
    """A sentence with a replacement for an attribute such as `torch.log_sigmoid`; "" if there is none."""
    module, _, name = excerpt.rpartition(".")
    numpy = module in ("np", "numpy")
    equal = EQUAL.get(f"np.{name}" if numpy else "") or EQUAL.get(name)
    if equal is not None and module != "math":
        return f" The same for tensors: `{equal}`."
    if name in IN_WORDS and module != "math":
        return f" Write it with {IN_WORDS[name]}."
    known = [n for n in _known() if n.startswith("math.") == (module == "math") or (numpy and n[:2] != "x.")]
    same = [n for n in known if _letters(_last(n)) == _letters(name) or _words(_last(n)) == _words(name)]
    if same:
        return f" It is `{'` or `'.join(same[:_MOST])}` here."
    allowed = next((slips for length, slips in _SLIPS if len(name) >= length), 0)
    near = [n for n in known if _last(n)[0] == name[:1] and _is_within(name, _last(n), allowed)] if allowed else []
    return f" Similar names: {', '.join(near[:_MOST])}." if near else ""


@cache
def _known() -> tuple[str, ...]:
    """The names that a source may call or read, a function before the method of the same name."""
    from sandbox.child.allowlist.calls import CALLS, CONSTANTS

    calls = [c for c in CALLS if c.lowering not in ("unsupported_type", "to_other_float")]
    names = [c.name for c in calls if not c.path.startswith("Tensor.")]
    names += [n for n in CONSTANTS if n.startswith("math.")]
    names += [c.name for c in calls if c.path.startswith("Tensor.")]
    first = {(_last(n), n.startswith("math.")): n for n in reversed(names)}
    return tuple(n for n in names if first[_last(n), n.startswith("math.")] == n)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _letters(name: str) -> str:
    return name.lower().replace("_", "")


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(name.lower().split("_")))


def _is_within(a: str, b: str, slips: int) -> bool:
    """Whether at most `slips` letters must be removed, added, replaced, or swapped with a neighbour to turn a into b."""
    if abs(len(a) - len(b)) > slips or a == b:
        return False
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, last = row, before
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1] <= slips
