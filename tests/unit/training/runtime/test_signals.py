"""A signal stops a training between two steps; a second one stops it at once."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.training.runtime import signals
from dnalm.training.runtime.signals import Stop, Stopped

TRAIN = """
import sys, time
from dnalm.cli import main
from dnalm.training.runtime import signals
from dnalm.training.runtime.signals import Stop

signals.GRACE = float(sys.argv[1])

def run():
    with Stop() as stop:
        print("ready", flush=True)
        for step in range(10**6):
            time.sleep(0.01)
            if stop.requested:
                print(stop.requested, flush=True)
                time.sleep(float(sys.argv[2]))
                raise stop.stopped(7)

main(run)
"""


def train(grace=2.0, saving=0.0):
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(grace), str(saving)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 138)])
def test_a_training_asked_to_stop_says_so_in_one_line(name, status):
    process = train()
    process.send_signal(signal.Signals[name])
    _, told = process.communicate()
    assert process.returncode == status
    assert told == f"error: stopped by {name} at step 7; the checkpoint is saved, the same command resumes from there\n"


def test_a_second_request_stops_at_once():
    process = train(grace=0.0, saving=60.0)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "SIGINT\n"
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 143
    assert told == "error: stopped by a second SIGTERM; the same command resumes from the last checkpoint\n"


def test_a_request_that_comes_twice_is_one(monkeypatch):
    """torchrun hands on what a terminal or SLURM has already sent to each process."""
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGINT"
        monkeypatch.setattr(signals, "GRACE", 0.0)
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Stopped, match="second SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGINT"


def test_the_handlers_before_are_restored():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with pytest.raises(ZeroDivisionError), Stop() as stop:
        assert stop.requested is None
        assert all(signal.getsignal(number) not in before for number in signals.SIGNALS)
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_a_users_error_has_its_own_exit_status(capsys):
    def fail(error):
        raise error

    for error, status in ((UserError("x"), 1), (Stop().stopped(3), 143)):
        with pytest.raises(SystemExit) as caught:
            main(lambda error=error: fail(error))
        assert caught.value.code == status
    assert capsys.readouterr().err.count("error: ") == 2
