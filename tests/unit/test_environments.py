"""One source of versions: what an environment file pins is what constraints.txt pins."""

import re

import pytest
import yaml
from conftest import ROOT

PYPI = {"pytorch": "torch", "huggingface_hub": "huggingface-hub"}
NOT_ON_PYPI = {"python", "trf"}


def pins():
    lines = [line.split(";")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    found = {}
    for name, version in (line.split("==") for line in lines if line):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_environment_agrees_with_the_lock(path):
    locked = pins()
    conda = yaml.safe_load(path.read_text())["dependencies"]
    pip = conda.pop()["pip"] if isinstance(conda[-1], dict) else []
    assert ("pip" in conda) == bool(pip)
    for entry in [entry for entry in conda if entry != "pip"] + [entry.replace("==", "=") for entry in pip]:
        name, version = entry.split("=")
        if name not in NOT_ON_PYPI:
            # conda's one "=" takes a post-release too
            assert any(pin.removesuffix(".post1") == version for pin in locked[PYPI.get(name, name)]), entry


def test_every_requirement_is_locked_and_no_address_is():
    locked = pins()
    lines = [line for path in ROOT.glob("requirements*.txt") for line in path.read_text().splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    assert {"torch", "snakemake-executor-plugin-slurm"} <= set(names)
    assert all(re.sub("_", "-", name).lower() in locked for name in names)
    assert "://" not in (ROOT / "constraints.txt").read_text()
