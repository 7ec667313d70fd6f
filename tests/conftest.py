"""What several test modules use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; spinning threads starve parallel tests
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# A busy machine is no failure.
settings.register_profile("default", deadline=None)
settings.load_profile("default")


@pytest.fixture
def shared():
    """Real data kept beside the project; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data in ../shared")
    return SHARED


@pytest.fixture
def small_disk(tmp_path, request):
    """An empty file system of so many MB as the test's module says in `DISK_MB`."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.module.DISK_MB}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
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
