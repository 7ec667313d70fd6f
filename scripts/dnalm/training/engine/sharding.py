"""Training of models too large for one GPU: weights (FSDP2) or optimizer states (DeepSpeed ZeRO-2) are sharded."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dnalm.errors import UserError
from dnalm.training.engine.steps import Micro, Stepper
from dnalm.training.engine.team import Team
from dnalm.training.objectives.base import Objective

KINDS = ("fsdp", "zero2")

Weights = dict[str, torch.Tensor]
MakeOptimizer = Callable[[torch.nn.Module], torch.optim.Optimizer]


class Sharded(Protocol):
    """A model and its optimizer, sharded over a team; every method must be called by all its processes.

    The state is that of a training by one process: whole tensors on the CPU under the names of `model.state_dict()`,
    and the optimizer's `state_dict()`. So a training may be resumed by another number of processes.
    """

    optimizer: torch.optim.Optimizer
    """The optimizer that a scheduler changes; only `clip_and_step` steps it."""

    def forward(self, call: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what `call` returns, which may run the model in any way; `call` itself enters autocast."""
        ...

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the gradients of a micro-batch's `loss`, a sum over this process's examples. last: of the batch."""
        ...

    def clip_and_step(self, max_norm: float) -> torch.Tensor:
        """Clip the gradients, summed over all processes, to `max_norm`; step; zero them. Returns the norm before."""
        ...

    def state(self) -> tuple[Weights, dict[str, Any]]:
        """Weights and optimizer state in the main process, empty elsewhere."""
        ...

    def load(self, weights: Mapping[str, torch.Tensor], optimizer: dict[str, Any] | None = None) -> None:
        """Load a state, which every process must give in full; weights that are not in it stay."""
        ...


class ShardedStepper(Stepper):
    """A `Stepper` for a rank that holds a part of the model, or of the optimizer's state."""

    replicated = False

    def __init__(
        self,
        forward: Callable[[Micro], torch.Tensor],
        model: Any,
        make_optimizer: MakeOptimizer,
        objective: Objective,
        team: Team,
        max_norm: float,
        bf16: bool,
        kind: str,
    ) -> None:
        """As for a `Stepper`; kind: one of `KINDS`; make_optimizer is called once the parameters are sharded."""
        self.sharded = shard(model, make_optimizer, team, kind)
        super().__init__(forward, model, self.sharded.optimizer, objective, team, max_norm, bf16)

    def _micro(self, batch: Micro, first: bool, last: bool) -> None:
        def losses() -> torch.Tensor:
            with self.autocast():
                logits = self.forward(batch)
            return self._loss(logits, batch)

        loss = self.sharded.forward(losses)
        self.sharded.backward(loss, last)
        self.total.add_(loss.detach())

    def _update(self) -> None:
        self.sharded.clip_and_step(self.max_norm)

    def scorer(self) -> Any:
        """The model, run through its sharded root module."""
        return _Scorer(self.model, self.sharded)

    def whole_weights(self) -> dict[str, torch.Tensor] | None:
        """All weights, in the main process; must be called by all."""
        return self.sharded.state()[0]

    def state(self) -> tuple[Weights, dict[str, Any]]:
        """Weights and optimizer state in the main process."""
        weights, optimizer = self.sharded.state()
        if weights and hasattr(self.model, "peft_config"):
            from peft import get_peft_model_state_dict

            weights = dict(get_peft_model_state_dict(self.model, state_dict=weights, save_embedding_layers=False))
        return weights, optimizer

    def load(self, weights: dict[str, torch.Tensor], optimizer: dict[str, Any]) -> None:
        """Load a `state`."""
        if hasattr(self.model, "peft_config"):
            from peft import get_peft_model_state_dict

            # map peft's names to the model's own, by passing indices of the own names through peft's renaming
            own = list(self.model.state_dict())
            numbers = {name: torch.tensor(number) for number, name in enumerate(own)}
            renamed = get_peft_model_state_dict(self.model, state_dict=numbers, save_embedding_layers=False)
            weights = {own[int(number)]: weights[name] for name, number in renamed.items()}
        self.sharded.load(weights, optimizer)


