"""Code that comes with a checkpoint: run where the user trusts it, and otherwise refused by name."""

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
    """Let transformers load what is in `directory` inside the block, and run the code there if `trust`.

    Whoever calls transformers says `trust_remote_code` too; this is where the code is put, and what is said. Whatever
    goes wrong becomes a `UserError`: that code is needed and not trusted, or the words of `wrong`.
    """
    if trust:
        _private_modules()
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers and safetensors raise anything from OSError to KeyError
        if not trust and "trust_remote_code" in str(error):
            raise UserError(f"{directory}: needs code of its own, which is not run; {HINT}") from error
        raise UserError(f"{directory}: {wrong} ({brief(error)})") from error


def brief(error: BaseException) -> str:
    """An error's message as one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def sources(directory: Path | str) -> list[str]:
    """Where the code that a checkpoint asks for lies: `module.Class`, or `owner/name--module.Class` on the hub."""
    found: list[str] = []
    for name in ("config.json", "tokenizer_config.json"):
        path = Path(directory, name)
        asked = read_json(path).get("auto_map", {}) if path.is_file() else {}
        places = [asked] if isinstance(asked, list) else list(asked.values()) if isinstance(asked, dict) else []
        for place in places:
            found += [part for part in (place if isinstance(place, list) else [place]) if isinstance(part, str)]
    return sorted(set(found))


@cache
def _private_modules() -> TemporaryDirectory[str]:
    """Give this process a place of its own for the code that transformers copies before it runs it.

    By default all processes of a user share one, below the home directory: jobs that start together would read what
    another is just writing, and a node's home may be read-only.
    """
    from transformers import dynamic_module_utils

    place: TemporaryDirectory[str] = TemporaryDirectory(prefix="dnalm-modules-")
    dynamic_module_utils.HF_MODULES_CACHE = os.fspath(place.name)  # type: ignore[attr-defined]
    return place
