"""What goes wrong around a run ends in one line that says what to do, and the next call mends it."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from faults import at_work, results
from needed import needs, require

DISK_MB = 8
CONFIG = {
    "datasets": {"t": {"kind": "table", "path": "t.csv", "baselines": ["majority"]}},
    "device": "cpu",
}
FIRST, DATA = "results/t/preparation/records.parquet", "results/t/data/manifest.json"


def command(directory, *arguments):
    words = ["snakemake", *arguments, "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    words += ["--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml"]
    return [*map(str, words)]


def run(directory, *arguments):
    return subprocess.run(command(directory, *arguments), capture_output=True, text=True)


def start(directory, *arguments):
    log = (directory / "said").open("w")
    with log:
        return subprocess.Popen(command(directory, *arguments), stdout=log, stderr=log)


def last_line(done):
    assert done.returncode != 0
    return [line for line in done.stderr.splitlines() if line.strip()][-1]


def prepare(directory):
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    chance = random.Random(1)
    rows = [("".join(chance.choices("ACGT", k=40)), index % 2) for index in range(64)]
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(directory / "t.csv", index=False)
    return directory


def is_done(directory, *arguments):
    done = run(directory, *arguments)
    return done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


def wait_for(what, process, seconds=120):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run to the report; not to be changed."""
    directory = prepare(tmp_path_factory.mktemp("undisturbed"))
    done = run(directory)
    assert done.returncode == 0, done.stderr
    assert (directory / "results/report/index.html").exists()
    return directory


@pytest.fixture
def finished(undisturbed, tmp_path):
    return shutil.copytree(undisturbed, tmp_path / "finished")


@contextlib.contextmanager
def read_only(directory):
    require("the right to mount")
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_read_only_directory(finished):
    with read_only(finished):
        done = run(finished, "--dry-run")
    line = last_line(done)
    assert line.startswith(f"error: {finished}/.snakemake: cannot be written to") and "--directory" in line
    assert "Traceback" not in done.stderr
    assert is_done(finished)


def test_read_only_results(tmp_path):
    prepare(tmp_path)
    (tmp_path / "results").mkdir()
    with read_only(tmp_path / "results"):
        line = last_line(run(tmp_path, FIRST))
    assert line.startswith("error: results/t: the file system is read-only")
    assert run(tmp_path, FIRST).returncode == 0


def test_a_full_disk_and_then_room(small_disk, undisturbed):
    prepare(small_disk)
    (small_disk / "filler").write_bytes(bytes((DISK_MB << 20) - (112 << 10)))
    done = run(small_disk)
    line = last_line(done)
    assert line.startswith("error: ") and line.endswith("the disk is full; free space or use another --directory")
    assert "Traceback" not in done.stderr
    (small_disk / "filler").unlink()
    done = run(small_disk)
    assert done.returncode == 0, done.stderr
    assert results(small_disk) == results(undisturbed)
    assert is_done(small_disk)


@pytest.mark.parametrize("date", ["1999", "2099"])
def test_an_input_of_another_time(finished, date):
    table = finished / "t.csv"

    def change(text):
        table.write_text(text)
        os.utime(table, (time.mktime(time.strptime(date, "%Y")),) * 2)

    text = table.read_text()
    change(text)
    assert is_done(finished)
    change(text.replace("sequence", "dna"))
    done = run(finished)
    assert last_line(done).startswith("error: t.csv, line 1: no column 'sequence'"), done.stderr
    change(text)
    done = run(finished, FIRST)
    if date == "2099":
        assert last_line(done).startswith("error: t.csv: its date, 2099-01-01, is in the future")
        os.utime(table)
        done = run(finished, FIRST)
    assert done.returncode == 0, done.stderr


def test_what_failed_fails_again_until_mended(finished, undisturbed):
    table = finished / "t.csv"
    text = table.read_text()
    table.write_text(text.replace(",1\n", ",one\n", 1) + "ACGT\n")
    for quiet in (
        [],
        ["--quiet", "rules"],
        ["--quiet", "all"],
    ):  # the results of before are there, and are no reason to do nothing
        line = last_line(run(finished, *quiet))
        assert line.startswith("error: t.csv") and line.endswith("(log: logs/import_table/t.log)")
    table.write_text(text)
    done = run(finished)
    assert done.returncode == 0, done.stderr
    assert results(finished) == results(undisturbed)


def test_a_file_that_a_killed_job_did_not_make_again_is_made(finished, undisturbed):
    """The settings of before are asked for after a change of them was killed half way: all is there again."""
    config = yaml.safe_load((finished / "config.yaml").read_text())
    config["datasets"]["t"]["split"] = {"seed": 2}
    (finished / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake = start(finished)
    wait_for(lambda: not (finished / DATA).exists(), snakemake)
    snakemake.kill()
    snakemake.wait()
    prepare(finished)
    assert run(finished, "--unlock").returncode == 0
    done = run(finished, DATA)
    assert done.returncode == 0, done.stderr
    assert results(finished) == results(undisturbed)


@needs("Linux")  # which alone tells a process of its parent's end
def test_two_at_once_and_one_that_was_killed(tmp_path, undisturbed):
    prepare(tmp_path)
    first = start(tmp_path)
    wait_for(lambda: list(tmp_path.glob("logs/**/*.log")), first)
    for quiet in ([], ["--quiet", "all"]):
        line = last_line(run(tmp_path, *quiet))
        said = "another Snakemake is running here; wait until it ends, then repeat the command"
        assert line == f"error: {tmp_path}: {said}"
    assert first.wait() == 0, (tmp_path / "said").read_text()
    assert results(tmp_path) == results(undisturbed)

    killed = start(tmp_path, "--forceall")
    wait_for(lambda: any("scripts/" in word for words in at_work(tmp_path).values() for word in words), killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    end = time.monotonic() + 20
    while at_work(tmp_path) and time.monotonic() < end:
        time.sleep(0.02)
    assert not at_work(tmp_path)
    assert "a Snakemake that was killed left its lock here" in (line := last_line(run(tmp_path)))
    assert line.endswith("remove the lock with: snakemake --unlock, then repeat the command")
    assert run(tmp_path, "--unlock").returncode == 0
    done = run(tmp_path, DATA)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path) == results(undisturbed)
