"""Snakemake's internals are replaced in the versions that this was tested with, and in no other."""

from importlib.metadata import version

import pytest
import snakemake.api  # noqa: F401 - first, as its modules import each other
from snakemake.dag import DAG
from snakemake.jobs import Job
from snakemake.persistence import PersistenceBase

from dnalm.workflow import patches

PLACES = [(DAG, "update_needrun"), (Job, "postprocess"), (PersistenceBase, "incomplete")]


@pytest.fixture
def internals(monkeypatch):
    """What stands in the places that may be replaced; put back afterwards."""
    before = [owner.__dict__[name] for owner, name in PLACES]
    for (owner, name), value in zip(PLACES, before, strict=True):
        monkeypatch.setattr(owner, name, value)
        monkeypatch.setattr(owner, f"_{name}", None, raising=False)
        monkeypatch.delattr(owner, f"_{name}")
    return before


def now():
    return [owner.__dict__[name] for owner, name in PLACES]


def test_this_version_is_patched_once(internals):
    assert version("snakemake") in patches.TESTED
    assert patches.apply() is None
    after = now()
    assert not set(after) & set(internals)
    assert patches.apply() is None and now()[:2] == after[:2]


def test_another_version_is_left_alone_with_one_line(internals, monkeypatch):
    monkeypatch.setattr(patches, "version", lambda package: "9.99.0")
    line = patches.apply()
    assert now() == internals
    assert line.startswith("warning: ") and "\n" not in line
    assert all(word in line for word in ("this is 9.99.0", "4166", "3808"))
