"""One process, or several that ``torchrun`` has started to train one model together.

Nothing is divided here: torch does that (`DistributedDataParallel`, `DistributedSampler`). This
file only knows which process it is, and gives torch what it asks for. In one process every function
is the identity, or what torch would do anyway.

What several processes promise: gradients, recorded losses and decisions are those of one process
with the whole batch; noise differs between processes; the process of rank 0 writes. What they do
not: batch norm sees a process's own rows (`torch.nn.SyncBatchNorm` is the caller's choice); chains
and pools are each process's own, and a checkpoint holds those of rank 0; a player's loss must use
all of its parameters.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler

from genlib.core.checkpoint import first_difference


@contextmanager
def processes() -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did; yield this process's device."""
    gpu = torch.cuda.is_available()
    if "LOCAL_RANK" not in os.environ:
        yield torch.device("cuda" if gpu else "cpu")
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process; 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def check_same(values: Mapping[str, object]) -> None:
    """Raise in every process unless ``values`` are the same in all of them.

    Raises
    ------
    ValueError
        Some value differs; the message names the first.
    """
    if world() == 1:
        return
    gathered: list = [None] * world()
    distributed.all_gather_object(gathered, dict(values))
    for number, found in enumerate(gathered):
        for name, expected in gathered[0].items():
            difference = first_difference(name, expected, found.get(name))
            if difference is not None:
                where, expected, came = difference
                raise ValueError(
                    f"{where}: expected the same in all {world()} processes, got {expected} in "
                    f"process 0 and {came} in process {number}."
                )


@contextmanager
def together() -> Iterator[None]:
    """What fails in one process fails in all of them: nobody waits for a process that has left.

    Raises
    ------
    ValueError
        The block failed in another process; the message is that process's.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as caught:
        error = caught
    if world() > 1:
        said: list = [None] * world()
        distributed.all_gather_object(said, None if error is None else str(error))
        failed = [number for number, words in enumerate(said) if words is not None]
        if failed and error is None:
            raise ValueError(f"in process {failed[0]}: {said[failed[0]]}")
    if error is not None:
        raise error


def common_seed() -> int:
    """A seed that is the same in all processes: that of torch where there is one, else a new one
    that process 0 draws.
    """
    if world() == 1:
        return torch.initial_seed()
    seed = [int(torch.randint(2**31, ()))]
    distributed.broadcast_object_list(seed)
    return seed[0]


def own_noise(seed: int, epoch: int) -> None:
    """Give every process noise of its own for an epoch, where there are several."""
    if world() > 1:
        torch.manual_seed(hash((seed, epoch, rank())) % 2**63)


def common_noise(seed: int) -> None:
    """Bring the generators of several processes together again."""
    if world() > 1:
        torch.manual_seed(hash((seed, world())) % 2**63)


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of process 0, as torch does with parameters."""
    if world() > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)


def share(batch_size: int) -> int:
    """How many rows of a batch each process takes.

    Raises
    ------
    ValueError
        The batch cannot be divided equally.
    """
    if batch_size % world():
        raise ValueError(
            f"batch_size: expected a multiple of the {world()} processes, which divide it equally, "
            f"got {batch_size}."
        )
    return batch_size // world()


class _Objective(nn.Module):
    """A loss as a module over the parameters that it trains, and no others."""

    def __init__(self, loss: Callable[..., Tensor], parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.trained = nn.ParameterList(parameters)
        self.loss = loss

    def forward(self, *batch: Tensor) -> Tensor:
        return self.loss(*batch)


def objective(
    loss: Callable[..., Tensor], parameters: Sequence[nn.Parameter]
) -> Callable[..., Tensor]:
    """``loss``, whose backward pass averages the gradients of ``parameters`` over all processes."""
    return loss if world() == 1 else DistributedDataParallel(_Objective(loss, parameters))


def shuffled(rows: int, seed: int, epoch: int) -> Tensor:
    """Numbers of the rows that this process takes in an epoch, shuffled.

    Where the rows cannot be divided equally, a few are taken twice.
    """
    if world() == 1:
        return torch.randperm(rows)
    sampler = DistributedSampler(range(rows), seed=seed)
    sampler.set_epoch(epoch)
    return torch.tensor(list(sampler))


def mean(total: Tensor, count: int) -> float:
    """``total`` over ``count``, each summed over all processes."""
    pair = torch.stack([total.detach(), torch.as_tensor(count).to(total)])
    if world() > 1:
        distributed.all_reduce(pair)
    return (pair[0] / pair[1]).item()


def everywhere(flag: Tensor) -> bool:
    """Whether ``flag`` is true in all processes."""
    if world() > 1:
        flag = flag.to(torch.uint8)
        distributed.all_reduce(flag, distributed.ReduceOp.MIN)
    return bool(flag)


@contextmanager
def one_after_another() -> Iterator[None]:
    """Let process 0 go first: what it downloads, the others find."""
    if rank() != 0:
        wait()
    yield
    if rank() == 0:
        wait()


def wait() -> None:
    """Wait until all processes are here."""
    if world() > 1:
        distributed.barrier()
