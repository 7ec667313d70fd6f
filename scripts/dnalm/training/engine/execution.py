"""How a training is executed: processes, checkpoints, signals, reports. Nothing here changes the result.

The engine uses `dnalm.training.runtime` only through these protocols and does not import it, so that an edit there
does not make Snakemake train again.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from dnalm.training.engine.state import State
from dnalm.training.engine.team import Team

SaveModel = Callable[[Path, dict[str, torch.Tensor] | None], None]
"""Writes the trained model to a directory; the weights are passed if this process holds only a part of them."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A validation was abandoned because the training was asked to stop; it has changed no state."""


class StopRequest(Protocol):
    """Whether the training was asked to stop; requested: the name of the signal, None if there was none."""

    requested: str | None

    def stopped(self, step: int) -> Exception:
        """The error to raise once the state after `step` is saved."""
        ...


class Store(Protocol):
    """Where the main process saves states and the best model so far."""

    def save(self, state: State, write_config: Callable[[Path], None]) -> None:
        """Save a state, in the background."""
        ...

    def wait(self) -> None:
        """Wait until the last save is on disk."""
        ...

    def newest(self) -> Path | None:
        """The directory of the newest undamaged state; None if there is none."""
        ...

    def load(self) -> State | None:
        """Read the newest undamaged state; None if there is none."""
        ...

    def keep_best(self, step: int, write: Callable[[Path], None]) -> None:
        """Save the best model so far: `write` fills its directory."""
        ...

    def best(self, step: int) -> Path:
        """The directory of the best model."""
        ...


class NeverStops:
    """The `StopRequest` of a training that ignores signals."""

    requested: str | None = None

    def stopped(self, step: int) -> Exception:
        """Never called."""
        return Interrupted(f"at step {step}")


@contextmanager
def never() -> Iterator[StopRequest]:
    """The default `Execution.stop`: signals are ignored."""
    yield NeverStops()


def unread(path: Path) -> State:
    """The default `Execution.read`, for a single process, whose store reads states itself."""
    raise ValueError(f"{path}: no reader was given for this state")


@dataclass(frozen=True)
class Execution:
    """How a training is executed.

    team: the processes; store: where the main process saves, None in the others; read: reads a state from a directory
    of `store`; minutes: between saves within an epoch; sharding: what the processes shard; report: called with each row
    of the log; most_tokens: limit of a micro-batch, measured if None; stop: a context that catches signals; energy:
    joules that a device has used, None if they are not measured.
    """

    team: Team
    store: Store | None = None
    read: Callable[[Path], State] = unread
    minutes: float = 5.0
    sharding: str = "none"
    report: Callable[[dict[str, Any]], None] = lambda row: None
    most_tokens: int | None = None
    stop: Callable[[], AbstractContextManager[StopRequest]] = never
    energy: Callable[[torch.device], float | None] = lambda device: None
