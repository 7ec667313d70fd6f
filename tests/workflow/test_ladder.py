"""The ladder: each rung takes one thing away, and both configs climb the same one."""

import json

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from needed import needs

from dnalm.config.loading import load_config

LADDERS = {"hg38": ROOT / "config/examples/ladder.yaml", "chr2": ROOT / "tests/configs/ladder-chr2.yaml"}
TAKEN_AWAY = {
    "original": set(),
    "deduplicated": {"deduplicate"},
    "matched": {"balance.match"},
    "cleaned": {"balance.exclude_trf"},
    "hard": {"negatives"},
    "held-out-families": {"split.method"},
    "low-copy-diverged": {"catalogue"},
}


def ladder(name):
    return load_config(yaml.safe_load(LADDERS[name].read_text()), check_paths=False)


def rungs_of(name):
    """The data sets as written, without the other splits of each."""
    config = ladder(name)
    return {key: rung for key, rung in config.datasets.items() if key not in config.variants()}


def flat(settings, prefix=""):
    for key, value in settings.items():
        if isinstance(value, dict) and key in ("balance", "split"):
            yield from flat(value, f"{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("name", LADDERS)
def test_each_rung_takes_one_thing_away(name):
    rungs = {key: dict(flat(rung.model_dump())) for key, rung in rungs_of(name).items()}
    assert list(rungs) == list(TAKEN_AWAY) == ladder(name).evaluation.ladder
    for (before, after), taken in zip(
        zip(rungs.values(), list(rungs.values())[1:], strict=False), list(TAKEN_AWAY.values())[1:], strict=True
    ):
        assert {key for key in before if before[key] != after[key]} == taken


@pytest.mark.parametrize("name", LADDERS)
def test_the_same_models_and_baselines_on_every_rung(name):
    config = ladder(name)
    assert {(run.dataset, run.model) for run in config.runs} == {
        (rung, model) for rung in rungs_of(name) for model in config.models
    }
    assert len({tuple(run.seeds) for run in config.runs}) == 1
    assert len({rung.baselines == config.datasets["original"].baselines for rung in config.datasets.values()}) == 1
    assert {"cnn", "trf", "periodicity", "length_gc"} <= set(config.datasets["original"].baselines)
    assert any(model.initialisation == "random" for model in config.models.values())


def test_both_climb_the_same():
    one, other = (
        {
            key: {**dict(flat(rung.model_dump())), "genome": "", "mask": "", "background": 0}
            for key, rung in rungs_of(name).items()
        }
        for name in LADDERS
    )  # fmt: skip
    assert one == other


def test_chromosome_2_can_be_planned(snakemake, shared, tmp_path):
    (tmp_path / "shared").symlink_to(shared)
    (tmp_path / "main").mkdir()
    result = snakemake("--dry-run", "--configfile", LADDERS["chr2"], directory=tmp_path / "main")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "rule simulate_arrays" in result.stdout + result.stderr


CONFIG = """
genomes: {g: {simulate: {chromosomes: 1, length: 150000, arrays: 60}}}
catalogues:
  planted: {genome: g, simulated: true}
  low-copy: {genome: g, simulate: {arrays: 150}}
datasets:
  d:
    {kind: repeats, genome: g, catalogue: low-copy, mask: {catalogues: [planted]},
     balance: {exclude_trf: true, gc_tolerance: 0.05}}
"""


@needs("trf")
def test_simulated_arrays_become_a_data_set(snakemake, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    files = ["results/d/preparation/leakage.json", "results/d/data/manifest.json"]
    result = snakemake(*files, "--configfile", tmp_path / "config.yaml")
    assert result.returncode == 0, result.stderr
    manifest = json.loads((tmp_path / "results/d/data/manifest.json").read_text())
    lines = {(line["stage"], line["source"]): line for line in manifest["ledger"]}
    assert lines["simulate", "low-copy"]["in"] == lines["extract", "simulated"]["in"] == 150
    leakage = json.loads((tmp_path / files[0]).read_text())
    assert leakage["negatives"]["called_by_trf"]["number"] == 0
    records = pd.concat(
        [pd.read_parquet(tmp_path / f"results/d/data/{split}.parquet") for split in ("train", "validation", "test")]
    )
    arrays = records[records["label"] == 1]
    assert set(arrays["source"]) == {"simulated"}
    assert arrays["chrom"].isna().all()
    assert arrays["divergence"].between(0.04, 0.3).all()
    assert (records["label"] == 0).sum() == len(arrays) > 50
