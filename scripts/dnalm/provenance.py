"""Provenance: the record kept beside a finished run."""

import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "accelerate", "edlib", "numpy", "pandas", "parasail", "peft", "pyarrow", "pydustmasker", "pysam",
    "scikit-learn", "scipy", "tokenizers", "torch", "transformers",
)  # fmt: skip


def commit() -> str | None:
    """The git commit of this code, with `+changes` appended if files were edited since; None outside a git checkout."""
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
    """The content of a run.json: settings, versions, commit, platform, and the entries of `more`."""
    place = f"{sys.platform} {platform.machine()}"
    return {"spec": spec, "versions": versions(), "commit": commit(), "platform": place, **more}


def versions() -> dict[str, str]:
    """Versions of Python and of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
