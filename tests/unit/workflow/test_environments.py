"""One source of versions: what an environment file pins is what constraints.txt pins."""

import ast
import re
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

PYPI = {
    "parasail-python": "parasail",
    "python-edlib": "edlib",
    "pytorch": "torch",
    "huggingface_hub": "huggingface-hub",
}
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
    names = [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert {"torch", "snakemake-executor-plugin-slurm"} <= set(names)
    assert all(re.sub("_", "-", name).lower() in locked for name in names)
    assert "://" not in (ROOT / "constraints.txt").read_text()


RULES = {
    match[1]: match[2]
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for match in re.finditer(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
    if "shell:" in match[2]
}
CALLED = {
    "edlib": "python-edlib",
    "parasail": "parasail-python",
    "torch": "pytorch",
    "sklearn": "scikit-learn",
    "pynvml": "nvidia-ml-py",
    "yaml": "pyyaml",
}
NOT_LISTED = {
    ("training", "triton"): "comes with PyTorch's CUDA builds, and is asked for on a GPU alone",
    ("training", "umap"): "embeddings.*.map: umap: whoever asks for it installs it",
    ("training", "wandb"): "report_to: whoever asks for it installs it",
}


def modules(script):
    """Name -> file of a script and every module of ours that it imports, as Python's modulefinder finds them."""
    path = next(path for path in (ROOT / "scripts" / script, ROOT / "tools" / script) if path.is_file())
    finder = ModuleFinder(path=[str(ROOT / "scripts"), str(ROOT / "tools")])
    finder.run_script(str(path))
    ours = {name: Path(module.__file__) for name, module in finder.modules.items() if module.__file__}
    return {name: file for name, file in ours.items() if file.is_relative_to(ROOT)}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("rule", RULES)
def test_environment_lists_what_the_rules_script_imports(rule):
    """As far as the source tells; the slow tests run the rules in such environments."""
    (name,) = re.findall(r'"../../envs/(\w+).yaml"', RULES[rule])
    (script,) = re.findall(r'script=script\("(\S+)"\)', RULES[rule])
    entries = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    entries = [entry for entry in entries if isinstance(entry, str)] + [
        p for e in entries if isinstance(e, dict) for p in e["pip"]
    ]
    listed = {re.split("=+", entry)[0] for entry in entries}
    if rule in ("benchmark_startup", "benchmark_corpus"):  # in Snakemake's own Python
        return
    code = modules(script)
    foreign = (
        {found for path in code.values() for found in imported(path)}
        - sys.stdlib_module_names
        - {name.split(".")[0] for name in code}
    )
    lacking = {found for found in foreign if CALLED.get(found, found) not in listed and (name, found) not in NOT_LISTED}
    assert not lacking
    assert "dnalm.sequence.trf" not in code or "trf" in listed or rule.startswith("benchmark_")
