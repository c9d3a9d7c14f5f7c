"""Known losses: published losses with source, paper, equation and graph. No torch.

A contract's record names a folder (`losses`). `NAME.py` in it is data: it is read as text and vetted like any candidate, and is
never imported or executed. `NAME.json` is its graph, so that a known loss can be used without tracing.
`scripts/make_known_graphs.py` writes the graphs of this package, and a test checks that they match the sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox.contracts.contract import CONTRACTS, ContractError, contract_named
from sandbox.contracts.references import located
from sandbox.graph.loss_graph import VerifiedGraph


@dataclass(frozen=True, slots=True)
class KnownLoss:
    """A published loss. In `equation` rho is the margin in nats, x = beta rho, h_w and h_l are the log-ratios of the chosen and
    the rejected completion; p = softmax(logits), z are the logits, y is the label."""

    name: str
    title: str
    paper: str
    equation: str
    source: str
    contract: str
    trl: str = ""
    """The `loss_type` of the same loss in TRL; "" if TRL does not have it."""
    scores: str = ""
    """Published scores of exactly this version; "" if none was published."""


FORMER_NAMES = {"aql": "aql_repository", "pfl": "pfl_repository"}
"""Names in older archives and configurations, each of the version that it stood for. The losses were published in two versions."""


def names(contract: str | None = None) -> tuple[str, ...]:
    """The names of the known losses, sorted, of one contract or of all. Raises ValueError for an unknown contract."""
    if contract is not None:
        contract_named(contract)
    return tuple(sorted(name for name, of in _index().items() if contract in (None, of)))


def is_known(name: str, contract: str) -> bool:
    """Whether an archive's loss called `name` is a known loss of `contract`, by its present or former name."""
    return _index().get(FORMER_NAMES.get(name, name)) == contract


def two_versions(name: str) -> str:
    """What to say of a former name that a user gives: the names of the two versions. "" for any other name."""
    if name not in FORMER_NAMES:
        return ""
    return (
        f"{name!r} was published in two versions: {name}_found is the one that the search found and scored, {name}_repository that "
        "of the authors' later code; name one of them"
    )


@cache
def load(name: str) -> KnownLoss:
    """The known loss with this present or former name.

    Raises KeyError, which lists the known ones, and ContractError if its header is incomplete.
    """
    name = FORMER_NAMES.get(name, name)
    source = _file(name, "py").read_text("utf-8")
    contract, header = _index()[name], _header(source)
    try:
        return KnownLoss(name=name, source=source, contract=contract, **header)
    except TypeError:
        raise ContractError(
            f"contract {contract!r}: losses: {name}.py should begin with the lines `# title: ...`, `# paper: ...` and "
            f"`# equation: ...`, but begins with {', '.join(header) or 'none of these'}"
        ) from None


@cache
def graph(name: str) -> VerifiedGraph:
    """The verified graph of the known loss with this present or former name. Raises KeyError that lists the known ones."""
    return VerifiedGraph.from_json(_file(FORMER_NAMES.get(name, name), "json").read_text("utf-8"))


def _index() -> dict[str, str]:
    """The contract of each known loss by name. Raises ContractError if two losses have the same name."""
    found: dict[str, str] = {}
    for contract in CONTRACTS:
        for name in _in_folder(contract):
            if name in found:
                raise ContractError(
                    f"contract {contract!r}: losses: {name!r} is also a {found[name]} loss; give it another name"
                )
            found[name] = contract
    return found


@cache
def _in_folder(contract: str) -> tuple[str, ...]:
    folder = _folder(contract)
    return tuple(sorted(entry.stem for entry in folder.glob("*.py"))) if folder else ()


def _folder(contract: str) -> Path | None:
    losses = contract_named(contract).losses
    return located(losses, f"contract {contract!r}: losses") if losses else None


def _file(name: str, suffix: str) -> Path:
    contract = _index().get(name)
    folder = _folder(contract) if contract else None
    if folder is None:
        raise KeyError(f"no known loss {name!r}: expected one of {', '.join(names())}")
    return folder / f"{name}.{suffix}"


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
