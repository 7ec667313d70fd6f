"""Code that comes with a checkpoint: run if the user trusts it, else an error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dnalm.errors import UserError
from dnalm.files import read_json

HINT = "if you trust it, set `trust_remote_code: true` for this model (predict.py: --trust-remote-code)"


@contextmanager
def loading(directory: Path | str, trust: bool, wrong: str) -> Iterator[None]:
    """A context for loading from `directory` with transformers, which may run code from there if `trust`.

    The caller must pass `trust_remote_code` to transformers as well. Any error becomes a `UserError`: code is needed
    but not trusted, or `wrong` with the error in brackets.
    """
    if trust:
        _private_modules()
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers and safetensors raise anything from OSError to KeyError
        if not trust and "trust_remote_code" in str(error):
            raise UserError(f"{directory}: needs the code that comes with it, which is not run; {HINT}") from error
        raise UserError(f"{directory}: {wrong} ({brief(error)})") from error


def brief(error: BaseException) -> str:
    """An error's message as one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def sources(directory: Path | str) -> list[str]:
    """The classes that a checkpoint's configs ask for: `module.Class`, or `owner/name--module.Class` on the hub."""
    found: list[str] = []
    for name in ("config.json", "tokenizer_config.json"):
        path = Path(directory, name)
        classes = read_json(path).get("auto_map", {}) if path.is_file() else {}
        places = [classes] if isinstance(classes, list) else list(classes.values()) if isinstance(classes, dict) else []
        for place in places:
            found += [part for part in (place if isinstance(place, list) else [place]) if isinstance(part, str)]
    return sorted(set(found))


@cache
def _private_modules() -> TemporaryDirectory[str]:
    """Give this process its own folder for the code that transformers copies before it runs it.

    By default all processes of a user share one in the home directory: jobs that start together could read a file that
    another is writing, and a node's home may be read-only.
    """
    from transformers import dynamic_module_utils

    place: TemporaryDirectory[str] = TemporaryDirectory(prefix="dnalm-modules-")
    dynamic_module_utils.HF_MODULES_CACHE = os.fspath(place.name)  # type: ignore[attr-defined]
    return place
