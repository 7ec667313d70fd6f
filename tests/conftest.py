"""What several test modules use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from needed import SHARED, require, summary

ROOT = Path(__file__).parents[1]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; spinning threads starve parallel tests
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# A busy machine is no failure.
settings.register_profile("default", deadline=None)
settings.load_profile("default")


@pytest.fixture
def shared():
    """Real data kept beside the project; tests that need it are skipped without it."""
    require("the data in ../shared")
    return SHARED


@pytest.fixture
def small_disk(tmp_path, request):
    """An empty file system of so many MB as the test's module says in `DISK_MB`."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.module.DISK_MB}m", "tmpfs", str(place)]
    require("the right to mount")
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def snakemake(tmp_path):
    """Run Snakemake in an empty directory; returns the finished process."""

    def run(*arguments, directory=tmp_path, before=(), **options):
        command = [
            *before,
            "snakemake",
            "--snakefile",
            ROOT / "Snakefile",
            "--directory",
            directory,
            "--cores",
            "2",
            *arguments,
        ]
        profile = ["--workflow-profile", ROOT / "profiles/default"]
        return subprocess.run([*map(str, command + profile)], capture_output=True, text=True, **options)

    return run


def pytest_terminal_summary(terminalreporter, config):
    """Say at the end what did not run, and how to run it."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("skipped, and what brings it")
        for line in summary(skipped):
            terminalreporter.line(line)
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and "not slow" in config.option.markexpr:
        terminalreporter.line("Not among these: make test-slow (over a minute each), make test-slurm (starts a SLURM)")
