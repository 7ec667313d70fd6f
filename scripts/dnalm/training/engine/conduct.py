"""What a training is told: how to learn, and how to conduct itself meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dnalm.training.engine.team import Team
from dnalm.training.runtime.checkpoints import Checkpoints

Keep = Callable[[Path, dict[str, torch.Tensor] | None], None]


@dataclass(frozen=True)
class Recipe:
    """How a model is fine-tuned; the keys, defaults and meanings are those of the config's recipes."""

    objective: str = "classification"
    method: str = "full"
    lora: dict[str, Any] | None = None
    learning_rate: float = 5e-5
    epochs: float = 3
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.0
    scheduler: str = "linear"
    max_gradient_norm: float = 1.0
    class_weights: str | dict[str, float] = "none"
    focal_gamma: float = 0.0
    best_metric: str | None = None
    early_stopping_patience: int | None = None
    reverse_complement: bool = False
    overlong: str = "window"
    precision: str = "auto"
    engine: str = "auto"
    compile: str | bool = "auto"
    max_train_records: int | None = None


@dataclass(frozen=True)
class Conduct:
    """How a training is conducted, of which the result knows nothing.

    team: the ranks; checkpoints: where the main rank saves, None in the others; minutes: between saves within an epoch; report: told each
    epoch's log row; most_tokens: of a micro-batch, found out if None.
    """

    team: Team
    checkpoints: Checkpoints | None
    minutes: float = 5.0
    sharding: str = "none"
    report: Callable[[dict[str, Any]], None] = field(default=lambda row: None)
    most_tokens: int | None = None
