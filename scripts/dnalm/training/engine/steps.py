"""Optimizer steps: forward and backward passes of micro-batches, clipping, update; as CUDA graphs on a GPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from dnalm.training.engine.optimizers import load_optimizer, optimizer_state
from dnalm.training.engine.state import load_weights, weights_of
from dnalm.training.engine.team import Team, flat_gradients
from dnalm.training.objectives.base import Objective

Micro = dict[str, torch.Tensor]
Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Micro-batches prepared in advance."""

WARM_UP = 3
"""Passes before a graph is captured, in which libraries select kernels and allocate memory."""


class Stepper:
    """Takes the optimizer steps of one rank, which holds the whole model.

    total: this rank's part of the sum of the batches' losses since it was last zeroed, float64 on the device (fp32 on
    Apple's GPUs, which have no float64).
    """

    replicated = True
    """Whether each rank has the whole model."""

    def __init__(
        self,
        forward: Callable[[Micro], torch.Tensor],
        model: Any,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        team: Team,
        max_norm: float,
        bf16: bool,
    ) -> None:
        """forward: micro-batch -> logits; max_norm: gradients are clipped to this norm; bf16: whether to autocast."""
        self.forward, self.model, self.optimizer, self.objective, self.team = forward, model, optimizer, objective, team
        self.max_norm, self.bf16 = max_norm, bf16
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.total = torch.zeros((), dtype=torch.float32 if team.device.type == "mps" else torch.float64)
        self.total = self.total.to(team.device)
        # flat buffers are faster to sum over ranks; a single rank is faster without them
        self._flat = flat_gradients(self.parameters) if self.replicated and team.world > 1 else []
        self._inputs: Micro = {}
        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}

    @property
    def captured(self) -> bool:
        """Whether steps are replays of CUDA graphs."""
        return bool(self._graphs)

    def micro(self, batch: Micro, first: bool, last: bool) -> None:
        """Forward and backward pass of a micro-batch; the first of a step clears the previous step's gradients."""
        if self._graphs:
            for name, tensor in batch.items():
                self._inputs[name].copy_(tensor, non_blocking=True)
            self._graphs["first" if first else "more"].replay()
        else:
            moved = {name: tensor.to(self.team.device, non_blocking=True) for name, tensor in batch.items()}
            self._micro(moved, first, last)

    def update(self) -> None:
        """Clip the gradients, summed over the ranks, and step the optimizer."""
        if "update" in self._graphs:
            self._graphs["update"].replay()
        else:
            self._update()

    def _micro(self, batch: Micro, first: bool, last: bool) -> None:
        if first:
            self._clear_gradients()
        with self.autocast():
            logits = self.forward(batch)
        loss = self._loss(logits, batch)
        loss.backward()
        self.total.add_(loss.detach())

    def _loss(self, logits: torch.Tensor, batch: Micro) -> torch.Tensor:
        """This micro-batch's part of the mean over all units of the optimizer batch, whose weights add up to 1."""
        return (self.objective.losses(logits, batch["targets"]) * batch["weights"]).sum()

    def _clear_gradients(self) -> None:
        for buffer in self._flat:
            buffer.zero_()
        for parameter in self.parameters if not self._flat else []:
            parameter.grad = None

    def _update(self) -> None:
        for buffer in self._flat:
            self.team.sum_(buffer)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_norm, foreach=self.team.device.type == "cuda")
        self.optimizer.step()

    def autocast(self) -> torch.autocast:
        """The autocast context of the forward pass."""
        # no cache: a captured graph would keep using the weights that were cast at its capture
        return torch.autocast(self.team.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    def scorer(self) -> Any:
        """The model in a form that `score` can call."""
        return self.model

    def whole_weights(self) -> dict[str, torch.Tensor] | None:
        """All weights, if this rank's `model` has only a part of them, else None; must be called by all ranks."""
        return None

    def close(self) -> None:
        """Release captured graphs: NCCL would wait for them forever when the process group is destroyed."""
        _release(self._graphs)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Weights and optimizer state for a checkpoint."""
        return weights_of(self.model), optimizer_state(self.optimizer)

    def load(self, weights: dict[str, torch.Tensor], optimizer: dict[str, Any]) -> None:
        """Load a `state` into the existing tensors."""
        load_weights(self.model, weights)
        load_optimizer(self.optimizer, optimizer)

    def capture(self, sample: Micro, update: bool = True) -> str | None:
        """Capture steps over micro-batches of `sample`'s shapes as CUDA graphs; return the reason if that fails.

        update: whether the optimizer's step too, whose state is then created, all zero. The weights do not change. Call
        `load` only after this.
        """
        self._inputs = {name: tensor.to(self.team.device) for name, tensor in sample.items()}
        groups = self.optimizer.param_groups if update else []
        rates = [group["lr"].clone() for group in groups]
        graphs = {name: torch.cuda.CUDAGraph() for name in ("first", "more", *(["update"] if update else []))}
        try:
            for group in groups:
                group["lr"].zero_()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._micro(self._inputs, True, False)
                    self._micro(self._inputs, False, True)
                    if update:
                        self._update()
                self._clear_gradients()
            torch.cuda.current_stream().wait_stream(stream)
            pool = torch.cuda.graph_pool_handle()
            for name, graph in graphs.items():
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                    if name == "update":
                        self._update()
                    else:
                        self._micro(self._inputs, name == "first", False)
            self._graphs = graphs
            return None
        except torch.OutOfMemoryError:
            _release(graphs)
            raise
        except Exception as error:  # an operation that can't be captured raises anything
            torch.cuda.synchronize()
            _release(graphs)
            _renew_generator(self.team.device)
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"].copy_(rate)
            for state in self.optimizer.state.values():
                for tensor in state.values():
                    tensor.zero_()
            self.total.zero_()


def _release(graphs: dict[str, torch.cuda.CUDAGraph]) -> None:
    while graphs:
        graphs.popitem()[1].reset()


def _renew_generator(device: torch.device) -> None:
    """Reset a GPU's generator after a failed capture, which may leave it locked in capture mode."""
    generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    fresh = torch.Generator(device).manual_seed(generator.initial_seed())
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


def ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`make(item)` for each item, in order; a thread computes a few results in advance."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()


def compile_layers(model: Any) -> list[torch.nn.Module]:
    """Let torch compile each of a model's repeated layers, which share the compiled code; return them.

    Compiling the whole model took 30 s instead of 5 s and was 1 % faster.
    """
    stacks = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    inner = {id(child) for stack in stacks for child in stack.modules() if child is not stack}
    layers = [layer for stack in stacks if id(stack) not in inner for layer in stack]
    for layer in layers:
        layer.compile(dynamic=False)
    return layers


def leave_uncompiled(layers: list[torch.nn.Module]) -> None:
    """Undo `compile_layers`."""
    for layer in layers:
        layer._compiled_call_impl = None


def fitting_tokens(
    run: Callable[[int], int], sizes: tuple[int, int], device: torch.device, reserved: int, share: float = 0.85
) -> int:
    """How many tokens of a micro-batch fit into a GPU's memory, extrapolated from two small ones.

    run: forward and backward pass of a micro-batch of about the given number of tokens; returns the actual number.
    Memory is taken to grow linearly. `share` of the free memory beyond `reserved` bytes may be used.
    """
    used, tokens = [], []
    for size in sizes:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        tokens.append(run(size))
        torch.cuda.synchronize(device)
        used.append(torch.cuda.max_memory_allocated(device) - before)
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0] - reserved
    different = tokens[1] > tokens[0]  # not if whole batches are smaller than both sizes
    slope = (used[1] - used[0]) / (tokens[1] - tokens[0]) if different else used[1] / tokens[1]
    return max(1, int(share * free / max(slope, 1.0)))
