"""Checkpoints of a training, written atomically, in the layout of the Hugging Face Trainer."""

import contextlib
import errno
import json
import os
import pickle
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dnalm.errors import UserError
from dnalm.files import read_json, sha256
from dnalm.training.engine.state import State

WEIGHTS, ADAPTER, ADAPTER_CONFIG = "model.safetensors", "adapter_model.safetensors", "adapter_config.json"
OPTIMIZER, SCHEDULER, TRAINER_STATE = "optimizer.pt", "scheduler.pt", "trainer_state.json"
PROGRESS, MANIFEST = "progress.pt", "manifest.json"

TRAINER_FIELDS = ("max_steps", "num_train_epochs", "train_batch_size", "best_metric", "log_history")
"""Entries of `State.progress` that are also written to the Trainer's `trainer_state.json`."""

_DAMAGE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, pickle.UnpicklingError,
    SafetensorError, UserError,
)  # fmt: skip
"""Errors that reading a damaged checkpoint may raise."""

_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""Error numbers of a failed write."""


def read(path: Path) -> State:
    """Read one checkpoint, ours or the Trainer's, onto the CPU, without unpickling code.

    The Trainer's have no `progress` and no `best`.
    """
    from transformers.trainer_pt_utils import safe_globals

    trainer = read_json(path / TRAINER_STATE)
    ranks = sorted(path.glob("rng_state*.pth"), key=lambda file: (len(file.name), file.name))
    with safe_globals():  # the state of numpy's generator contains an array
        rng = [torch.load(file, weights_only=True) for file in ranks]
    ours = (path / PROGRESS).is_file()
    return State(
        step=int(trainer["global_step"]),
        epoch=float(trainer["epoch"]),
        weights=load_file(path / (ADAPTER if (path / ADAPTER).is_file() else WEIGHTS)),
        optimizer=torch.load(path / OPTIMIZER, map_location="cpu", weights_only=True),
        scheduler=torch.load(path / SCHEDULER, map_location="cpu", weights_only=True),
        rng=rng,
        progress=torch.load(path / PROGRESS, map_location="cpu", weights_only=True) if ours else {},
        best=trainer["best_global_step"] if ours else None,
    )


class Checkpoints:
    """The newest `keep` checkpoints in `folder`, and the best models they refer to.

    One process at a time may open them; the other ranks of a training `read` the one that is `newest` to it. If it is
    killed at any time, every checkpoint under its final name is complete, and the newest one is there. A context that
    waits for pending writes on exit.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        """Create the folder if needed, and clean up after a killed process."""
        self.folder, self.keep = folder, keep
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for replaced in sorted(folder.glob(".old-*")):
            name = folder / replaced.name.removeprefix(".old-")
            if not name.exists():  # killed between the two renames of a replacement
                replaced.rename(name)
        for leftover in (*folder.glob(".old-*"), *folder.glob(".tmp-*")):
            shutil.rmtree(leftover)

    def __enter__(self) -> "Checkpoints":
        """Do nothing more."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for the last save; raise its error unless another is being raised."""
        self._writer.shutdown()
        if error is None:
            self.wait()

    def save(self, state: State, write_config: Callable[[Path], None]) -> None:
        """Save a state as `checkpoint-{step}`: it is copied before this returns, and written in the background.

        write_config: writes config.json into a directory, or for an adapter adapter_config.json. First waits for the
        previous save, and raises its error if it failed. A failed save leaves the other checkpoints as they were.
        """
        self.wait()
        copied = torch.cuda.Event() if torch.cuda.is_initialized() else None
        parts = ("weights", "optimizer", "scheduler", "progress")
        state = replace(state, **{part: _on_host(getattr(state, part)) for part in parts})
        if copied is not None:
            copied.record()
        self._pending = self._writer.submit(self._write, state, write_config, copied)

    def wait(self) -> None:
        """Wait until the last save is on disk; raise its error if it failed, an `OSError` for a full disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def newest(self) -> Path | None:
        """The newest checkpoint that passes its checksums; damaged ones are reported on standard error."""
        self.wait()
        return next(self._sound(), None)

    def load(self) -> State | None:
        """The newest state that can be read; None if there is none. Damaged ones are reported on standard error."""
        self.wait()
        for path in self._sound():
            try:
                return read(path)
            except _DAMAGE as error:
                _warn(path, error)
        return None

    def keep_best(self, step: int, write: Callable[[Path], None]) -> None:
        """Save the best model so far, that of `step`: `write` fills a directory, which is renamed when complete.

        It is removed once a checkpoint of a later step is saved and no remaining checkpoint has it as `State.best`.
        """
        with self._published(f"best-{step}") as directory:
            write(directory)

    def best(self, step: int) -> Path:
        """The directory of a best model saved by `keep_best`."""
        path = self.folder / f"best-{step}"
        if not path.is_dir():
            raise UserError(f"{path}: the best model of this training is missing; remove {self.folder} to start again")
        return path

    def _steps(self, kind: str) -> list[int]:
        found = (re.fullmatch(rf"{kind}-(\d+)", path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def _sound(self) -> Iterator[Path]:
        for step in reversed(self._steps("checkpoint")):
            path = self.folder / f"checkpoint-{step}"
            try:
                _check(path)
            except _DAMAGE as error:
                _warn(path, error)
            else:
                yield path

    def _write(self, state: State, write_config: Callable[[Path], None], copied: Any) -> None:
        if copied is not None:
            copied.synchronize()
        with self._published(f"checkpoint-{state.step}") as directory:
            write_config(directory)
            _write_parts(state, directory)
            files = {path.name: {"size": path.stat().st_size, "sha256": sha256(path)} for path in directory.iterdir()}
            _write_text(directory / MANIFEST, {"step": state.step, "best": state.best, "files": files})
        self._prune(state.step)

    def _prune(self, newest: int) -> None:
        """Remove all but the last `keep` checkpoints up to step `newest`; later ones are from an abandoned training."""
        steps = self._steps("checkpoint")
        kept = [step for step in steps if step <= newest][-self.keep :]
        bests = set()
        for step in kept:
            with contextlib.suppress(*_DAMAGE):
                bests.add(read_json(self.folder / f"checkpoint-{step}" / MANIFEST)["best"])
        names = [f"checkpoint-{step}" for step in steps if step not in kept]
        names += [f"best-{step}" for step in self._steps("best") if step < newest and step not in bests]
        for name in names:
            doomed = self.folder / f".tmp-{name}"  # renamed first, so that a kill leaves no half of a checkpoint
            (self.folder / name).rename(doomed)
            shutil.rmtree(doomed)

    @contextmanager
    def _published(self, name: str) -> Iterator[Path]:
        """A temporary directory, synced and renamed to `name` when the block ends, or removed if it failed."""
        target, temporary, old = (self.folder / f"{prefix}{name}" for prefix in ("", ".tmp-", ".old-"))
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for path in (*temporary.rglob("*"), temporary):
                _sync(path)
            if target.exists():
                target.rename(old)
            temporary.rename(target)
            _sync(self.folder)
            shutil.rmtree(old, ignore_errors=True)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise _os_error(error, self.folder) or error from error
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            shutil.rmtree(temporary, ignore_errors=True)


def _on_host(value: Any) -> Any:
    """A copy in the CPU's memory. A copy from a CUDA GPU is complete only once an event recorded later has passed."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        if value.device.type != "cuda":
            return value.to("cpu", copy=True)
        return torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: _on_host(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_host(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()  # torch would write it but refuse to read it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept in a checkpoint")


def _write_parts(state: State, directory: Path) -> None:
    weights = {name: tensor.contiguous() for name, tensor in state.weights.items()}
    name = ADAPTER if (directory / ADAPTER_CONFIG).is_file() else WEIGHTS
    save_file(weights, directory / name, {"format": "pt"})
    parts = {OPTIMIZER: state.optimizer, SCHEDULER: state.scheduler, PROGRESS: state.progress}
    for rank, generators in enumerate(state.rng):
        parts["rng_state.pth" if len(state.rng) == 1 else f"rng_state_{rank}.pth"] = generators
    for name, part in parts.items():
        with open(directory / name, "wb") as stream:  # given a path, torch reports a full disk as an internal error
            torch.save(part, stream)
    trainer: dict[str, Any] = {"epoch": state.epoch, "global_step": state.step, "best_global_step": state.best}
    trainer |= {"train_batch_size": 0, "stateful_callbacks": {"TrainerControl": {}}}  # the Trainer fails without these
    trainer |= {field: state.progress[field] for field in TRAINER_FIELDS if field in state.progress}
    _write_text(directory / TRAINER_STATE, trainer)


def _write_text(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def _check(path: Path) -> None:
    """Raise one of `_DAMAGE` unless the directory is intact, or is a checkpoint of the Trainer."""
    if not (path / MANIFEST).is_file():
        if (path / PROGRESS).is_file() or not (path / TRAINER_STATE).is_file():
            raise ValueError(f"{MANIFEST} is missing")
        return
    manifest = json.loads((path / MANIFEST).read_text())
    for name, expected in manifest["files"].items():
        if not (path / name).is_file():
            raise ValueError(f"{name} is missing")
        if (size := (path / name).stat().st_size) != expected["size"]:
            raise ValueError(f"{name} has {size} bytes instead of {expected['size']}")
        if sha256(path / name) != expected["sha256"]:
            raise ValueError(f"{name} has another checksum than when it was written")
    if manifest["best"] is not None and not (path.parent / f"best-{manifest['best']}").is_dir():
        raise ValueError(f"best-{manifest['best']}, which belongs to it, is missing")


def _warn(path: Path, error: BaseException) -> None:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    print(f"warning: {path}: this checkpoint is damaged and ignored ({why})", file=sys.stderr)


def _sync(path: Path) -> None:
    """Flush a file or directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _os_error(error: BaseException, place: Path) -> OSError | None:
    """The failed write at `place` that caused a library's error; None if it has another cause."""
    cause: BaseException | None = error
    while cause is not None:
        code = cause.errno if isinstance(cause, OSError) else None
        if isinstance(cause, SafetensorError) and (found := re.search(r"os error (\d+)", str(cause))):
            code = int(found[1])
        if code in _WRITING:
            return OSError(code, os.strerror(code), str(place))
        cause = cause.__cause__ or cause.__context__
    return None
