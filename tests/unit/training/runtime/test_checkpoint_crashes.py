"""Whatever happens while a checkpoint is written, the one before or the new one is there."""

import contextlib
import errno
import io
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import save_file
from small_checkpoints import names, same, save, toy, write_toy_config

from dnalm.cli import message_of
from dnalm.training.runtime import checkpoints as module
from dnalm.training.runtime.checkpoints import Checkpoints

DISK_MB = 3


def big(step):
    state = toy(step)
    state.weights["w"], state.optimizer["state"][0]["exp_avg"] = torch.rand(100_000), torch.rand(100_000)
    return state


@pytest.mark.parametrize("room", [0.2, 0.6])
def test_a_full_disk_is_told_as_such_and_the_checkpoint_before_is_intact(small_disk, room):
    """Full while the weights or the optimizer's state is written."""
    checkpoints = Checkpoints(small_disk)
    save(checkpoints, toy(1))
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"x" * (free - int(room * 2**20)))
    with pytest.raises(OSError) as caught:
        save(checkpoints, big(2))
    assert caught.value.errno == errno.ENOSPC
    assert message_of(caught.value) == f"{small_disk}: the disk is full; free space or use another --directory"
    with pytest.raises(OSError) as caught:
        checkpoints.keep_best(2, lambda directory: save_file({"w": torch.rand(400_000)}, directory / "w"))
    assert caught.value.errno == errno.ENOSPC
    assert names(small_disk) == ["checkpoint-1", "filler"]
    assert same(checkpoints.load().weights, toy(1).weights)
    (small_disk / "filler").unlink()
    save(checkpoints, state := big(3))
    assert same(checkpoints.load().weights, state.weights)


def test_a_file_that_may_not_grow_further_is_told_as_such(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, toy(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            save(checkpoints, big(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert checkpoints.load().step == 1 and names(tmp_path) == ["checkpoint-1"]


def in_a_fresh_process(function, *arguments):
    """Run a function of this module in a process without threads, which may fork."""
    code = f"import torch, test_checkpoint_crashes as t; torch.set_num_threads(1); t.{function}(*{arguments!r})"
    path = os.pathsep.join(map(str, (ROOT / "scripts", ROOT / "tests", ROOT / "tests/helpers", Path(__file__).parent)))
    process = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def save_on_and_on(folder, report):
    """Save steps without end, some twice, with best models; report each that is known to be on disk."""
    checkpoints = Checkpoints(folder)
    before = checkpoints.load()
    step, best = (before.step, before.best) if before else (0, None)
    amid = before is not None and step % 3 == 0 and not before.progress["phase"]
    while True:
        if not amid:
            step += 1
            checkpoints.save(toy(step, 0, best), write_toy_config)
        amid = False
        if step % 3 == 0:
            best = step
            checkpoints.keep_best(best, lambda directory, step=step: (directory / "model").write_text(f"best {step}"))
            checkpoints.save(toy(step, 1, best), write_toy_config)
        if step % 2:
            checkpoints.wait()
            os.write(report, f"{step} {int(step % 3 == 0)}\n".encode())


def kill_often(folder, times):
    """Kill a saving process again and again; whatever moment was met, the newest checkpoint is there and right."""
    folder, met = Path(folder), set()
    for turn in range(times):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            save_on_and_on(folder, writing)
        os.close(writing)
        if turn % 2 == 0:  # however slow the machine is, something gets saved; at odd turns all moments are met
            select.select([reading], [], [])
        time.sleep(random.Random(turn).uniform(0.01, 0.25))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading) as stream:
            confirmed = [tuple(map(int, line.split())) for line in stream.read().splitlines()]
        met |= {name[:8] for name in os.listdir(folder) if name.startswith(".")}
        with contextlib.redirect_stderr(io.StringIO()) as told:
            state = Checkpoints(folder).load()
        assert not told.getvalue(), told.getvalue()
        phase = state.progress["phase"]
        assert (state.step, phase) >= max(confirmed, default=(0, 0))
        expected = toy(state.step, phase)
        assert same(state.weights, expected.weights) and same(state.optimizer, expected.optimizer)
        assert state.best == (state.step // 3 * 3 - (0 if phase or state.step % 3 else 3) or None)
        if state.best:
            assert (folder / f"best-{state.best}" / "model").read_text() == f"best {state.best}"
    print(state.step, sorted(met))


def test_kill_9_at_random_moments_loses_nothing_that_was_saved(tmp_path):
    step, met = in_a_fresh_process("kill_often", str(tmp_path / "run"), 20).split(" ", 1)
    assert int(step) >= 10
    assert ".tmp-che" in met  # it was killed amid a save


def crash_everywhere(folder):
    """End a process before each of the things it does to the disk in turn, keeping a single checkpoint."""
    folder, at, seen = Path(folder), 0, set()
    disk, removal = {"open", "os.rename", "os.mkdir", "os.truncate"}, {"os.remove", "os.rmdir"}
    with Checkpoints(folder / "start", keep=1) as checkpoints:
        checkpoints.keep_best(1, lambda directory: (directory / "model").write_text("1"))
        checkpoints.save(toy(1, 0, 1), write_toy_config)
    while True:
        at += 1
        place = folder / str(at)
        shutil.copytree(folder / "start", place)
        child = os.fork()
        if child == 0:
            checkpoints, left, mine = Checkpoints(place, keep=1), at, str(place)

            def count(event, given, mine=mine):
                nonlocal left
                if event in removal or (event in disk and str(given[0]).startswith(mine)):
                    left -= 1
                    if left == 0:
                        os._exit(9)

            sys.addaudithook(count)
            save(checkpoints, toy(1, 1, 1))
            checkpoints.keep_best(2, lambda directory: (directory / "model").write_text("2"))
            save(checkpoints, toy(2, 2, 2))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for path in place.glob("checkpoint-*"):
            module._check(path)  # whole, also those that are being removed
        with contextlib.redirect_stderr(io.StringIO()) as told:
            state = Checkpoints(place, keep=1).load()
        assert not told.getvalue(), told.getvalue()
        expected = toy(state.step, state.progress["phase"])
        assert same(state.weights, expected.weights)
        assert (place / f"best-{state.best}" / "model").read_text() == str(state.best) == str(state.step)
        assert not any(name.startswith(".") for name in os.listdir(place))
        seen.add(state.progress["phase"])
        shutil.rmtree(place)
        if status == 0:
            break
        assert status == 9
    assert seen == {0, 1, 2}
    print(at)


def test_a_crash_before_any_single_file_operation_loses_nothing():
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # many runs, where a disk's speed is no matter
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        operations = int(in_a_fresh_process("crash_everywhere", folder))
    assert operations > 60
