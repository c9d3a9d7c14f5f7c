"""Variables that a launcher gives to the processes it starts, and that a worker must not take for its own.

A shell in a job of torchrun, MPI, srun or Kubernetes has variables that say "process 3 of 8". A worker that evopo starts there is
none of the eight; torch, accelerate and transformers would believe it, and wait for the other seven or compute otherwise.

Not dropped: SLURM_*, which no library of a worker reads and srun needs; PET_*, which torchrun alone reads; NCCL_*, GLOO_* and the
like, which say how processes talk and not who they are.
"""

import re
from collections.abc import Mapping

_PLACE = re.compile(
    r"(LOCAL_|NODE_|GROUP_|ROLE_|CROSS_)?(RANK|WORLD_SIZE)|ROLE_NAME|TORCHELASTIC_.*|FORK_LAUNCHED"
    r"|PMI_.*|PMIX_.*|OMPI_COMM_.*|OMPI_UNIVERSE_SIZE|MV2_COMM_.*|MPI_LOCAL.*|SMDATAPARALLEL_.*"
)
"""Which process of how many: every launcher says so anew."""
_LAUNCH = re.compile(
    r"MASTER_(ADDR|PORT)|ACCELERATE_.*|FSDP_.*|DEEPSPEED_.*|MEGATRON_LM_.*|PARALLELISM_CONFIG_.*|OMPI_.*|MV2_.*|MPI_.*|I_MPI_.*|SM_.*"
)
"""How processes are started, meet and divide the work: a launcher may be told by these, a lone process has no use for them."""

_SETTING = re.compile(r"(OMPI|PMIX)_MCA_.*")
"""Open MPI's own settings. Container images carry them where nothing was launched, so they are left out without a note."""

SHOWN = 4
"""Names in the note."""


def without_outer_launch(variables: Mapping[str, str], *, grouped: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables for a worker, and the names of those left out.

    A worker that is one process (`grouped` false) gets none of them; a launcher keeps those that tell it how to launch.
    """
    kinds = (_PLACE,) if grouped else (_PLACE, _LAUNCH)
    dropped = tuple(sorted(name for name in variables if any(kind.fullmatch(name) for kind in kinds)))
    return {name: value for name, value in variables.items() if name not in dropped}, dropped


def note_on_dropped(dropped: tuple[str, ...]) -> str:
    """What was left out and why, in a sentence; "" where nothing of it tells of a launch."""
    telling = [name for name in dropped if not _SETTING.fullmatch(name)]
    if not telling:
        return ""
    more = f" and {len(telling) - SHOWN} more" if len(telling) > SHOWN else ""
    return (
        f"Workers do not get {', '.join(telling[:SHOWN])}{more}: these variables describe another launch, which the workers are no "
        "part of."
    )