class _Scorer:
    """A sharded model that `score` can call."""

    def __init__(self, model: Any, sharded: Sharded) -> None:
        self._model, self._sharded = model, sharded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, **batch: torch.Tensor) -> Any:
        outputs: list[Any] = []

        def call() -> torch.Tensor:
            outputs.append(self._model(**batch))
            logits: torch.Tensor = outputs[0].logits
            return logits

        self._sharded.forward(call)
        return outputs[0]


def shard(model: torch.nn.Module, make_optimizer: MakeOptimizer, team: Team, kind: str) -> Sharded:
    """Shard `model`, which is on the team's device and the same in all processes.

    kind: one of `KINDS`. make_optimizer is called once the model's parameters are sharded. Raises `UserError` if there
    is only one process, or DeepSpeed is not installed.
    """
    if team.world == 1:
        raise UserError(f"recipe.sharding: {kind} needs several processes, and there is 1; set recipe.processes")
    return _Fsdp(model, make_optimizer, team) if kind == "fsdp" else _Zero(model, make_optimizer, team)


class _Root(torch.nn.Module):
    """Runs any call of the model inside one module's forward, which FSDP and DeepSpeed hook into.

    A `PackedModel` calls the model's body and head separately; the model's own forward never runs.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Callable[[], torch.Tensor]) -> torch.Tensor:
        return call()


class _Fsdp:
    """PyTorch's `fully_shard`, one unit for each block of the architecture; gradients are summed, not averaged."""

    def __init__(self, model: torch.nn.Module, make_optimizer: MakeOptimizer, team: Team) -> None:
        self.model, self.team, self._root = model, team, _Root(model)
        mesh = init_device_mesh(team.device.type, (team.world,))
        for module in _blocks(model):
            fully_shard(module, mesh=mesh)
        fully_shard(self._root, mesh=mesh)
        self._units = [module for module in self._root.modules() if isinstance(module, FSDPModule)]
        for unit in self._units:
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)
        self.optimizer = make_optimizer(model)

    def forward(self, call: Callable[[], torch.Tensor]) -> torch.Tensor:
        result: torch.Tensor = self._root(call)
        return result

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        loss.backward()

    def clip_and_step(self, max_norm: float) -> torch.Tensor:
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def state(self) -> tuple[Weights, dict[str, Any]]:
        weights = {name: self._whole(value) for name, value in self.model.state_dict().items()}
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {
            index: {key: self._whole(value) for key, value in values.items()}
            for index, values in optimizer["state"].items()
        }
        return (weights, optimizer) if self.team.main else ({}, {})

    def load(self, weights: Mapping[str, torch.Tensor], optimizer: dict[str, Any] | None = None) -> None:
        with torch.no_grad():
            for name, own in self.model.state_dict().items():
                if name in weights:
                    own.copy_(_part(weights[name], own))
        if optimizer is not None:
            members = [member for group in self.optimizer.param_groups for member in group["params"]]
            state = {
                index: {key: _part(value, members[index]) for key, value in values.items()}
                for index, values in optimizer["state"].items()
            }
            self.optimizer.load_state_dict({**optimizer, "state": state})

    def _whole(self, value: Any) -> Any:
        """A whole tensor on the CPU: gathered by all processes, kept by the main one only."""
        if isinstance(value, DTensor):
            value = value.full_tensor()
        if not isinstance(value, torch.Tensor):
            return value
        return value.detach().to("cpu", copy=True) if self.team.main else None


