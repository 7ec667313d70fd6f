"""A cache of facts about files between calls of Snakemake, so that a file is read once and not by each call."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(".snakemake/dnalm")
"""Folder of the cache, in the working directory."""


class Kept:
    """Facts about files, each with the size, times and inode of its file when it was read.

    Of two calls at once, the last one's cache is kept; the other's facts are read again when needed.
    """

    def __init__(self, name: str, version: str) -> None:
        """name: of the cache's file in `FOLDER`. version: of the code that reads facts; others' facts are ignored."""
        self._path = FOLDER / name
        self._version = version
        self._facts: dict[str, list[Any]] | None = None
        self._changed = False

    def fact(self, path: Path | str, find: Callable[[], Any]) -> Any:
        """What `find` returns (a JSON value) for the file as it is now. Raises `OSError` if the file is missing."""
        found = os.stat(path)
        state = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        facts = self._read()
        known = facts.get(str(path))
        if known is None or known[0] != state:
            known = facts[str(path)] = [state, find()]
            self._changed = True
        return known[1]

    def save(self) -> None:
        """Write the cache if facts were added."""
        if not self._changed:
            return
        facts = {path: fact for path, fact in self._read().items() if os.path.exists(path)}
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"version": self._version, "facts": facts}))
            temporary.replace(self._path)
        except OSError:  # such as a full disk: the next call reads the files again
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._changed = False

    def _read(self) -> dict[str, list[Any]]:
        if self._facts is None:
            try:
                kept = json.loads(self._path.read_text())
                self._facts = dict(kept["facts"]) if kept["version"] == self._version else {}
            except (OSError, ValueError, TypeError, KeyError):
                self._facts = {}
        return self._facts
