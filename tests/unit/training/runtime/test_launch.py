"""Several processes under torchrun look like one: real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

WORKER = f"""
import json, os, signal, sys, time
sys.path.insert(0, {str(ROOT / "scripts")!r})
from pathlib import Path
from dnalm.cli import main, parser
from dnalm.config.base import Settings
from dnalm.errors import UserError
from dnalm.training.runtime.launch import is_worker, launch, reported

class NameSettings(Settings):
    name: str = ""

def work(settings, place):
    rank = int(os.environ["RANK"])
    (place / f"{{rank}}").write_text(json.dumps([settings.model_dump(), os.getpid()]))
    PART

def run():
    options = parser("", NameSettings)
    options.add_argument("place", type=Path)
    args = options.parse_args()
    if is_worker():
        with reported():
            work(args.settings, args.place)
    else:
        launch(Path(__file__), [str(args.place)], args.settings.model_dump_json(), 2)

main(run)
"""
CONNECTED = """
    import torch
    torch.distributed.init_process_group("gloo")
    torch.distributed.all_reduce(torch.ones(1))
    try:
        if rank == 1:
            ERROR
        torch.distributed.all_reduce(torch.ones(1))
    finally:
        torch.distributed.destroy_process_group()
"""
STOPPED = """
    from dnalm.training.runtime.signals import Stop
    with Stop() as stop:
        (place / f"{rank} ready").touch()
        while not stop.requested:
            time.sleep(0.02)
        time.sleep(1.5)  # writes a checkpoint
        raise stop.stopped(7)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write a script whose processes do `part`, and start it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    def start(part, *prefix):
        script = tmp_path / "script.py"
        script.write_text(WORKER.replace("    PART", part.strip("\n") if part[0] == "\n" else f"    {part}"))
        command = [*(prefix or [sys.executable]), script, tmp_path, "--spec", "-"]
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(list(map(str, command)), **pipes)
        process.stdin.write('{"name": "ü"}')
        process.stdin.close()
        process.stdin = None
        return process

    return start


def ended(process):
    """Exit status and lines on standard error."""
    errors = process.communicate(timeout=90)[1]
    return process.returncode, errors.splitlines()


def await_(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_processes_get_the_settings_and_nothing_is_said_or_left(program, tmp_path):
    assert ended(program("pass")) == (0, [])
    assert [json.loads((tmp_path / rank).read_text())[0] for rank in "01"] == [{"name": "ü"}] * 2
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    "part", ["raise UserError('x: is wrong')", CONNECTED.replace("ERROR", "raise UserError('x: is wrong')")]
)
def test_a_users_error_of_one_or_all_processes_is_said_once_and_last(program, part):
    status, lines = ended(program(part))
    assert (status, lines[-1]) == (1, "error: x: is wrong")
    assert sum("error:" in line for line in lines) == 1
    assert not any("Traceback" in line for line in lines)


def test_a_fault_of_ours_keeps_its_traceback_and_the_other_process_adds_none(program):
    status, lines = ended(program(CONNECTED.replace("ERROR", "raise ZeroDivisionError('fault')")))
    assert status != 0
    assert lines[-1].startswith("error: process 1 of 2")
    assert sum("ZeroDivisionError: fault" in line for line in lines) == 1
    assert sum("Traceback" in line for line in lines) == 1


def test_a_killed_process_ends_all_and_is_named(program):
    status, lines = ended(program("os.kill(os.getpid(), signal.SIGKILL) if rank else time.sleep(60)"))
    assert status == 137
    assert lines[-1].startswith("error: process 1 of 2 (counted from 0) was killed, as happens when a machine's memory")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_lets_all_save_and_its_exit_status_survives(program, tmp_path, number):
    process = program(STOPPED)
    await_(lambda: len(list(tmp_path.glob("? ready"))) == 2)
    process.send_signal(number)
    if number == signal.SIGTERM:  # as when a scheduler and Snakemake both ask
        time.sleep(0.3)
        process.send_signal(number)
    status, lines = ended(process)
    assert status == 128 + number
    assert lines == [
        f"error: stopped by {number.name} at step 7; the checkpoint is saved, the same command resumes from there"
    ]


def test_processes_do_not_outlive_a_killed_launcher(program, tmp_path):
    process = program(STOPPED)
    await_(lambda: len(list(tmp_path.glob("? ready"))) == 2)
    pids = [json.loads((tmp_path / rank).read_text())[1] for rank in "01"]
    assert all(map(alive, pids))
    process.kill()
    ended(process)
    await_(lambda: not any(map(alive, pids)))


def test_a_process_of_somebody_elses_torchrun_is_a_worker(program, tmp_path):
    """Two nodes of one process each, as on a cluster; both of this machine."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
    ]
    torchrun += [f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test", "--local-addr=127.0.0.1"]
    (tmp_path / "spec.json").write_text('{"name": "nodes"}')
    script = tmp_path / "script.py"
    script.write_text(WORKER.replace("    PART", CONNECTED.strip("\n").replace("ERROR", "pass")))
    nodes = [subprocess.Popen([*torchrun, script, tmp_path, "--spec", tmp_path / "spec.json"]) for _ in range(2)]
    assert [node.wait(timeout=120) for node in nodes] == [0, 0]
    assert [json.loads((tmp_path / rank).read_text())[0] for rank in "01"] == [{"name": "nodes"}] * 2


def test_a_scripts_error_is_its_own_where_nobody_launched_it(program, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert ended(program("raise UserError('x: is wrong')")) == (1, ["error: x: is wrong"])


def test_an_error_that_cannot_be_noted_is_said_by_the_process_itself(program):
    """As on a full disk, which is then the error."""
    part = "os.environ['TORCHELASTIC_ERROR_FILE'] = '/dev/full/x'; raise UserError(f'x{rank}: is wrong')"
    status, lines = ended(program(part))
    assert status == 1
    assert any(f"error: x{rank}: is wrong" in line for rank in (0, 1) for line in lines)
    assert lines[-1].endswith("failed; its output is above")


def test_the_launcher_leaves_its_process_as_it_was():
    from dnalm.training.runtime.launch import _settings

    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with _settings():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert os.environ != before
    assert (dict(os.environ), signal.getsignal(signal.SIGTERM)) == (before, handler)
