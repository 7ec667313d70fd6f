"""A job's script ends with its shell."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from needed import needs

from dnalm.orphans import SHELL

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
    (tmp_path / "script.py").write_text(SCRIPT)
    started = []

    def start(before):
        command = f"{before} {sys.executable} {tmp_path}/script.py {ROOT}/scripts | cat"
        shell = subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True)
        started.append(int(shell.stdout.readline()))
        return shell, started[-1]

    yield start
    for process in started:
        if runs(process):
            os.kill(process, signal.SIGKILL)


def test_a_script_ends_with_its_shell(job):
    shell, script = job(f"export {SHELL}=$$; ")
    shell.kill()
    assert ended(script)


def test_a_script_whose_shell_is_gone_does_not_start(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    gone = subprocess.Popen(["true"])
    gone.wait()
    command = [sys.executable, tmp_path / "script.py", ROOT / "scripts"]
    done = subprocess.run(command, env={**os.environ, SHELL: str(gone.pid)}, capture_output=True)
    assert done.returncode == -signal.SIGTERM and not done.stdout


def test_a_script_by_hand_does_not(job):
    shell, script = job("")
    shell.kill()
    time.sleep(0.5)
    assert runs(script)
