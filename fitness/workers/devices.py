"""Which GPUs there are, and which worker gets which, without importing torch."""

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[0-9]+|(GPU|MIG)-[0-9A-Za-z/-]+")


def visible_gpus(variables: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """Names of the GPUs as CUDA_VISIBLE_DEVICES takes them: its own list if it is set, else all of the driver's."""
    listed = variables.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        # CUDA ignores everything from the first invalid name on, and -1 and NoDevFiles are the customary ones.
        return list(itertools.takewhile(_NAME.fullmatch, (name.strip() for name in listed.split(","))))
    # In a container the nodes' numbers need not be CUDA's, their count is right.
    return [str(index) for index, _ in enumerate(devices.glob("nvidia[0-9]*"))]


def share_gpus(gpus: list[str], workers: int, *, grouped: bool) -> list[list[str] | None]:
    """The GPUs of each worker; None leaves its environment as it is, for want of GPUs.

    A worker of one process (`grouped` false) gets one GPU, since transformers would spread a model over all that it sees
    by DataParallel; with fewer GPUs than workers some share. A launch group gets an equal share of them.
    """
    if not gpus:
        return [None] * workers
    each = max(1, len(gpus) // workers) if grouped else 1
    return [[gpus[(worker * each + offset) % len(gpus)] for offset in range(each)] for worker in range(workers)]
