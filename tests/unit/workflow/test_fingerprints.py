"""What is known of a user's files, and that it is not asked twice."""

import json
import os

import pytest

from dnalm.workflow import fingerprints
from dnalm.workflow.kept import Kept


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """The files that were read."""
    found = []

    def digest(path):
        found.append(path)
        return open(path).read()

    monkeypatch.setattr(fingerprints, "sha256", digest)
    return found


def call(*paths):
    """As a new process would."""
    fingerprints.fingerprints.cache_clear()
    fingerprints._KEPT = Kept("fingerprints.json", "1")
    return json.loads(fingerprints.fingerprints(*paths))


def test_a_file_is_read_once_until_it_changes(place, read):
    assert call("a", "b") == call("a", "b") == ["one", "two"] and read == ["a", "b"]
    (place / "a").write_text("three")
    assert call("a", "b") == ["three", "two"] and read == ["a", "b", "a"]


def test_an_old_file_of_the_same_size_in_its_place_is_another(place, read):
    before = os.stat("a")
    assert call("a") == ["one"]
    (place / "new").write_text("eno")
    os.utime("new", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace("new", "a")
    assert call("a") == ["eno"]


def test_a_touched_or_copied_file_is_the_same(place, read):
    before = call("a")
    os.utime("a")
    assert call("a") == before
    (place / "copy").write_text("one")
    os.replace("copy", "a")
    assert call("a") == before


def test_what_cannot_be_read_or_kept_is_no_error(place, read):
    assert call("none") == ["unreadable"]
    (place / ".snakemake").write_text("a file in the place of the directory")
    assert call("a") == ["one"]


def test_facts_of_files_that_are_gone_or_of_another_version_are_forgotten(place):
    kept = Kept("x.json", "1")
    assert [kept.fact(name, lambda: 1) for name in ("a", "b")] == [1, 1]
    kept.save()
    os.remove("b")
    os.utime("a")
    again = Kept("x.json", "1")
    assert again.fact("a", lambda: 2) == 2
    again.save()
    assert list(json.loads((place / ".snakemake/dnalm/x.json").read_text())["facts"]) == ["a"]
    assert Kept("x.json", "1").fact("a", lambda: 3) == 2
    assert Kept("x.json", "2").fact("a", lambda: 3) == 3
