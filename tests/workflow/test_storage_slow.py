"""A run with its files in a storage, as where jobs share no disk: each job has only the files it declares."""

import numpy as np
import pytest
import yaml
from needed import needs

pytestmark = [
    pytest.mark.slow,
    needs("rsync"),  # which the storage plugin copies with
]

ARCHITECTURE = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
CONFIG = {
    "datasets": {"toy": {"kind": "table", "path": "toy.csv", "baselines": ["majority", "kmer"]}},
    "models": {"small": {"architecture": ARCHITECTURE, "tokenizer": {"train": "bpe", "vocabulary": 60}}},
    "recipes": {"scratch": {"epochs": 1, "batch_size": 32}},
    "runs": [{"dataset": "toy", "model": "small", "recipe": "scratch", "seeds": [1]}],
    "device": "cpu",
}
SAME = (
    "summary/metrics.tsv",
    "toy/runs/small/scratch/seed1/predictions.parquet",
    "toy/audit.json",
    "toy/comparison.json",
)


def test_results_in_a_storage_are_those_on_a_disk(snakemake, tmp_path):
    random = np.random.default_rng(1)
    letters = random.choice(list("ACGT"), size=(240, 40))
    letters[::2, 10:20] = list("TGACTCATAG")
    rows = [f"{''.join(row)},{int(i % 2 == 0)}" for i, row in enumerate(letters)]
    disk, storage, empty = (tmp_path / name for name in ("disk", "storage", "empty"))
    for place in (disk, storage, empty):
        place.mkdir()
    for place in (disk, storage):
        (place / "toy.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    (empty / "toy.csv").touch()  # where Snakemake runs, a config's files are looked for; what is in the storage is read
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    options = ["--configfile", path]
    kept = ["--default-storage-provider", "fs", "--default-storage-prefix", storage, "--shared-fs-usage", "none"]
    for directory, more in ((disk, []), (empty, kept)):
        done = snakemake(*options, *more, directory=directory)
        assert done.returncode == 0, done.stderr
    for name in SAME:
        assert (storage / "results" / name).read_bytes() == (disk / "results" / name).read_bytes()
    assert (storage / "results/report/index.html").is_file()
    assert (storage / "results/toy/runs/small/scratch/seed1/README.md").is_file()
    assert not (empty / "results").exists()
    again = snakemake(*options, *kept, "--dry-run", directory=empty)
    assert "Nothing to be done" in again.stdout + again.stderr
