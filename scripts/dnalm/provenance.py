"""What made a result: hashes of the code behind a script, and the record kept beside a finished run."""

import ast
import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "accelerate", "biopython", "numpy", "pandas", "peft", "pyarrow", "pysam",
    "scikit-learn", "scipy", "tokenizers", "torch", "transformers",
)  # fmt: skip


@cache
def code_hashes(script: Path, *folders: str) -> dict[str, str]:
    """SHA-256 of a script and of every `dnalm` module it imports, directly or not, by module name.

    Imports are read from the syntax tree, also those inside functions; nothing is executed. folders: what else the
    script reads, beside it, as paths relative to its directory; each file counts, by its relative path. A process reads
    each file once.
    """
    root = Path(__file__).resolve().parents[1] if not (script.parent / "dnalm").is_dir() else script.parent
    found: dict[str, str] = {}
    todo = [(script.name, script)]
    while todo:
        name, path = todo.pop()
        if name not in found:
            found[name], imports = _read(path)
            todo += [(m, p) for m in imports if (p := _module_file(root, m)) is not None]
    for path in (path for folder in folders for path in (root / folder).iterdir()):
        found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(found.items()))


@cache
def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    source = path.read_bytes()
    return hashlib.sha256(source).hexdigest(), tuple(sorted(_imports(ast.parse(source))))


def _imports(tree: ast.Module) -> Iterable[str]:
    """The `dnalm` modules that a module's statements name, with the packages they lie in."""
    statements: list[Any] = [tree]
    while statements:  # in these alone: walking expressions too would take five times as long
        node = statements.pop()
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names for name in _with_packages(alias.name))
        elif isinstance(node, ast.ImportFrom):
            yield from _with_packages(node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names if _with_packages(node.module or ""))
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, ())
            statements += inner if isinstance(inner, list) else ()  # the body of a lambda is none


def _with_packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: length + 1]) for length in range(len(parts))] if parts[0] == "dnalm" else []


def _module_file(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def commit() -> str | None:
    """The git commit of this code, ending in `+changes` if files of it were edited since; None outside a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    head, edits = (
        subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True)
        for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    )
    if head.returncode or edits.returncode:
        return None
    return head.stdout.strip() + ("+changes" if edits.stdout.strip() else "")


def record(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The content of a run.json: the settings, versions, commit and platform at work, and whatever `more` says."""
    place = f"{sys.platform} {platform.machine()}"
    return {"spec": spec, "versions": versions(), "commit": commit(), "platform": place, **more}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages at work."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
