"""The losses that a run starts from, and the one of them that its claims are made against: the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from evo.config.schema import Config, ConfigError
from fitness.task import TaskInfo
from fitness.task.faults import did_you_mean
from sandbox import known
from sandbox.contracts.contract import contract_named


def seed_losses(config: Config, info: TaskInfo) -> tuple[str, ...]:
    """The known losses that a run starts from. Raises ConfigError where one is not known."""
    names = config.seeds if config.seeds is not None else contract_named(info.contract).seeds
    there = known.names(info.contract)
    unknown = [name for name in names if name not in there]
    if unknown:
        raise ConfigError(
            f"seeds: no known loss {unknown[0]!r}; known: {', '.join(there)}{did_you_mean(unknown[0], there)}"
        )
    return names


def require_seed_losses(config: Config, info: TaskInfo) -> None:
    """Raises ConfigError where a new run would have no loss to start from.

    Nothing could be compared in it either: fitness counts as a difference to a seed loss.
    """
    if not seed_losses(config, info):
        usual = contract_named(info.contract).seeds
        remedy = f"leave seeds out for the usual ones ({', '.join(usual)})"
        if not usual:
            known_ones = ", ".join(known.names(info.contract)) or f"none yet: give the contract {info.contract} some"
            remedy = f"name some of the known ones ({known_ones})"
        raise ConfigError(
            "seeds: expected at least one known loss, got []: a search starts from them, and claims are made against one; "
            + remedy
        )


def choose_baseline(losses: Sequence[str], contract: str, wanted: str | None = None) -> str | None:
    """The loss that claims are made against: as wanted, else the contract's usual one where it is among `losses`, else the
    first of these; None without any.

    A search asks once, when it is made: its run's row names the baseline from then on.
    """
    usual = contract_named(contract).baseline
    return wanted or (usual if usual in losses else next(iter(losses), None))


def baseline_of_new_run(config: Config, info: TaskInfo) -> str | None:
    """The baseline that a configuration asks for. Raises ConfigError where it is none of the seed losses."""
    names = seed_losses(config, info)
    if config.baseline is not None and config.baseline not in names:
        raise ConfigError(
            f"baseline: {config.baseline!r} is no seed loss of this run, expected one of {', '.join(names) or 'none'}; "
            f"add it to seeds{did_you_mean(config.baseline, names)}"
        )
    return choose_baseline(names, info.contract, config.baseline)
