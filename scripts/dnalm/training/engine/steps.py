"""One optimizer step: forward and backward of its micro-batches, clipping, AdamW; on a GPU as CUDA graphs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from dnalm.training.engine.state import load_weights, weights_of
from dnalm.training.engine.team import Team, flat_gradients
from dnalm.training.objectives.base import Objective

Micro = dict[str, torch.Tensor]
Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 4
"""Micro-batches made while others are at work."""

WARM_UP = 3
"""Passes before a graph is captured, in which libraries choose their kernels and take their memory."""


def adamw(model: Any, learning_rate: float, weight_decay: float, device: torch.device) -> torch.optim.AdamW:
    """AdamW over what `model` trains; biases and the weights of norms do not decay.

    On a GPU its state and learning rate are tensors there, so that a captured graph sees them change.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if device.type != "cuda":
        return torch.optim.AdamW(groups, lr=learning_rate, fused=device.type == "cpu")
    for group in groups:
        group["lr"] = torch.tensor(learning_rate, device=device)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True, capturable=True)


class Stepper:
    """Takes the optimizer steps of one rank, which holds the whole model.

    total: the sum of the batches' losses since it was last zeroed, of this rank's part, float64 on the device (fp32 on
    Apple's GPUs, which have no other).
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
        """forward: micro-batch -> logits; max_norm: gradients are clipped to this norm; bf16: in autocast."""
        self.forward, self.model, self.optimizer, self.objective, self.team = forward, model, optimizer, objective, team
        self.max_norm, self.bf16 = max_norm, bf16
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.total = torch.zeros((), dtype=torch.float32 if team.device.type == "mps" else torch.float64)
        self.total = self.total.to(team.device)
        # several ranks add up flat buffers; alone, gradients are best left where the backward pass puts them
        self._flat = flat_gradients(self.parameters) if self.replicated and team.world > 1 else []
        self._inputs: Micro = {}
        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}

    @property
    def captured(self) -> bool:
        """Whether steps are replays of CUDA graphs."""
        return bool(self._graphs)

    def micro(self, batch: Micro, first: bool, last: bool) -> None:
        """Forward and backward of a micro-batch; the first of a step drops the gradients of the step before."""
        if self._graphs:
            for name, tensor in batch.items():
                self._inputs[name].copy_(tensor, non_blocking=True)
            self._graphs["first" if first else "more"].replay()
        else:
            moved = {name: tensor.to(self.team.device, non_blocking=True) for name, tensor in batch.items()}
            self._micro(moved, first, last)

    def update(self) -> None:
        """Clip the gradients, summed over the ranks, and step the optimizer."""
        if self._graphs:
            self._graphs["update"].replay()
        else:
            self._update()

    def _micro(self, batch: Micro, first: bool, last: bool) -> None:
        if first:
            self._drop_gradients()
        with self.autocast():
            logits = self.forward(batch)
        loss = self._loss(logits, batch)
        loss.backward()
        self.total.add_(loss.detach())

    def _loss(self, logits: torch.Tensor, batch: Micro) -> torch.Tensor:
        """This micro-batch's part of the mean over all units of the optimizer batch, whose weights add up to 1."""
        return (self.objective.losses(logits, batch["targets"]) * batch["weights"]).sum()

    def _drop_gradients(self) -> None:
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
        """What the forward pass runs in."""
        # weights cast once and cached would be a captured graph's for good
        return torch.autocast(self.team.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    def scorer(self) -> Any:
        """What scores sequences with the model as it is."""
        return self.model

    def whole_weights(self) -> dict[str, torch.Tensor] | None:
        """The weights, if `model` has only a part of them; to be called by all ranks."""
        return None

    def close(self) -> None:
        """Let go of captured graphs: ranks that have some can't leave their team (NCCL waits for them for ever)."""
        _release(self._graphs)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Weights and optimizer state, as checkpoints keep them."""
        return weights_of(self.model), optimizer_state(self.optimizer)

    def load(self, weights: dict[str, torch.Tensor], optimizer: dict[str, Any]) -> None:
        """Take up a `state`, in the tensors that are there."""
        load_weights(self.model, weights)
        load_optimizer(self.optimizer, optimizer)

    def capture(self, sample: Micro) -> str | None:
        """Capture steps over micro-batches of `sample`'s shapes as CUDA graphs; return why not, if they can't be.

        The weights stay as they are; the optimizer's state is made, and zero. `load` goes after this, never before.
        """
        self._inputs = {name: tensor.to(self.team.device) for name, tensor in sample.items()}
        rates = [group["lr"].clone() for group in self.optimizer.param_groups]
        graphs = {name: torch.cuda.CUDAGraph() for name in ("first", "more", "update")}
        try:
            for group in self.optimizer.param_groups:
                group["lr"].zero_()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._micro(self._inputs, True, False)
                    self._micro(self._inputs, False, True)
                    self._update()
                self._drop_gradients()
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
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"].copy_(rate)
            for state in self.optimizer.state.values():
                for tensor in state.values():
                    tensor.zero_()
            self.total.zero_()


def _release(graphs: dict[str, torch.cuda.CUDAGraph]) -> None:
    while graphs:
        graphs.popitem()[1].reset()


def _renew_generator(device: torch.device) -> None:
    """Let a GPU draw random numbers again after a capture that failed, in which its generator may be held still."""
    generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    fresh = torch.Generator(device).manual_seed(generator.initial_seed())
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """`state_dict()` with learning rates as numbers, as every optimizer takes them."""
    state = optimizer.state_dict()
    groups = [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]
    return {"state": state["state"], "param_groups": groups}


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load `optimizer_state` into the tensors that are there, because captured graphs read those."""
    rates = [group["lr"] for group in optimizer.param_groups]
    modes = [{key: group[key] for key in ("fused", "capturable", "foreach")} for group in optimizer.param_groups]
    present = {parameter: dict(state) for parameter, state in optimizer.state.items()}
    optimizer.load_state_dict(saved)
    for group, rate, mode in zip(optimizer.param_groups, rates, modes, strict=True):
        if isinstance(rate, torch.Tensor):
            rate.fill_(float(group["lr"]))
            group["lr"] = rate
        group.update(mode)
    for parameter, tensors in present.items():
        for name, tensor in tensors.items():
            tensor.copy_(optimizer.state[parameter][name])
            optimizer.state[parameter][name] = tensor


def ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`make` of each item, in order, a few of them made by a thread before they are asked for."""
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
    """Let torch compile each of a model's repeated layers, which share the code made; return them.

    Compiling the whole model took 30 s instead of 5 and was 1 % faster.
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
    """How many tokens of a micro-batch fit into a GPU's memory, from what two small ones take.

    run: forward and backward of a micro-batch of about so many tokens; returns how many it had. Memory grows in
    proportion to them. Of what is free beyond `reserved` bytes, `share` may be used.
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
    told = tokens[1] > tokens[0]  # else the batches are smaller than both
    slope = (used[1] - used[0]) / (tokens[1] - tokens[0]) if told else used[1] / tokens[1]
    return max(1, int(share * free / max(slope, 1.0)))
