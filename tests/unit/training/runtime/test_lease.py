"""Runs that share a machine's GPUs: real processes, with a stand-in for nvidia-smi."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from dnalm.errors import UserError
from dnalm.training.runtime.lease import _GIVEN, VISIBLE, lease, visible_gpus

HOLD = """
import os, sys, dnalm.training.runtime.lease as module
module._POLL = 0.02
with module.lease(int(sys.argv[1])) as gpus:
    print(",".join(gpus), os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Pretend that this machine has GPUs; returns a function that sets how many."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    for name in (*_GIVEN, VISIBLE, "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)

    def have(gpus):
        program = tmp_path / "bin/nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        lines = "\n".join(f"{index}, GPU-{index}aa" for index in range(gpus))
        program.write_text(f"#!/bin/sh\ncat <<END\n{lines}\nEND\n")
        program.chmod(0o755)

    return have


@pytest.fixture
def hold():
    """Start processes that hold GPUs until they are told to end."""
    started = []

    def start(count):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", HOLD, str(count)], text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def held_by(process):
    """The GPUs a process says it holds, once it does."""
    gpus, visible = process.stdout.readline().split()
    assert gpus == visible
    return set(gpus.split(","))


def test_two_runs_get_different_gpus_and_a_third_waits_and_says_so(machine, hold):
    machine(2)
    first, second = hold(1), hold(1)
    assert held_by(first) | held_by(second) == {"GPU-0aa", "GPU-1aa"}
    third = hold(1)
    assert "waiting for 1 free GPUs (0 of 2 are)" in third.stderr.readline()
    first.communicate("end\n", timeout=20)
    assert len(held_by(third)) == 1


def test_a_killed_run_holds_nothing(machine, hold):
    machine(1)
    first = hold(1)
    held_by(first)
    second = hold(1)
    second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    assert held_by(second) == {"GPU-0aa"}


def test_all_are_taken_at_once_or_none(machine, hold):
    machine(3)
    first = hold(1)
    held_by(first)
    wide = hold(3)
    assert "(2 of 3 are)" in wide.stderr.readline()
    others = hold(2)  # gets what the waiting one would sit on if it took what it can
    assert len(held_by(others)) == 2
    for process in (first, others):
        process.communicate("end\n", timeout=20)
    assert len(held_by(wide)) == 3


def test_runs_that_want_several_never_block_each_other_for_good(machine, hold):
    machine(3)
    runs = [hold(2) for _ in range(4)]
    for run in runs:
        run.stdin.write("end\n")  # each gives its GPUs back as soon as it has them
        run.stdin.flush()
    for run in runs:
        assert len(held_by(run)) == 2
        assert run.wait(timeout=60) == 0


def test_more_than_there_are_is_refused(machine):
    machine(2)
    with pytest.raises(UserError, match="3 GPUs are needed and 2 are visible"), lease(3):
        pass


def test_nothing_happens_without_gpus_in_a_worker_or_where_a_scheduler_gave_them(machine, monkeypatch, tmp_path):
    def taken():
        with lease(1) as gpus:
            assert VISIBLE not in os.environ or os.environ[VISIBLE] == "1"
            return gpus

    machine(0)
    assert taken() == []
    machine(1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert taken() == []
    monkeypatch.delenv("LOCAL_RANK")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert taken() == []
    assert not (tmp_path / "dnalm-gpus").exists()


def test_runs_inside_one_allocation_of_a_scheduler_share_its_gpus(machine, monkeypatch, hold):
    machine(4)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(VISIBLE, "1,3")
    assert held_by(hold(1)) | held_by(hold(1)) == {"GPU-1aa", "GPU-3aa"}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-0aa", "GPU-1aa", "GPU-2aa"]),
        ("2,0", ["GPU-2aa", "GPU-0aa"]),
        ("GPU-1aa, GPU-0", ["GPU-1aa", "GPU-0aa"]),
        ("1,7,0", ["GPU-1aa"]),
        ("GPU-", []),  # fits several
        ("MIG-1f", ["MIG-1f"]),
        ("", []),
        ("-1", []),
    ],
)
def test_cuda_visible_devices_is_respected(machine, monkeypatch, visible, expected):
    machine(3)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert visible_gpus() == expected


@pytest.mark.parametrize("before", [None, "1,0"])
def test_the_environment_is_as_before_at_the_end(machine, monkeypatch, before):
    machine(2)
    if before:
        monkeypatch.setenv(VISIBLE, before)
    with lease(1) as gpus:
        assert os.environ[VISIBLE] == gpus[0] == ("GPU-1aa" if before else "GPU-0aa")
    assert os.environ.get(VISIBLE) == before


def test_other_users_can_take_part(machine, tmp_path):
    machine(1)
    old = os.umask(0o077)
    try:
        with lease(1):
            pass
    finally:
        os.umask(old)
    folder = tmp_path / "dnalm-gpus"
    assert folder.stat().st_mode & 0o777 == 0o777
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666}
