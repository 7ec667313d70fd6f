"""Code hashes: an edit of what a script imports is seen, another is not."""

import modulefinder
import re
import subprocess

import pytest
from conftest import ROOT

from dnalm import provenance
from dnalm.provenance import code_hashes, commit, record

SCRIPTS = ROOT / "scripts"


def library(root):
    (root / "dnalm/data").mkdir(parents=True)
    for name, text in {
        "dnalm/__init__.py": "",
        "dnalm/data/__init__.py": "",
        "dnalm/files.py": "import json\n",
        "dnalm/data/masks.py": "from dnalm.files import atomic\n",
        "dnalm/data/other.py": "import torch\n",
        "mask.py": "def run():\n    from dnalm.data import masks\n",
        "loop.py": "import dnalm.a\n",
        "dnalm/a.py": "from dnalm import b\n",
        "dnalm/b.py": "import dnalm.a\n",
    }.items():
        (root / name).write_text(text)
    return root


def forget():
    """As a new process would."""
    provenance._read.cache_clear()
    provenance.code_hashes.cache_clear()


def test_imports_are_followed_also_inside_functions(tmp_path):
    hashes = code_hashes(library(tmp_path) / "mask.py")
    assert list(hashes) == ["dnalm", "dnalm.data", "dnalm.data.masks", "dnalm.files", "mask.py"]


STAGES = [path for path in sorted(SCRIPTS.glob("*.py")) if not path.stem.startswith("document_")]


@pytest.mark.parametrize("script", STAGES, ids=lambda path: path.stem)
def test_python_itself_finds_the_same_modules(script):
    finder = modulefinder.ModuleFinder(path=[str(SCRIPTS)])  # which reads bytecode
    finder.run_script(str(script))
    assert set(code_hashes(script)) == {script.name, *(name for name in finder.modules if name.startswith("dnalm"))}


def test_circles_end(tmp_path):
    assert set(code_hashes(library(tmp_path) / "loop.py")) == {"loop.py", "dnalm", "dnalm.a", "dnalm.b"}


def test_an_edit_changes_the_hash_of_what_imports_it_alone(tmp_path):
    before = code_hashes(library(tmp_path) / "mask.py")
    forget()
    (tmp_path / "dnalm/data/other.py").write_text("x = 1\n")
    assert code_hashes(tmp_path / "mask.py") == before
    (tmp_path / "dnalm/files.py").write_text("x = 1\n")
    forget()
    assert code_hashes(tmp_path / "mask.py") != before


def test_other_folders_count_too(tmp_path):
    library(tmp_path)
    (tmp_path / "dnalm/data/templates").mkdir()
    (tmp_path / "dnalm/data/templates/page.html").write_text("one")
    before = code_hashes(tmp_path / "mask.py", "dnalm/data/templates")
    assert "dnalm/data/templates/page.html" in before
    (tmp_path / "dnalm/data/templates/page.html").write_text("two")
    forget()
    assert code_hashes(tmp_path / "mask.py", "dnalm/data/templates") != before


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
