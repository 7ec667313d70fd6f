"""What some tests need that a machine may lack, and the command that brings it.

One table, so that the end of a run can say what was skipped, why, and what to do about it.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"


def _module(name):
    return importlib.util.find_spec(name) is not None


def _gpus():
    import torch

    return torch.cuda.device_count()


def _succeeds(*command):
    return shutil.which(command[0]) is not None and not subprocess.run(command, capture_output=True).returncode


def _triton():
    """Whether there is a Triton whose interpreter keeps up with numpy."""
    return _module("triton") and tuple(map(int, importlib.metadata.version("triton").split(".")[:2])) >= (3, 7)


NEEDS = {
    "trf": (lambda: shutil.which("trf"), "apt install trf (or brew, or conda from bioconda)"),
    "bedtools": (lambda: shutil.which("bedtools"), "apt install bedtools"),
    "rsync": (lambda: shutil.which("rsync"), "apt install rsync"),
    "triton": (_triton, "pip install --requirement requirements-tests.txt --constraint constraints.txt, on Linux"),
    "tensorboard": (
        lambda: _module("tensorboard"),
        "pip install --requirement requirements-tests.txt --constraint constraints.txt",
    ),
    "bitsandbytes": (lambda: _module("bitsandbytes"), "pip install bitsandbytes --constraint constraints.txt"),
    "deepspeed": (lambda: _module("deepspeed"), "pip install --no-build-isolation deepspeed"),
    "a CUDA GPU": (_gpus, "on a machine with an NVIDIA GPU: pytest -m gpu"),
    "two CUDA GPUs": (lambda: _gpus() > 1, "on a machine with two NVIDIA GPUs: pytest -m gpu"),
    "no CUDA GPU": (lambda: not _gpus(), "CUDA_VISIBLE_DEVICES= make test"),
    "Linux": (lambda: sys.platform == "linux", "on Linux: make test"),
    "/dev/full": (lambda: Path("/dev/full").exists(), "on Linux: make test"),
    "the right to mount": (
        # tried in a namespace that ends with the trial
        lambda: _succeeds("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"),
        "sudo make test (in a container: started with --privileged)",
    ),
    "a network namespace": (
        lambda: _succeeds("unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "true"),
        "sudo make test-slow (in a container: started with --privileged)",
    ),
    "root": (lambda: os.geteuid() == 0, "sudo make test-slurm"),
    "SLURM from apt": (lambda: shutil.which("apt-get"), "apt-get update, on Debian or Ubuntu"),
    "the data in ../shared": (SHARED.is_dir, "the maintainers' data, beside the project"),
}


def reason(what):
    """The reason of a skip."""
    return f"needs {what}"


def needs(what):
    """A mark: the test is skipped on a machine without it."""
    there, _ = NEEDS[what]
    return pytest.mark.skipif(not there(), reason=reason(what))


def require(what):
    """Skip here and now, in a test, a fixture or a module, unless the machine has it."""
    there, _ = NEEDS[what]
    if not there():
        pytest.skip(reason(what), allow_module_level=True)


def summary(reports):
    """Lines that say how many tests were skipped, by reason, and the command that brings what they need."""
    commands = {reason(what): command for what, (_, command) in NEEDS.items()}
    counts = Counter(_reason(report) for report in reports)
    width = max(map(len, counts), default=0)
    for why, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:5}  {why:{width}}  {commands.get(why, '')}".rstrip()


def _reason(report):
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
