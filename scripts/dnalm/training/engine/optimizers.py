"""Optimizers by name: which parameters each one steps, and how its state is saved and loaded.

A recipe has one learning rate. Those of AdamW and Muon are on the same scale (see `Muon`); 8-bit AdamW is AdamW with a
rounded state; Lion wants a rate 3 to 10 times smaller than AdamW's (Chen et al., 2023, arXiv:2302.06675).
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import torch

from dnalm.errors import UserError
from dnalm.training.engine.packing import unwrapped

ON_HOST = {"adamw8bit": "AdamW8bit", "lion": "Lion"}
"""Optimizers of bitsandbytes, by our names. Their kernels take rates and step counts as numbers from the host."""

MOMENTUM, STEPS, COEFFICIENTS = 0.95, 5, (3.4445, -4.775, 2.0315)
"""Muon's momentum (Nesterov), and the number and coefficients of its Newton-Schulz iterations."""

LIKE_ADAMW = 0.2
"""Root mean square of an element of AdamW's usual update, to which Muon's is scaled."""

MOST = 2**24
"""Elements that are orthogonalised at once: it bounds the memory of the copies."""


def make(
    name: str, model: Any, learning_rate: float, weight_decay: float, device: torch.device, sharding: str = "none"
) -> torch.optim.Optimizer:
    """The optimizer `name` of a recipe for the trainable parameters of `model`, which are on `device`.

    sharding: what the processes divide. Biases and the weights of norms do not decay. Raises `UserError` for an
    optimizer that is impossible here.
    """
    if sharding != "none" and name != "adamw":
        raise UserError(
            f"recipe.optimizer: {name} needs whole tensors, which sharding: {sharding} divides; use adamw, or sharding:"
            " none"
        )
    if name == "muon":
        return Muon(model, learning_rate, weight_decay, device)
    if name in ON_HOST:
        return _of_bitsandbytes(name, model, learning_rate, weight_decay, device)
    return adamw([p for p in model.parameters() if p.requires_grad], learning_rate, weight_decay, device)


def uncapturable(name: str) -> str | None:
    """Why the step of an optimizer can't be captured in a CUDA graph; None if it can."""
    return f"{name} takes its learning rate and its count of steps from the host" if name in ON_HOST else None


