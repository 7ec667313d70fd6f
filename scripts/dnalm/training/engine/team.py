"""The processes that train one model together, and what passes between them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

_ALIGNMENT = 256
"""Bytes; the allocator's own, so that each gradient lies as well in the buffer as it would alone."""


@dataclass(frozen=True)
class Team:
    """This process among those that train together; alone, every exchange is with itself and costs nothing.

    rank: 0 to world - 1, over all machines; local_rank: on this machine; device: where this process computes.
    """

    rank: int
    world: int
    local_rank: int
    device: torch.device

    def __enter__(self) -> "Team":
        """Nothing more than joining did."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave."""
        self.leave()

    def leave(self) -> None:
        """End the exchange; to be called however the work ended."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace a tensor by its sum over all processes, the same bits in each; it may be part of a CUDA graph.

        One that is captured must have been called once before, and the capture's error mode be `thread_local`.
        """
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def agree(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process; on the CPU, without waiting for the GPU."""
        if self.world == 1:
            return list(flags)
        found = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in found.tolist()]

    def broadcast(self, value: T) -> T:
        """The main process's value (anything that can be pickled), in all."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        return box[0]

    def gather(self, value: T) -> list[T]:
        """The values (anything that can be pickled) of all processes by rank, in all."""
        if self.world == 1:
            return [value]
        found: list[T] = [value] * self.world
        dist.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        """Wait until all processes have come this far."""
        self.agree(False)


def flat_gradients(parameters: Iterable[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Lay the gradients of `parameters` into one buffer a type and device; each `.grad` becomes a view, set to zero.

    So one kernel clears, sums or measures all; what lies between them stays zero. The backward pass adds to a gradient
    that is there, so the views hold as long as none is set to None (`zero_grad(set_to_none=False)`, or `zero_()` of
    the buffers). A parameter that no loss depends on keeps a gradient of zero, which a weight decay acts on.
    """
    groups: dict[tuple[torch.dtype, torch.device], list[torch.nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            groups.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    buffers = []
    for (dtype, device), members in groups.items():
        step = _ALIGNMENT // dtype.itemsize
        sizes = [-(-member.numel() // step) * step for member in members]
        buffer = torch.zeros(sum(sizes), dtype=dtype, device=device)
        for member, part in zip(members, buffer.split(sizes), strict=True):
            member.grad = part.as_strided(member.size(), member.stride())  # as autograd lays one out
        buffers.append(buffer)
    return buffers
