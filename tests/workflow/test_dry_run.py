"""Every config that we ship can be planned, and every rule says what it needs."""

import re

import pytest
import yaml
from conftest import ROOT

from dnalm.config.loading import load_config, local_paths

CONFIGS = [ROOT / "config/config.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]
RULES = {
    match[1]: match[2]
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for match in re.finditer(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_can_be_planned(path, snakemake, tmp_path):
    for _, local in local_paths(load_config(yaml.safe_load(path.read_text()), check_paths=False)):
        (tmp_path / local).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / local).touch()
    result = snakemake("--dry-run", "--configfile", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "predict_splits" in result.stdout + result.stderr


PROFILES = {
    "local": "resources: tmpdir=/tmp, gpu=1, runtime=1440, mem_mb=16000",
    "slurm": "slurm_partition=gpu, gpu=1, runtime=1440, slurm_extra=--signal=TERM@120",
    "kubernetes": "gpu=1, runtime=1440, mem_mb=16000, mem=16 GB, mem_mib=15259, gpu_manufacturer=nvidia",
}


@pytest.mark.parametrize("name", PROFILES)
def test_profile_plans_the_demo(name, snakemake):
    result = snakemake("--dry-run", "--profile", ROOT / "workflow/profiles" / name)
    assert result.returncode == 0, result.stderr
    plan = result.stdout + result.stderr
    finetune = plan[plan.index("rule finetune:") :]
    assert PROFILES[name] in finetune[: finetune.index("rule ", 5)]


def test_a_first_attempt_on_slurm_asks_for_what_the_rule_says():
    values = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())["__variables__"]
    for rule, (minutes, memory) in values["growing"].items():
        assert f"runtime={minutes}," in RULES[rule] and f"mem_mb={memory}," in RULES[rule]
    assert {rule for rule, body in RULES.items() if "gpu=" in body} == set(values["gpu_rules"])


def test_the_demo_is_planned_without_naming_it(snakemake):
    assert snakemake("--dry-run").returncode == 0


MAY_BE_GIVEN = {
    "genome_parts", "catalogue_files", "table_files", "corpus_table", "tokenizer_files", "tokenizing_files",
    "checkpoint_files",
}  # fmt: skip
"""Inputs that may be a user's own files: tracked by fingerprint."""
ON_A_GPU = (
    "baseline_cnn",
    "finetune",
    "predict_splits",
    "embed",
    "benchmark_training",
    "benchmark_scaling",
    "benchmark_pretraining",
    "benchmark_embedding",
)


@pytest.mark.parametrize("rule", RULES)
def test_rule_says_what_it_needs(rule):
    body = RULES[rule]
    keys = set(re.findall(r"^ {4}(\w+):", body, re.MULTILINE))
    if rule.startswith("benchmark_"):  # these measure themselves
        assert {"log", "conda", "threads", "resources", "params", "output", "shell"} <= keys
        assert "code=code(" in body
    elif rule not in ("all", "benchmark", "data", "metrics", "models"):
        assert {"log", "benchmark", "conda", "threads", "resources", "params", "output", "shell"} <= keys
        assert "mem_mb=" in body
        assert "runtime=" in body
        assert ("spec=section(" in body) != (rule in ("gate", "look"))  # nothing to set
        # An edit of the code re-runs what it computes; what is fetched is the same whoever fetches it.
        assert ("code=code(" in body) != (rule in ("download", "fetch_model"))
    read = set(re.findall(r'=files\("(\w+)"', body)) & MAY_BE_GIVEN
    assert set(re.findall(r'"(\w+)"', "".join(re.findall(r"given=given\((.*?)\)", body)))) == read
    assert ("gpu=" in body) == (rule in ON_A_GPU)
    assert len(body.splitlines()) < 50


def test_a_misspelt_key_is_one_line_before_anything_runs(snakemake, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text((ROOT / "config/config.yaml").read_text().replace("epochs", "epoch"))
    result = snakemake("--configfile", config)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: config: recipes.scratch.epoch: unknown key; did you mean 'epochs'?"
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()
