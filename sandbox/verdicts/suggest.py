"""What to write in place of a function that losses may not call: nothing, unless it is surely meant or surely equal. No torch.

Three sources, in this order: a table of equal expressions, which a test computes with torch; exposed names of the same letters
(`log_sigmoid`, `nn.relu`, `torch.softplus`) or of the same words; exposed names that differ by a slip of the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

EQUAL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acos": "torch.atan2(torch.sqrt(1 - x * x), x)",
        "acosh": "torch.log(x + torch.sqrt(x * x - 1))",
        "addcdiv": "x + y / z",
        "addcmul": "x + y * z",
        "arccos": "torch.atan2(torch.sqrt(1 - x * x), x)",
        "arccosh": "torch.log(x + torch.sqrt(x * x - 1))",
        "arcsin": "torch.atan2(x, torch.sqrt(1 - x * x))",
        "arctanh": "0.5 * (torch.log1p(x) - torch.log1p(-x))",
        "asin": "torch.atan2(x, torch.sqrt(1 - x * x))",
        "atanh": "0.5 * (torch.log1p(x) - torch.log1p(-x))",
        "cosine_similarity": "(x * y).sum(dim=-1) / (x.norm(dim=-1) * y.norm(dim=-1))",
        "count_nonzero": "(x != 0).sum()",
        "entr": "-torch.xlogy(x, x)",
        "float_power": "torch.pow(x, y)",
        "fmax": "torch.maximum(x, y)",
        "fmin": "torch.minimum(x, y)",
        "isclose": "(x - y).abs() <= 1e-8 + 1e-5 * y.abs()",
        "log_cosh": "torch.logaddexp(x, -x) - math.log(2)",
        "logcosh": "torch.logaddexp(x, -x) - math.log(2)",
        "np.select": "torch.where(x > 0, y, z)",
        "np.std": "torch.std(x, unbiased=False)",
        "np.transpose": "x.T",
        "np.var": "torch.var(x, unbiased=False)",
        "ndtr": "0.5 * torch.erfc(-x / math.sqrt(2))",
        "poisson_nll_loss": "torch.exp(x) - y * x",
        "power": "torch.pow(x, y)",
        "prelu": "torch.where(x > 0, x, y * x)",
        "xlog1py": "x * torch.log1p(y)",
    }
)
"""Functions of tensors by name -> the same value, for operands x, y, z. `np.` stands before what torch means otherwise."""

_SLIPS: Final = ((12, 2), (6, 1))
"""From how many letters on a name may differ by how many slips, its first letter excepted."""
_MOST = 3


def suggestion(excerpt: str) -> str:
    """A sentence with what to write in place of an attribute such as `torch.log_sigmoid`, or nothing."""
    module, _, name = excerpt.rpartition(".")
    numpy = module in ("np", "numpy")
    equal = EQUAL.get(f"np.{name}" if numpy else "") or EQUAL.get(name)
    if equal is not None and module != "math":
        return f" The same for tensors: `{equal}`."
    known = [n for n in _known() if n.startswith("math.") == (module == "math") or (numpy and n[:2] != "x.")]
    same = [n for n in known if _letters(_last(n)) == _letters(name) or _words(_last(n)) == _words(name)]
    if same:
        return f" It is `{'` or `'.join(same[:_MOST])}` here."
    allowed = next((slips for length, slips in _SLIPS if len(name) >= length), 0)
    near = [n for n in known if _last(n)[0] == name[:1] and _is_within(name, _last(n), allowed)] if allowed else []
    return f" Similar names: {', '.join(near[:_MOST])}." if near else ""


@cache
def _known() -> tuple[str, ...]:
    """The names that may be called or read, as source writes them: a function before the method of the same name."""
    from sandbox.child.allowlist.calls import CALLS, CONSTANTS

    calls = [c for c in CALLS if c.recipe not in ("unsupported_type", "to_other_float")]
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
    """Whether b comes from a by so many letters left out, added, exchanged, or swapped with their neighbour."""
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
