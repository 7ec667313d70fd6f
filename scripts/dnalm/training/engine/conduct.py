"""How a training is conducted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dnalm.training.engine.team import Team
from dnalm.training.runtime.checkpoints import Checkpoints

Keep = Callable[[Path, dict[str, torch.Tensor] | None], None]


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
