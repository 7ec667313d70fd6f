"""What several stages ask is found once: tandem repeats by TRF, and which records are relatives."""

import json
import os
import sys

import pandas as pd
import yaml
from small_models import masked_lm_checkpoint, records, small_tokenizer

CONFIG = """
genomes: {g: {simulate: {chromosomes: 1, length: 150000, arrays: 60}}}
catalogues: {planted: {genome: g, simulated: true}}
datasets:
  d:
    kind: repeats
    genome: g
    catalogue: planted
    mask: {catalogues: [planted]}
    background: 20
    baselines: [majority, trf]
"""

TRF = f"""#!{sys.executable}
import os, sys
names = [line[1:] for line in sys.stdin.read().splitlines() if line.startswith(">")]
with open(os.environ["TRF_LOG"], "a") as log:
    print(len(names), file=log)
for name in names[::3]:
    print(f"@{{name}}\\n1 30 15 2.0 15 90 0 60 25 25 25 25 2.0 ACGTACGTACGTACG ACGT . .")
sys.exit(253)
"""
"""A stand-in that calls a repeat in every third sequence, exits as TRF does, and counts the sequences it was given."""


def test_trf_is_run_once_over_each_sequence(snakemake, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "bin").mkdir()
    program, log = tmp_path / "bin/trf", tmp_path / "trf.log"
    program.write_text(TRF)
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    wanted = ["data/manifest.json", "audit.json", "runs/baseline/trf/seed1/predictions.parquet"]
    result = snakemake(
        *(f"results/d/{file}" for file in wanted), "--configfile", tmp_path / "config.yaml",
        env={**os.environ, "PATH": path, "TRF_LOG": str(log)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "results/d"
    records = pd.read_parquet(folder / "preparation/records.parquet")
    assert sorted(map(int, log.read_text().split())) == sorted([20, len(records)])

    calls = pd.read_parquet(folder / "preparation/trf/records.parquet").set_index("id")
    assert calls.index.tolist() == records["id"].tolist()
    assert calls["called"].tolist() == [row % 3 == 0 for row in range(len(records))]
    assert set(calls["period"].dropna()) == {15} and set(calls["score"].dropna()) == {60}
    negatives = calls["called"][records.loc[records["label"] == 0, "id"]]
    leakage = json.loads((folder / "preparation/leakage.json").read_text())
    found = leakage["negatives"]["called_by_trf"]
    assert (found["number"], found["of"]) == (negatives.sum(), len(negatives))
    scored = pd.read_parquet(folder / "runs/baseline/trf/seed1/predictions.parquet")
    tested = scored[scored["split"] == "test"]
    assert tested.groupby(calls["called"][tested["id"]].to_numpy())["score_1"].nunique().tolist() == [1, 1]
    related = pd.read_parquet(folder / "preparation/relatives.parquet")
    group = pd.concat(pd.read_parquet(folder / f"data/{split}.parquet") for split in ("train", "validation", "test"))
    group = group.set_index("id")["group"]
    assert len(related) and (group[related["id_a"]].to_numpy() == group[related["id_b"]].to_numpy()).all()


def test_a_checkpoint_without_a_certificate_trains_nothing(snakemake, tmp_path):
    records(120, 5)[["sequence", "label"]].to_csv(tmp_path / "table.csv", index=False)
    masked_lm_checkpoint(tmp_path / "random", small_tokenizer(), trained=False)
    run = {"dataset": "t", "model": "random", "recipe": "r", "seeds": [1, 2]}
    config = {
        "datasets": {"t": {"kind": "table", "path": "table.csv", "baselines": ["majority"]}},
        "models": {"random": {"checkpoint": "random"}},
        "recipes": {"r": {"objective": "classification", "epochs": 1}},
        "runs": [run],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake("models", "--keep-going", "--configfile", tmp_path / "config.yaml")
    said = "error: random: its language-model loss on real sequences is"
    assert result.returncode == 1 and said in result.stderr, result.stderr
    assert not (tmp_path / "results/t/runs").exists() and not (tmp_path / "results/models/random").exists()
    assert (tmp_path / "results/t/audit.json").exists() and not list((tmp_path / "logs").glob("finetune/**/*.log"))
