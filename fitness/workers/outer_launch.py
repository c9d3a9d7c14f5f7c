"""Removal of another launcher's environment variables from a worker's environment.

A shell inside a job of torchrun, MPI, srun or Kubernetes has variables such as RANK and WORLD_SIZE that mean "process 3 of 8". A
worker that evopo starts there is not one of the eight. But torch, accelerate and transformers would read the variables, and wait
for the other seven processes or compute differently.

Not removed: SLURM_*, which no library in a worker reads and srun needs; PET_*, which only torchrun reads; NCCL_*, GLOO_* and
similar, which configure communication and do not identify a process.
"""

import re
from collections.abc import Mapping

_PLACE = re.compile(
    r"(LOCAL_|NODE_|GROUP_|ROLE_|CROSS_)?(RANK|WORLD_SIZE)|ROLE_NAME|TORCHELASTIC_.*|FORK_LAUNCHED"
    r"|PMI_.*|PMIX_.*|OMPI_COMM_.*|OMPI_UNIVERSE_SIZE|MV2_COMM_.*|MPI_LOCAL.*|SMDATAPARALLEL_.*"
)
"""Rank and number of processes. Every launcher sets these itself."""
_LAUNCH = re.compile(
    r"MASTER_(ADDR|PORT)|ACCELERATE_.*|FSDP_.*|DEEPSPEED_.*|MEGATRON_LM_.*|PARALLELISM_CONFIG_.*|OMPI_.*|MV2_.*|MPI_.*|I_MPI_.*|SM_.*"
)
"""How processes start, connect and divide the work. They may configure a launcher; a single process does not need them."""

_SETTING = re.compile(r"(OMPI|PMIX)_MCA_.*")
"""Open MPI's own settings. Container images set them even if nothing was launched, so they are removed without a note."""

SHOWN = 4
"""Most variable names in the note."""


def without_outer_launch(variables: Mapping[str, str], *, grouped: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """The environment for a worker, and the names of the variables removed from it.

    For a worker of one process (`grouped` false) all such variables are removed. A launcher keeps those that configure it.
    """
    kinds = (_PLACE,) if grouped else (_PLACE, _LAUNCH)
    dropped = tuple(sorted(name for name in variables if any(kind.fullmatch(name) for kind in kinds)))
    return {name: value for name, value in variables.items() if name not in dropped}, dropped


def note_on_dropped(dropped: tuple[str, ...]) -> str:
    """A sentence that names the removed variables and the reason; "" if none of them indicates a launch."""
    telling = [name for name in dropped if not _SETTING.fullmatch(name)]
    if not telling:
        return ""
    more = f" and {len(telling) - SHOWN} more" if len(telling) > SHOWN else ""
    return (
        f"Workers do not get {', '.join(telling[:SHOWN])}{more}: these variables describe another launch, and the workers are not "
        "part of it."
    )
