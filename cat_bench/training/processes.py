"""The processes of one training, as `torchrun` and `accelerate launch` start them.

The main process, of rank 0, writes files, prints and measures; it tells the others what it decides.
Each process rewards its own groups through the shared cache, whose leases prevent a call from being
made twice. Without a launcher there is one process, and nothing here waits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
LAUNCHER = "LOCAL_RANK"
"""The variable that launchers set for each process."""
PATIENCE_S = 1800
"""Seconds that processes wait for each other, unless the recipe sets TRL's `ddp_timeout`."""


def count() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) if LAUNCHER in os.environ else 1


def is_main() -> bool:
    """Return whether this is the process that writes files and prints."""
    return count() == 1 or os.environ.get("RANK", "0") == "0"


def join(*, patience_s: float = PATIENCE_S) -> None:
    """Meet the other processes: by NCCL on GPUs, by Gloo on CPUs."""
    if count() > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(seconds=patience_s))


def wait() -> None:
    """Wait until every process is here."""
    agree(lambda: None)


def agree(decide: Callable[[], T]) -> T:
    """Return what `decide` returns in the main process, in all processes; if it fails, all end.

    The main process raises the error, and the others exit with status 1.
    """
    if count() == 1:
        return decide()
    from accelerate.utils import broadcast_object_list

    decided: list[Any] = [False, None]
    try:
        if is_main():
            decided = [True, decide()]
    finally:
        done, decision = broadcast_object_list(decided)
    if not done:
        sys.exit(1)
    answer: T = decision
    return answer


def total(number: int) -> int:
    """Return the sum of a number over all processes."""
    if count() == 1:
        return number
    from accelerate.utils import gather_object

    return sum(gather_object([number]))


def leave() -> None:
    """End the group; from now on this process acts as if it had been started alone."""
    if count() > 1:
        import torch.distributed

        wait()
        torch.distributed.destroy_process_group()
    for name in (LAUNCHER, "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def use_one_gpu() -> int:
    """Make only one GPU visible, unless a launcher was used; return how many there were.

    A trainer that saw several would divide its model's batches among them by threads, which TRL
    refuses. Call this before anything is put on a GPU.
    """
    if LAUNCHER in os.environ:
        return 0
    import torch

    visible = torch.cuda.device_count()
    if visible > 1:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = seen.split(",")[0].strip()
    return visible
