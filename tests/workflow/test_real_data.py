"""Real human DNA, VNTRseek calls and published tables, up to the data sets; skipped without ../shared."""

import json
import shutil

import pandas as pd
import yaml


def prepared(snakemake, tmp_path, shared, config, *datasets):
    """Run the workflow up to the manifests, as if from the project's root; results go to an empty directory."""
    (tmp_path / "shared").symlink_to(shared)
    directory = tmp_path / "main"
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    targets = [f"results/{name}/data/manifest.json" for name in datasets]
    result = snakemake(*targets, "--configfile", directory / "config.yaml", directory=directory)
    assert result.returncode == 0, result.stderr
    return directory / "results"


def splits(results, dataset):
    return {
        name: pd.read_parquet(results / dataset / "data" / f"{name}.parquet")
        for name in ("train", "validation", "test")
    }


def test_vntrs_of_chromosome_2(snakemake, tmp_path, shared):
    config = yaml.safe_load((shared / "configs/vntr-chr2.yaml").read_text())
    results = prepared(snakemake, tmp_path, shared, config, "vntr-chr2")
    manifest = json.loads((results / "vntr-chr2/data/manifest.json").read_text())
    lines = {(line["stage"], line["source"]): line for line in manifest["ledger"]}
    assert all(line["in"] == line["kept"] + sum(line["dropped"].values()) for line in lines.values())
    assert lines["import", "NA19240"]["in"] == 3737
    assert lines["extract", "vntrseek"]["dropped"]["shorter than min_length (26)"] == 14
    # 2,866 pairs were measured with another matching; the drops are AT-rich arrays that have no like on 2.3 Mb.
    assert lines["balance", "vntrseek"]["kept"] >= 2866
    if shutil.which("trf"):
        leakage = json.loads((results / "vntr-chr2/preparation/leakage.json").read_text())
        called = leakage["negatives"]["called_by_trf"]
        assert 0.04 < called["number"] / called["of"] < 0.1
    parts = splits(results, "vntr-chr2")
    records = pd.concat(parts.values())
    assert records["sequence"].str.len().min() >= 26
    assert records["label"].mean() == 0.5
    groups = [set(part["group"]) for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    masked = pd.read_parquet(results / "catalogues/danbing.parquet")
    assert len(masked) == 112
    negatives = records[records["label"] == 0]
    pairs = negatives.merge(masked, on="chrom", suffixes=("", "_masked"))
    assert len(pairs) == 112 * len(negatives)
    assert not ((pairs["start"] < pairs["end_masked"]) & (pairs["start_masked"] < pairs["end"])).any()


def test_published_tables(snakemake, tmp_path, shared):
    gue = "../shared/data/gue"
    tables = {"tf0": "tf/0", "promoters": "prom/prom_core_all"}
    datasets = {
        name: {
            "kind": "table", "train": f"{gue}/{path}/train.csv", "validation": f"{gue}/{path}/dev.csv",
            "test": f"{gue}/{path}/test.csv",
        }
        for name, path in tables.items()
    }  # fmt: skip
    results = prepared(snakemake, tmp_path, shared, {"datasets": datasets}, *datasets)
    assert {name: len(part) for name, part in splits(results, "tf0").items()} == {
        "train": 32378,
        "validation": 1000,
        "test": 1000,
    }
    manifest = json.loads((results / "promoters/data/manifest.json").read_text())
    assert manifest["shared_sequences"]["train/test"] == 42
    assert manifest["shared_sequences"]["train/validation"] == 54


def test_hg19_positions_on_hg38_are_refused(snakemake, tmp_path, shared):
    config = yaml.safe_load((shared / "configs/vntr-chr2.yaml").read_text())
    config["catalogues"]["NA19240"]["genome"] = "chr2"
    directory = tmp_path / "main"
    directory.mkdir()
    (tmp_path / "shared").symlink_to(shared)
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake("--configfile", directory / "config.yaml", directory=directory)
    assert result.returncode != 0
    last = result.stderr.rstrip().splitlines()[-1]
    assert last.startswith("error: ../shared/data/vntr_hg38_chr2/VNTRseek_NA19240_ERX283215.vcf: wrong assembly?")
    assert not (directory / "results/catalogues/NA19240.parquet").exists()