def adamw(
    trained: list[torch.nn.Parameter], learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW for these parameters.

    On a GPU its state and learning rate are tensors there, so that a captured graph reads their current values.
    """
    groups = _groups(trained, weight_decay)
    if device.type != "cuda":
        return torch.optim.AdamW(groups, lr=learning_rate, fused=device.type == "cpu")
    for group in groups:
        group["lr"] = _rate(learning_rate, device)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True, capturable=True)


def _groups(trained: list[torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _rate(learning_rate: float, device: torch.device) -> Any:
    return torch.tensor(learning_rate, device=device) if device.type == "cuda" else learning_rate


def _of_bitsandbytes(
    name: str, model: Any, learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.Optimizer:
    if device.type != "cuda":
        raise UserError(f"recipe.optimizer: {name} needs a CUDA GPU, and the device is {device.type}; use adamw")
    try:
        from bitsandbytes import optim
    except ImportError as error:
        raise UserError(
            f"recipe.optimizer: {name} needs the package bitsandbytes; install it (pip install bitsandbytes) or use"
            f" adamw ({error})"
        ) from error
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):  # rare tokens' moments are lost in 8 bits; the Trainer does the same
            optim.GlobalOptimManager.get_instance().override_config(module.weight, "optim_bits", 32)
    trained = [p for p in model.parameters() if p.requires_grad]
    made: torch.optim.Optimizer = getattr(optim, ON_HOST[name])(_groups(trained, weight_decay), lr=learning_rate)
    return made


class Muon(torch.optim.Optimizer):
    """Muon for the matrices of the body, AdamW for all else: embeddings, head, norms, biases, convolutions.

    A matrix is stepped along its momentum made orthogonal by Newton-Schulz iterations in bf16 (Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon), times the learning rate and 0.2 sqrt(larger side): the update's elements
    have AdamW's usual size, so that one learning rate and weight decay serve both (Liu et al., 2025, arXiv:2502.16982).
    A 3-D tensor, such as the fused experts of a mixture, is a stack of matrices, each made orthogonal by itself, as it
    is stored: an expert's gate and up projections, which are fused, are one matrix.

    `torch.optim.Muon` computes the same for 2-D matrices, one after the other, and reads the learning rate on the host.
    This one takes matrices of one shape together and can be captured in a CUDA graph.
    """

    def __init__(self, model: Any, learning_rate: float, weight_decay: float, device: torch.device) -> None:
        """For the trainable parameters of `model`; raises `UserError` if no matrix of the body is among them."""
        matrices = body_matrices(model)
        if not matrices:
            raise UserError("recipe.optimizer: muon steps the body's matrices, and none is trained; use adamw")
        taken = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        self._rest = adamw(rest, learning_rate, weight_decay, device) if rest else None
        first = {"params": matrices, "lr": _rate(learning_rate, device), "weight_decay": weight_decay}
        super().__init__([first, *(self._rest.param_groups if self._rest else [])], {})
        self._share()

    def _share(self) -> None:
        """Let AdamW work on the groups and the state of this optimizer, which are saved and loaded."""
        if self._rest:
            self._rest.param_groups, self._rest.state = self.param_groups[1:], self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict()`."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step."""
        matrices = self.param_groups[0]
        for part in _alike([p for p in matrices["params"] if p.grad is not None]):
            self._step(part, matrices["lr"], matrices["weight_decay"])
        if self._rest:
            self._rest.step()

    def _step(self, part: list[torch.Tensor], rate: Any, weight_decay: float) -> None:
        """Step tensors whose matrices have the same shape."""
        gradients = [p.grad for p in part if p.grad is not None]
        for p in part:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in part]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        updates = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        rows, columns = part[0].shape[-2:]
        stacked = torch.cat([update.reshape(-1, rows, columns) for update in updates])
        del updates
        scale = rate * (LIKE_ADAMW * sqrt(max(rows, columns)))
        pieces = orthogonal(stacked).split([p.numel() // (rows * columns) for p in part])
        for p, piece in zip(part, pieces, strict=True):
            p.mul_(1 - rate * weight_decay)
            p.sub_(piece.view_as(p).float() * scale)


def _alike(matrices: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Groups of tensors whose matrices have the same shape, with up to `MOST` elements together."""
    shapes: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for p in matrices:
        shapes.setdefault(tuple(p.shape[-2:]), []).append(p)
    for members in shapes.values():
        part: list[torch.Tensor] = []
        for p in members:
            if part and sum(other.numel() for other in part) + p.numel() > MOST:
                yield part
                part = []
            part.append(p)
        yield part


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Each of n matrices (n, rows, columns) with its singular values moved to about 1 (0.5 to 1.5), in bf16."""
    a, b, c = COEFFICIENTS
    wide = matrices.bfloat16()
    if tall := matrices.shape[1] > matrices.shape[2]:
        wide = wide.mT
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.mT if tall else wide).contiguous()


def body_matrices(model: Any) -> list[torch.nn.Parameter]:
    """The trainable matrices, and stacks of matrices, of a model's body; embeddings and convolutions are none."""
    plain = unwrapped(model)
    body = getattr(plain, getattr(plain, "base_model_prefix", None) or "", plain)
    output = plain.get_output_embeddings() if hasattr(plain, "get_output_embeddings") else None
    others = {id(p) for p in output.parameters()} if output is not None else set()
    for module in plain.modules():
        if isinstance(module, torch.nn.Embedding | torch.nn.modules.conv._ConvNd):
            others |= {id(p) for p in module.parameters(recurse=False)}
    return [p for p in body.parameters() if p.requires_grad and p.ndim in (2, 3) and id(p) not in others]


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """`state_dict()` with learning rates as numbers, which every optimizer accepts."""
    state = optimizer.state_dict()
    groups = [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]
    return {"state": state["state"], "param_groups": groups}


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load an `optimizer_state` into the existing tensors, because captured graphs read those."""
    rates = [group["lr"] for group in optimizer.param_groups]
    kept = ("fused", "capturable", "foreach")
    modes = [{key: group[key] for key in kept if key in group} for group in optimizer.param_groups]
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
