"""The folder a training comes back to: one process at a time, and nothing left of other settings."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from multiprocessing import get_context

import pytest
from conftest import ROOT

from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.training.runtime.scratch import Scratch, key_of

HOLD = """
import os, sys
from pathlib import Path
from dnalm.cli import main
from dnalm.training.runtime.scratch import Scratch

def run():
    with Scratch(Path(sys.argv[1]), sys.argv[2], "out") as scratch:
        if sys.argv[3] == "fork" and os.fork() == 0:
            sys.stdin.read()  # a worker that outlives the one killed
            os._exit(0)
        print("held", flush=True)
        sys.stdin.read()
        if sys.argv[3] == "remove":
            scratch.remove()

main(run)
"""


def start(root, key, how=""):
    """A process that uses a scratch folder until its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), key, how],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def keys(root):
    return sorted(path.name for path in root.iterdir())


def test_a_folder_stays_until_it_is_removed(tmp_path):
    root = tmp_path / "a" / ".scratch"
    with Scratch(root, "k", "results/x/model") as scratch:
        assert scratch.folder == root / "k"
        assert read_json(scratch.folder / "owner.json") == {"owner": "results/x/model"}
        (scratch.folder / "state").write_text("1")
    with pytest.raises(ZeroDivisionError), Scratch(root, "k", "results/x/model") as scratch:
        assert (scratch.folder / "state").read_text() == "1"
        raise ZeroDivisionError
    with Scratch(root, "k", "results/x/model") as scratch:
        scratch.remove()
    assert keys(root) == []


def test_a_folder_in_use_is_one_line_and_free_when_the_process_has_ended(tmp_path):
    first = start(tmp_path, "k")
    assert first.stdout.readline() == "held\n"
    second = start(tmp_path, "k")
    _, told = second.communicate()
    assert second.returncode == 1
    assert told.startswith(f"error: {tmp_path / 'k'}: in use by process {first.pid} on ") and told.count("\n") == 1
    other = start(tmp_path, "other")  # of the same output, with other settings: what is in use is left alone
    assert other.stdout.readline() == "held\n"
    assert keys(tmp_path) == ["k", "other"]
    other.communicate()
    first.communicate()
    with Scratch(tmp_path, "k", "out"):
        assert keys(tmp_path) == ["k"]


@pytest.mark.parametrize("how", ["", "fork"])
def test_a_killed_process_is_no_obstacle_even_if_its_workers_live(tmp_path, how):
    process = start(tmp_path, "k", how)
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Scratch(tmp_path, "k", "out"):
        pass
    process.stdin.close()


def test_what_other_settings_of_the_same_output_left_is_removed(tmp_path):
    for key, owner in (("old", "out"), ("other", "elsewhere"), ("older", "out")):
        with Scratch(tmp_path, key, owner) as scratch:
            (scratch.folder / "checkpoints").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "owner.json").write_text("{")
    (tmp_path / "foreign").mkdir()
    (tmp_path / ".discarded-x-1" / "checkpoints").mkdir(parents=True)
    with Scratch(tmp_path, "new", "out"):
        assert keys(tmp_path) == ["foreign", "new", "other", "torn"]


def _use(root, times):
    done = 0
    while done < times:
        try:
            with Scratch(root, "k", "out") as scratch:
                (scratch.folder / "mine").write_bytes(b"")  # nobody else's is there
                assert sorted(os.listdir(scratch.folder)) == ["lock", "mine", "owner.json"]
                scratch.remove()
                done += 1
        except UserError:
            continue


def test_two_that_remove_the_folder_never_use_it_at_once(tmp_path):
    processes = [get_context("fork").Process(target=_use, args=(tmp_path, 100)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, capsys):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with Scratch(tmp_path, "k", "out") as scratch:
        assert scratch.folder.is_dir()
    told = capsys.readouterr().err
    assert (
        told
        == f"warning: {tmp_path / 'k'}: this file system has no locks; make sure that no other run uses the folder\n"
    )


def test_other_failures_to_lock_are_told(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(OSError, match="Input/output"), Scratch(tmp_path, "k", "out"):
        pass


# --- keys


def inputs(root, **contents):
    for name, text in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_key_tells_settings_code_and_contents_apart_and_no_places(tmp_path):
    here = inputs(tmp_path / "here", train="AC", model__config="{}", model__sub__weights="1")
    there = inputs(tmp_path / "there", train="AC", model__sub__weights="1", model__config="{}")
    spec, code = {"seed": 1, "recipe": {"epochs": 3, "rate": 0.1}}, {"a": "1", "b": "2"}

    def key(root=here, spec=spec, code=code, **more):
        return key_of(spec, code, {"train": root / "train", "model": root / "model", **more})

    same = key()
    assert len(same) == 32 and int(same, 16)
    assert (
        key(there) == key(here, dict(reversed(spec.items())), dict(reversed(code.items()))) == key(reverse=None) == same
    )
    others = [
        key(spec={**spec, "seed": 2}),
        key(code={**code, "b": "3"}),
        key(other=here / "train"),
        key(train=here / "model" / "config"),
        key(inputs(there, train="AG")),
        key(inputs(there, train="AC", model__config="[]")),
        key(inputs(there, model__config="{}", model__more="")),
    ]
    assert len({same, *others}) == 8


def test_a_missing_input_is_no_key(tmp_path):
    with pytest.raises(FileNotFoundError):
        key_of({}, {}, {"train": tmp_path / "train"})
