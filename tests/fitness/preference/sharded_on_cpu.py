"""Runs a module as `python -m` does, with accelerate made to shard on the CPU, where it would only use DDP.

    torchrun --nproc_per_node 2 sharded_on_cpu.py -m fitness.workers.worker ...

FSDP itself works over gloo; only accelerate asks for a GPU before it turns it on.
"""

import runpy
import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

plain = AcceleratorState.__init__


def sharded(self: AcceleratorState, *args: Any, **kwargs: Any) -> None:
    if PartialState().distributed_type is DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    plain(self, *args, **kwargs)
    assert self.distributed_type is DistributedType.FSDP, self.distributed_type


AcceleratorState.__init__ = sharded  # type: ignore[method-assign]
_, _, module, *rest = sys.argv
sys.argv = [module, *rest]
runpy.run_module(module, run_name="__main__", alter_sys=True)
