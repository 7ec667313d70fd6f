"""The record of a run: what it was made with."""

import re
import subprocess

from dnalm import provenance
from dnalm.provenance import commit, record


def test_record_has_versions_and_settings():
    value = record({"a": 1}, seconds=2)
    assert value["spec"] == {"a": 1}
    assert value["seconds"] == 2
    assert {"python", "numpy", "pandas"} <= set(value["versions"])


def test_the_commit_is_told_and_whether_files_changed_since(tmp_path, monkeypatch):
    (tmp_path / "scripts/dnalm").mkdir(parents=True)
    source = tmp_path / "scripts/dnalm/provenance.py"
    source.write_text("one")
    monkeypatch.setattr(provenance, "__file__", str(source))
    assert commit() is None
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    clean = commit()
    assert clean and re.fullmatch("[0-9a-f]{40}", clean)
    (tmp_path / "untracked").write_text("new")
    assert commit() == clean
    source.write_text("two")
    assert commit() == f"{clean}+changes"
