"""The published losses: source, paper and equation of each, and its graph. Torch-free.

`CONTRACT/NAME.py` is data, never imported or executed as Python: it is read as text and vetted like any candidate.
`CONTRACT/NAME.json` is the graph that tracing gives for it, so that a known loss can be used where nothing is traced;
`scripts/make_known_graphs.py` writes it, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from sandbox.contracts.contract import CONTRACTS
from sandbox.graph.loss_graph import VerifiedGraph


@dataclass(frozen=True, slots=True)
class KnownLoss:
    """A published loss. `equation` is in the field's words: rho is the log-ratio margin in nats, x = beta rho, h_w and
    h_l the log-ratios of the chosen and the rejected completion; p = softmax(logits), z the logits, y the label."""

    name: str
    title: str
    paper: str
    equation: str
    source: str
    contract: str
    trl: str = ""
    """The `loss_type` under which TRL carries the same loss, if it does."""


def names(contract: str | None = None) -> tuple[str, ...]:
    """The known losses, sorted, of one contract or of all. Raises ValueError for a contract that has none."""
    if contract is not None and contract not in CONTRACTS:
        raise ValueError(f"unknown contract {contract!r}: expected one of {', '.join(CONTRACTS)}")
    return tuple(sorted(name for name, of in _index().items() if contract in (None, of)))


@cache
def load(name: str) -> KnownLoss:
    """The known loss called `name`. Raises KeyError that lists the known ones."""
    source = _file(name, "py").read_text("utf-8")
    return KnownLoss(name=name, source=source, contract=_index()[name], **_header(source))


@cache
def graph(name: str) -> VerifiedGraph:
    """The verified graph of the known loss called `name`. Raises KeyError that lists the known ones."""
    return VerifiedGraph.from_json(_file(name, "json").read_text("utf-8"))


@cache
def _index() -> dict[str, str]:
    return {
        entry.name.removesuffix(".py"): contract
        for contract in CONTRACTS
        for entry in files(__name__).joinpath(contract).iterdir()
        if entry.name.endswith(".py")
    }


def _file(name: str, suffix: str) -> Traversable:
    contract = _index().get(name)
    if contract is None:
        raise KeyError(f"no known loss {name!r}: expected one of {', '.join(names())}")
    return files(__name__).joinpath(contract, f"{name}.{suffix}")


def _header(source: str) -> dict[str, str]:
    """The `# key: value` lines that open a source; a comment indented by three spaces continues the line before."""
    header: dict[str, str] = {}
    key = ""
    for line in source.splitlines():
        if not line.startswith("# "):
            break
        if line.startswith("#   "):
            header[key] += " " + line[1:].strip()
        else:
            key, _, value = line[2:].partition(": ")
            header[key] = value
    return header
