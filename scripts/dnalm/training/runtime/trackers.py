"""Experiment trackers that a training reports to: TensorBoard, Weights & Biases.

Why not accelerate's trackers: they need its `PartialState`, which sets the device and may start the process group; and
missing packages, wandb's errors and closing would still have to be handled here.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dnalm.errors import UserError

Row = dict[str, Any]


class Trackers:
    """Reports each epoch's log row to the trackers in `names`, as a run called `name`; a context that closes them.

    folder: where they write. Raises `UserError` if a tracker is not installed.
    """

    def __init__(self, names: Iterable[str], name: str, folder: Path) -> None:
        """Open the trackers."""
        self._stack = ExitStack()
        self._reports = [_OPEN[tracker](self._stack, name, folder) for tracker in names]

    def __enter__(self) -> Callable[[Row], None]:
        """A function that reports a row."""
        return self._report

    def __exit__(self, *error: object) -> None:
        """Close the trackers."""
        self._stack.close()

    def _report(self, row: Row) -> None:
        for report in self._reports:
            report(row)


def _tensorboard(stack: ExitStack, name: str, folder: Path) -> Callable[[Row], None]:
    _need("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = stack.enter_context(SummaryWriter(str(folder)))

    def report(row: Row) -> None:
        for key, value in row.items():
            if key != "step":
                writer.add_scalar(key, value, row["step"])
        writer.flush()

    return report


def _wandb(stack: ExitStack, name: str, folder: Path) -> Callable[[Row], None]:
    _need("wandb")
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = stack.enter_context(wandb.init(project="dna-lm-finetuning", name=name, dir=folder))
    except wandb.Error as error:
        raise UserError(f"report_to: wandb failed ({error}); set it up, or leave it out") from error
    return lambda row: run.log({key: value for key, value in row.items() if key != "step"}, step=row["step"])


_OPEN: dict[str, Callable[[ExitStack, str, Path], Callable[[Row], None]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise UserError(f"report_to: the package {package} is not installed; pip install {package}, or leave it out")
