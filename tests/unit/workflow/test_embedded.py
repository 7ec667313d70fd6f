"""Which vectors are stored, and which tokenizer a chain of runs has."""

from types import SimpleNamespace

import pytest
import yaml

from dnalm.config.loading import load_config
from dnalm.workflow import embedded, inputs, stages

CONFIG = load_config(
    yaml.safe_load("""
datasets:
  t: {kind: table, train: a.csv, validation: b.csv, test: c.csv, max_train_records: [9]}
  u: {kind: table, path: d.csv}
models:
  base: {checkpoint: x}
  small: {architecture: {model_type: bert, max_position_embeddings: 40}, tokenizer: {train: bpe}}
  tuned: {run: t/small/full/seed2}
  again: {run: u/tuned/full/seed1, max_tokens: 30}
  twin: {checkpoint: x, initialisation: random}
recipes:
  full: {}
  one: {method: probe, layers: [3, -1], pooling: [mean]}
  two: {method: probe, layers: [0], pooling: [max, cls]}
  cut: {method: probe, overlong: truncate}
embeddings:
  v: {model: base, dataset: t, splits: [validation, test], pooling: [last], layers: [1]}
  w: {model: twin, dataset: t}
runs:
  - {dataset: t, model: small, recipe: full, seeds: [2]}
  - {dataset: u, model: tuned, recipe: full}
  - {dataset: t, model: base, recipe: one, seeds: [1, 5]}
  - {dataset: t, model: base, recipe: two}
  - {dataset: t, model: base, recipe: cut}
  - {dataset: t, model: twin, recipe: one, seeds: [1, 5]}
  - {dataset: t, model: again, recipe: one}
"""),
    check_paths=False,
)


def stored(*place):
    layers, poolings = embedded.union(CONFIG, embedded.Stored(*place))
    return layers, poolings


@pytest.mark.parametrize(
    ("place", "layers", "poolings"),
    [
        (("t", "base", "pretrained", "window", "train"), [-1, 0, 3], ["cls", "max", "mean"]),
        (("t", "base", "pretrained", "window", "validation"), [-1, 0, 1, 3], ["cls", "last", "max", "mean"]),
        (("t", "base", "pretrained", "window", "test"), [1], ["last"]),
        (("t", "base", "pretrained", "truncate", "train"), "all", ["mean"]),
        (("t.train9", "base", "pretrained", "window", "train"), [-1, 0, 3], ["cls", "max", "mean"]),
        (("t.train9", "base", "pretrained", "window", "test"), [], []),
        (("t", "twin", "seed1", "window", "test"), [-1], ["mean"]),
        (("t", "twin", "seed5", "window", "train"), [-1, 3], ["mean"]),
        (("t", "twin", "seed5", "window", "test"), [], []),
    ],
)
def test_stored_is_what_is_read(place, layers, poolings):
    assert place[0] in CONFIG.datasets
    assert stored(*place) == (layers, poolings)


def test_a_probe_reads_the_vectors_of_its_weights():
    job = SimpleNamespace(dataset="t", model="twin", recipe="one", seed="5")
    assert inputs.probe_vectors(CONFIG, job)[0] == "results/t/embeddings/twin/seed5-window/train.npy"
    job = SimpleNamespace(dataset="t", model="base", recipe="cut", seed="5")
    assert inputs.probe_vectors(CONFIG, job)[-1] == "results/t/embeddings/base/pretrained-truncate/validation.json"


def test_a_chain_has_the_tokenizer_and_limit_of_its_first_model():
    """A run's tokens wait for no run: the audit of a data set reads the tokens of all its models."""
    for model in ("small", "tuned", "again"):
        job = SimpleNamespace(dataset="t", model=model, table="train")
        assert inputs.tokenizing_files(CONFIG, job)[0] == "results/models/small/tokenizer/t/tokenizer.json"
    found = stages.audit(CONFIG, SimpleNamespace(dataset="t")).models
    assert found == {"again": 30, "base": None, "small": 40, "twin": None}
