"""How a training is executed: on which processes, where it saves, who is told. Nothing here changes the result.

The engine asks for what `dnalm.training.runtime` offers through these few protocols and imports none of it, so that
an edit there re-trains nothing.
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
"""Writes the model at work into a directory, with the weights it is given if it holds only a part of them."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Work that changes no state was left off because the training was asked to stop."""


class StopRequest(Protocol):
    """Whether the training was asked to stop; requested: by which signal, None as long as it was not."""

    requested: str | None

    def stopped(self, step: int) -> Exception:
        """What to raise once the state after `step` is saved."""
        ...


class Store(Protocol):
    """Where the main process keeps states and the best model so far."""

    def save(self, state: State, write_config: Callable[[Path], None]) -> None:
        """Save a state, in the background."""
        ...

    def wait(self) -> None:
        """Wait until the last save is on disk."""
        ...

    def newest(self) -> Path | None:
        """The newest sound state."""
        ...

    def load(self) -> State | None:
        """The same, read."""
        ...

    def keep_best(self, step: int, write: Callable[[Path], None]) -> None:
        """Let `write` fill the directory of the best model so far."""
        ...

    def best(self, step: int) -> Path:
        """The directory of the best model."""
        ...


class NeverStops:
    """For a training that nobody asks to stop."""

    requested: str | None = None

    def stopped(self, step: int) -> Exception:
        """Never called."""
        return Interrupted(f"at step {step}")


@contextmanager
def never() -> Iterator[StopRequest]:
    """A `StopRequest` that is never made."""
    yield NeverStops()


def unread(path: Path) -> State:
    """The default reader of states, for trainings of one process, whose store reads them."""
    raise ValueError(f"{path}: nothing to read this state with")


@dataclass(frozen=True)
class Execution:
    """How a training is executed.

    team: the processes; store: where the main process saves, None in the others; read: reads a state that `store` names;
    minutes: between saves within an epoch; sharding: what the processes divide; report: told each row of the log;
    most_tokens: of a micro-batch, measured if None; stop: a context in which signals are noted; energy: joules that a
    device has used, None if nothing counts them.
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
