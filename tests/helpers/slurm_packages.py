"""SLURM's programs as Debian and Ubuntu pack them, unpacked into a folder: nothing of the machine is changed."""

import shutil
import subprocess
from pathlib import Path

WANTED = ["slurmctld", "slurmd", "slurmdbd", "slurm-client", "munge", "mariadb-server"]


class Unavailable(Exception):
    """Why there is no SLURM to be had here."""


def unpacked(folder: Path) -> Path:
    """Download the packages that the machine lacks and unpack them into `folder`/root, unless they are there."""
    root = folder / "root"
    if root.is_dir():
        return root
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable("needs apt, from which it takes SLURM")
    planned = _output("apt-get", "install", "--simulate", "--no-install-recommends", *WANTED)
    missing = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    part, debs = folder / "root.part", folder / "debs"
    for place in (part, debs):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    if missing:
        _output("apt-get", "download", *missing, directory=debs)
    for package in sorted(debs.iterdir()):
        _output("dpkg-deb", "--extract", package, part)
    shutil.rmtree(debs)
    for program in part.glob("usr/sbin/*-wlm"):  # the names that they must be called by, else given on installation
        program.with_name(program.name.removesuffix("-wlm")).symlink_to(program.name)
    return part.rename(root)


def _output(*command: str | Path, directory: Path | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"needs SLURM from apt (try apt-get update): {(done.stderr or done.stdout).strip()}")
    return done.stdout
