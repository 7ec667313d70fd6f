"""A job's script ends with its shell, and with the Snakemake above that."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from needed import needs

from dnalm.orphans import SNAKEMAKE

pytestmark = needs("Linux")  # which alone tells a process of its parent's end

SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from dnalm.cli import main
def run():
    print(open('/proc/self/stat').read().split()[0], flush=True)
    time.sleep(60)
main(run)
"""
CALLER = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from dnalm.orphans import announce
announce()
subprocess.run(["bash", "-c", sys.argv[2]])
"""


def runs(process):
    try:
        return open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ended(process):
    end = time.monotonic() + 20
    while runs(process) and time.monotonic() < end:
        time.sleep(0.02)
    return not runs(process)


@pytest.fixture
def job(tmp_path):
    """Start a script in a shell, below a stand-in for Snakemake if `called`: (the topmost process, the script's id)."""
    (tmp_path / "script.py").write_text(SCRIPT)
    started = []

    def start(called):
        shell = f"{sys.executable} {tmp_path}/script.py {ROOT}/scripts | cat"
        words = [sys.executable, "-c", CALLER, ROOT / "scripts", shell] if called else ["bash", "-c", shell]
        first = subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, text=True)
        started.append(int(first.stdout.readline()))
        return first, started[-1]

    yield start
    for process in started:
        if runs(process):
            os.kill(process, signal.SIGKILL)


def test_a_script_ends_with_its_snakemake(job):
    snakemake, script = job(called=True)
    snakemake.kill()
    assert ended(script)


def test_a_script_ends_with_its_shell(job):
    _, script = job(called=True)
    shell = Path(f"/proc/{script}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(shell), signal.SIGKILL)
    assert ended(script)


@pytest.mark.parametrize("value", ["{gone}:1", "{own}:1"], ids=["ended", "number used again"])
def test_a_script_whose_snakemake_is_gone_does_not_start(tmp_path, value):
    (tmp_path / "script.py").write_text(SCRIPT)
    gone = subprocess.Popen(["true"])
    gone.wait()
    command = [sys.executable, tmp_path / "script.py", ROOT / "scripts"]
    value = value.format(gone=gone.pid, own=os.getpid())
    done = subprocess.run(command, env={**os.environ, SNAKEMAKE: value}, capture_output=True)
    assert done.returncode == -signal.SIGTERM and not done.stdout


def test_a_script_by_hand_does_not(job):
    shell, script = job(called=False)
    shell.kill()
    time.sleep(1.5)
    assert runs(script)
