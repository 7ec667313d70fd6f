"""Where a training keeps what it needs to resume: one folder for each combination of settings, inputs and code."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dnalm.errors import UserError
from dnalm.files import read_json, sha256, write_json

LOCK, OWNER, DISCARDED = "lock", "owner.json", ".discarded-"

_LOCKLESS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})
"""Errors of file systems without locks."""


def key_of(spec: Mapping[str, Any], code: Mapping[str, str], inputs: Mapping[str, Path | None]) -> str:
    """A hash of `spec`, code and inputs, 32 hexadecimal digits: the same key means the same training.

    code: digest by module name. inputs: files or directories by role; every file of a directory is hashed, under its
    path in it. The location of the inputs does not matter, and a role with None is ignored.
    """
    found = {}
    for role, place in inputs.items():
        if place is None:
            continue
        paths = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
        for path in paths:
            found[f"{role}/{path.relative_to(place).as_posix()}"] = sha256(path)
    text = json.dumps({"spec": spec, "code": dict(code), "inputs": found}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Scratch:
    """The folder `root`/`key`, locked by one process at a time; it outlives the process unless removed.

    owner: the output that the work is for. On entry, folders of the same owner with another key are removed. Raises
    `UserError` if a running process uses the folder; the lock of a dead process is released by the system.
    """

    def __init__(self, root: Path, key: str, owner: str) -> None:
        """Change nothing on disk before entry."""
        self.root, self.folder, self.owner = root, root / key, owner
        self._lock: int | None = None

    def __enter__(self) -> "Scratch":
        """Create and lock the folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        while self._lock is None:
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir()
            try:
                self._lock = _locked(self.folder)
            except BlockingIOError as error:
                raise UserError(
                    f"{self.folder}: in use by {_holder(self.folder)}; wait until it ends, or stop it"
                ) from error
        write_json(self.folder / OWNER, {"owner": self.owner})
        self._remove_superseded()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove the folder: the work is done."""
        _discard(self.folder)

    def _remove_superseded(self) -> None:
        for leftover in self.root.glob(f"{DISCARDED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for path in sorted(self.root.glob(f"*/{OWNER}")):
            if path.parent == self.folder or _owner(path) != self.owner:
                continue
            try:
                lock = _locked(path.parent)
            except BlockingIOError:
                continue
            if lock is not None:
                _discard(path.parent)
                os.close(lock)


def _discard(folder: Path) -> None:
    """Remove a folder whose lock is held. It is renamed first, so that no process finds it half removed."""
    doomed = folder.with_name(f"{DISCARDED}{folder.name}-{os.getpid()}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)  # on NFS the open lock file stays; the next run removes it


def _locked(folder: Path) -> int | None:
    """A descriptor that holds `folder`'s lock until it is closed or the process ends; None if it was just removed.

    Raises `BlockingIOError` if another process holds it. This is a POSIX record lock: unlike `flock`, forked workers,
    which may outlive the process, do not inherit it, and on NFS it works between machines. Why not filelock: on a file
    system without locks it fails, or leaves a lock file behind after a kill; and it does not notice that the folder was
    replaced while it waited.
    """
    path = folder / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BlockingIOError(error.errno, "locked", str(path)) from error
            if error.errno not in _LOCKLESS:
                raise
            print(
                f"warning: {folder}: this file system has no locks; make sure that no other run uses the folder",
                file=sys.stderr,
            )
        # between opening and locking, the previous holder may have finished and removed the folder
        if not path.exists() or not os.path.samestat(os.fstat(lock), path.stat()):
            os.close(lock)
            return None
        os.truncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except BaseException:
        os.close(lock)
        raise
    return lock


def _owner(path: Path) -> str | None:
    try:
        return str(read_json(path)["owner"])
    except (UserError, OSError, LookupError, TypeError):
        return None  # half-written at a power loss, or just removed: leave the folder alone


def _holder(folder: Path) -> str:
    try:
        return (folder / LOCK).read_text() or "another process"
    except OSError:
        return "another process"
