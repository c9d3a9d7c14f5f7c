"""Table of the benchmarks: measured values, target values, and the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A measured value, its target (`reach`), and whether it was reached; both None without a target."""

    value: float | None
    unit: str
    reach: float | None = None
    reached: bool | None = None
    note: str = ""


def at_most(value: float, unit: str, reach: float, note: str = "") -> Figure:
    return Figure(value, unit, reach, value <= reach, note)


def at_least(value: float | None, unit: str, reach: float, note: str = "") -> Figure:
    return Figure(value, unit, reach, value is not None and value >= reach, note)


def show(figures: Mapping[str, Figure], packages: tuple[str, ...], *, as_json: bool) -> None:
    """Prints machine, versions of `packages` and figures, as a table or as one JSON object."""
    machine = _machine() | {name: version(name) for name in packages}
    if as_json:
        print(json.dumps({"machine": machine, "figures": {name: asdict(f) for name, f in figures.items()}}))
        return
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    width = max(map(len, figures), default=0)
    for name, figure in figures.items():
        value = "none" if figure.value is None else f"{figure.value:.3g}"
        reach = "" if figure.reach is None else f"reach {figure.reach:g}: {'yes' if figure.reached else 'NO'}"
        print(f"{name:{width}} {value:>8} {figure.unit:6} {reach:16} {figure.note}".rstrip())


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
