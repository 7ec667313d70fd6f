"""The processes that train one model together, and their communication."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

_ALIGNMENT = 256
"""Bytes; as the CUDA allocator's, so that gradients in the buffer are aligned as if allocated alone."""


@dataclass(frozen=True)
class Team:
    """This process and those that it trains with; for a single process, every communication is a cheap no-op.

    rank: 0 to world - 1, over all machines; local_rank: on this machine; device: where this process computes.
    """

    rank: int
    world: int
    local_rank: int
    device: torch.device

    def __enter__(self) -> "Team":
        """Do nothing: the processes are already connected."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave."""
        self.leave()

    def leave(self) -> None:
        """Disconnect; must be called even after an error."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which writes the files."""
        return self.rank == 0

    def sum_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace a tensor by its sum over all processes, bitwise equal in each. Can be captured in a CUDA graph.

        Before a capture it must have run once, and the capture's error mode must be `thread_local`.
        """
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def agree(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process; communicates on the CPU, without waiting for the GPU."""
        if self.world == 1:
            return list(flags)
        found = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in found.tolist()]

    def broadcast(self, value: T) -> T:
        """The main process's value (picklable), in all processes."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        return box[0]

    def gather(self, value: T) -> list[T]:
        """The values (picklable) of all processes, by rank, in all processes."""
        if self.world == 1:
            return [value]
        found: list[T] = [value] * self.world
        dist.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        self.agree(False)


def flat_gradients(parameters: Iterable[torch.nn.Parameter]) -> list[torch.Tensor]:
    """One buffer of gradients for each type and device of `parameters`; each `.grad` becomes a view of it, zeroed.

    So one kernel clears or sums all; the gaps between them stay zero. The backward pass adds to existing gradients, so
    the views stay valid as long as none is set to None (use `zero_grad(set_to_none=False)`, or `zero_()` of the
    buffers). A parameter that no loss depends on has a gradient of zero instead of None, so weight decay acts on it.
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
            member.grad = part.as_strided(member.size(), member.stride())  # the layout that autograd uses
        buffers.append(buffer)
    return buffers
