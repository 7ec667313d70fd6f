"""Corpora from the config to audited tokens, and what is planned for a model that begins with a run on one."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from dnalm.names import SPLITS
from dnalm.tables.tokens import read_tokens

BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
CONFIG = {
    "genomes": {"small": {"path": "small.fa"}},
    "datasets": {
        "windows": {
            "kind": "corpus", "genome": "small", "window": 100, "both_strands": True,
            "split": {"stretch": 2000, "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}},
        },
        "listed": {"kind": "corpus", "path": "given.csv", "sequence_column": "dna"},
        "labelled": {"kind": "table", "path": "labelled.csv"},
    },
    "models": {
        "letters": {"architecture": BERT, "tokenizer": {"train": "bases"}},
        "words": {"architecture": BERT, "tokenizer": {"train": "kmer", "k": 3}},
        "mine": {"run": "windows/letters/pretrain/seed1"},
    },
    "recipes": {"pretrain": {"objective": "masked", "method": "full"}, "full": {"objective": "classification"}},
    "runs": [
        {"dataset": "windows", "model": "letters", "recipe": "pretrain"},
        {"dataset": "windows", "model": "words", "recipe": "pretrain"},
        {"dataset": "labelled", "model": "mine", "recipe": "full"},
    ],
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(0)
    genome = "".join(rng.choice(list("ACGT"), 60_000))
    (tmp_path / "small.fa").write_text(f">chr1\n{genome[:20_000]}{genome[20_000:30_000].lower()}{genome[30_000:]}\n")
    sequences = ["".join(rng.choice(list("ACGTacgt"), 50)) for _ in range(120)]
    pd.DataFrame({"dna": sequences}).to_csv(tmp_path / "given.csv", index=False)
    pd.DataFrame({"sequence": sequences, "label": [0, 1] * 60}).to_csv(tmp_path / "labelled.csv", index=False)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path / "c.yaml"


def test_from_the_config_to_audited_tokens(snakemake, tmp_path, config):
    wanted = [f"results/{name}/audit.ok" for name in ("windows", "listed")]
    done = snakemake(*wanted, "--configfile", config)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("windows", "listed"):
        results = tmp_path / "results" / name
        manifest = json.loads((results / "data/manifest.json").read_text())
        tables = {split: pd.read_parquet(results / f"data/{split}.parquet") for split in SPLITS}
        assert [manifest["splits"][split]["records"] for split in SPLITS] == [len(tables[split]) for split in SPLITS]
        checks = {one["name"]: one["status"] for one in json.loads((results / "audit.json").read_text())["checks"]}
        assert checks["sizes"] != "fail" and ("overlapping_windows" in checks) == (name == "windows")
        assert ("unknown_tokens" in checks) == (name == "windows")  # the models that are run on it
    for model, length in (("letters", 100), ("words", 34)):
        for split in SPLITS:
            tokens = read_tokens(tmp_path / "results/windows/tokens" / model, split)
            table = pd.read_parquet(tmp_path / f"results/windows/data/{split}.parquet")
            assert (tokens.lengths == length).all() and len(tokens) == len(table)
            soft = sum(int(marks[1::2].sum() - marks[::2].sum()) for marks in table["soft_masked"])
            assert tokens.soft_masked.sum() == soft > 0


def test_what_a_model_was_pretrained_on_is_looked_for(snakemake, config):
    done = snakemake("--dry-run", "results/labelled/audit.json", "--configfile", config)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = done.stdout + done.stderr
    assert "results/labelled/preparation/pretraining/windows.json" in plan
    assert "pretraining/listed.json" not in plan and "results/windows/preparation" not in plan


def test_no_window_left_is_one_line(snakemake, tmp_path, config):
    text = config.read_text().replace("window: 100", "window: 1900").replace("stretch: 2000", "stretch: 40000")
    config.write_text(text)
    done = snakemake("results/windows/data/manifest.json", "--configfile", config)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: split.stretch: windows are left in 2 only, and each of the 3 splits needs one"), last
    assert "Traceback" not in last and not list(tmp_path.glob("results/windows/data/*.parquet"))
