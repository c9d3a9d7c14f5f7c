"""GPUs of this machine and their assignment to workers, without importing torch."""

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[0-9]+|(GPU|MIG)-[0-9A-Za-z/-]+")


def visible_gpus(variables: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """Names of the GPUs in the form of CUDA_VISIBLE_DEVICES: the variable's list if it is set, else all of the driver's GPUs."""
    listed = variables.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        # CUDA ignores the list from the first invalid name on; -1 and NoDevFiles are the usual ways to hide all GPUs.
        return list(itertools.takewhile(_NAME.fullmatch, (name.strip() for name in listed.split(","))))
    # In a container the numbers of the device files may differ from CUDA's, but their count is right.
    return [str(index) for index, _ in enumerate(devices.glob("nvidia[0-9]*"))]


def share_gpus(gpus: list[str], workers: int, *, grouped: bool) -> list[list[str] | None]:
    """GPU names for each worker; None for every worker if there are no GPUs (its environment is then left unchanged).

    A worker of one process (`grouped` false) gets one GPU: transformers would apply DataParallel over all visible GPUs. With
    fewer GPUs than workers, some workers share a GPU. A launch group gets an equal share of the GPUs.
    """
    if not gpus:
        return [None] * workers
    each = max(1, len(gpus) // workers) if grouped else 1
    return [[gpus[(worker * each + offset) % len(gpus)] for offset in range(each)] for worker in range(workers)]