class _Zero:
    """DeepSpeed's ZeRO-2 around a plain PyTorch optimizer; gradients are summed, not averaged."""

    def __init__(self, model: torch.nn.Module, make_optimizer: MakeOptimizer, team: Team) -> None:
        try:
            deepspeed: Any = importlib.import_module("deepspeed")
        except ImportError as error:
            raise UserError(
                f"recipe.sharding: zero2 needs DeepSpeed; install it (pip install deepspeed) or use fsdp ({error})"
            ) from error
        self._utils = deepspeed.utils
        self._utils.logger.setLevel("ERROR")
        self.model, self.team = model, team
        self.optimizer = make_optimizer(model)
        self._members = [list(group["params"]) for group in self.optimizer.param_groups]  # before they are flattened
        self._engine, self._zero, *_ = deepspeed.initialize(
            model=_Root(model),
            optimizer=self.optimizer,
            dist_init_required=False,
            config={
                "train_micro_batch_size_per_gpu": 1,  # required but unused: micro-batches are made here
                "gradient_accumulation_steps": 1,
                "zero_optimization": {"stage": 2},
                "zero_allow_untested_optimizer": True,
                "gradient_clipping": 1.0,  # makes it compute the norm; the limit is set at each step
            },
        )

    def forward(self, call: Callable[[], torch.Tensor]) -> torch.Tensor:
        result: torch.Tensor = self._engine(call)
        return result

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * self.team.world)

    def clip_and_step(self, max_norm: float) -> torch.Tensor:
        self._zero.clip_grad = max_norm
        self._engine.step()
        return torch.as_tensor(self._engine.get_global_grad_norm()).detach()

    def state(self) -> tuple[Weights, dict[str, Any]]:
        state: dict[int, dict[str, Any]] = {}
        found = self.optimizer.state_dict()
        if found["state"]:
            self._link()
        groups, first = [], 0
        for group, members, flat in zip(found["param_groups"], self._members, self._flats, strict=True):
            groups.append({**group, "params": list(range(first, first + len(members)))})
            for index, member in enumerate(members, first):
                if own := self.optimizer.state.get(flat):
                    state[index] = {
                        key: (self._utils.safe_get_full_optimizer_state(member, key) if value.dim() else value).to(
                            "cpu", copy=True
                        )
                        for key, value in own.items()
                    }
            first += len(members)
        if not self.team.main:
            return {}, {}
        weights = {name: value.detach().to("cpu", copy=True) for name, value in self.model.state_dict().items()}
        return weights, {"state": state, "param_groups": groups}

    def load(self, weights: Mapping[str, torch.Tensor], optimizer: dict[str, Any] | None = None) -> None:
        with torch.no_grad():
            for name, own in self.model.state_dict().items():
                if name in weights:
                    own.copy_(weights[name])
        self._zero.refresh_fp32_params()
        if optimizer is None:
            return
        for group, saved, flat in zip(self.optimizer.param_groups, optimizer["param_groups"], self._flats, strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})
            if saved["params"] and (one := optimizer["state"].get(saved["params"][0])):
                self.optimizer.state[flat] = {
                    key: torch.zeros_like(flat) if value.dim() else value.clone() for key, value in one.items()
                }
        if not optimizer["state"]:
            return
        self._link()
        for members, saved in zip(self._members, optimizer["param_groups"], strict=True):
            for member, index in zip(members, saved["params"], strict=True):
                for key, value in optimizer["state"][index].items():
                    if value.dim():
                        self._utils.safe_set_full_optimizer_state(member, value.to(member.device), key)

    def _link(self) -> None:
        """Link DeepSpeed's parameters to the optimizer's states; by itself it does so for the first group only."""
        self._zero._hp_optimizer_states_linked = False
        self._zero._lazy_init_hp_params_optimizer_state()

    @property
    def _flats(self) -> list[torch.Tensor]:
        """This process's part of each group's parameters, flattened."""
        return list(self._zero.single_partition_of_fp32_groups)


def _blocks(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules that transformers says must not be split: layers and embeddings."""
    names = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    return [module for module in model.modules() if type(module).__name__ in names]


def _part(value: Any, like: torch.Tensor) -> Any:
    """This process's part of a whole tensor, sharded like `like`; other values unchanged."""
    if not isinstance(value, torch.Tensor):
        return value
    if not value.dim() or not isinstance(like, DTensor):
        return value.clone()
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
