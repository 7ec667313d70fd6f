import fcntl
import logging
import subprocess
import sys

import pytest

from dnalm.workflow import session


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    return tmp_path


def said(capsys, *records):
    ending = session.Ending()
    for fields in records:
        record = logging.makeLogRecord({"levelno": logging.ERROR, "msg": "", **fields})
        ending.handle(record)
    ending.say()
    return capsys.readouterr().err.splitlines()


def test_failed_jobs_are_summed_up(here, capsys):
    (here / "a.log").write_text("progress\nerror: x: is bad\n")
    (here / "b.log").write_text("Traceback\nKeyError: 1\n")
    records = [{"rule_name": rule, "log": [f"{rule}.log", "cluster.log"]} for rule in "aab"]
    own, other = said(capsys, {"msg": "something else"}, *records)
    assert own == "error: x: is bad (log: a.log)"
    assert other.startswith("error: b: a job was killed") and other.endswith("(log: b.log, cluster.log)")


def test_a_log_that_a_full_disk_left_empty(here, capsys, monkeypatch):
    monkeypatch.setattr(session, "ROOM", 2**80)
    (line,) = said(capsys, {"rule_name": "a", "log": ["a.log"]})
    assert line == f"error: {here}: the disk is full; free space or use another --directory"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Failed to create output directory a.\nOSError: [Errno 30] Read-only file system: 'a/b'",
            "error: a/b: the file system is read-only",
        ),
        (
            "Error recording metadata for finished job ([Errno 28] No space left on device). Please",
            "error: {here}: the disk is full",
        ),
        (
            "Output b has older modification time (2026-01-01 10:00:00.1) than input a c.csv "
            "(2099-01-01 00:00:00). This",
            "error: a c.csv: its date, 2099-01-01,",
        ),
    ],
    ids=["read-only", "full", "future"],
)  # fmt: skip
def test_the_machines_errors(here, capsys, message, line):
    (found,) = said(capsys, {"msg": message, "exception": "WorkflowError"})
    assert found.startswith(line.format(here=here))


def test_other_errors_of_snakemake_are_left_to_it(here, capsys):
    assert said(capsys, {"msg": "MissingInput: [Errno 9999] what", "exception": "WorkflowError"}) == []


def test_who_holds_the_lock(here):
    session.AT_WORK.touch()
    assert "was killed left its lock" in session.locked() and "--unlock" in session.locked()
    code = (
        "import fcntl, os, sys; fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_SH); print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(session.AT_WORK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert "is running here; wait" in session.locked() and "--unlock" not in session.locked()
        other.communicate(b"\n")


def test_no_locks(here, monkeypatch):
    assert "is running here, or was killed" in session.locked()
    session.AT_WORK.touch()
    monkeypatch.setattr(fcntl, "lockf", lambda *_: (_ for _ in ()).throw(OSError(38, "none")))
    assert "is running here, or was killed" in session.locked()
