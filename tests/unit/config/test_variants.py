"""Repeated splits and learning curves become data sets of their own."""

import copy
import json
from types import SimpleNamespace

import pytest
import yaml

from dnalm.config.loading import load_config
from dnalm.errors import UserError
from dnalm.workflow import inputs
from dnalm.workflow.runs import models_on, runs
from dnalm.workflow.stages import section

BASE = yaml.safe_load("""
genomes: {g: {simulate: {}}}
catalogues: {c: {genome: g, simulated: true}}
datasets:
  a: {kind: repeats, genome: g, catalogue: c, baselines: [kmer], split: {repeats: 3, seed: 7}, max_train_records: [1000, 100]}
  t: {kind: table, path: t.csv, baselines: [], max_records: {train: 500}, max_train_records: [800, 200]}
  p: {kind: table, train: a.csv, validation: b.csv, test: c.csv, baselines: []}
models: {m: {architecture: {model_type: bert}, tokenizer: {train: bpe}}}
recipes: {r: {}}
runs: [{dataset: t, model: m, recipe: r}, {dataset: a, model: m, recipe: r, seeds: [1, 2]}]
""")


def load(**datasets):
    config = copy.deepcopy(BASE)
    config["datasets"] |= datasets
    return load_config(config, check_paths=False)


def spec(stage, dataset):
    return json.loads(section(load(), stage, SimpleNamespace(dataset=dataset)))


def test_each_variant_is_a_data_set_after_its_base():
    config = load()
    assert list(config.datasets) == [
        *("a", "a.split2", "a.split3", "a.train100", "a.train1000"), *("t", "t.train200", "t.train800"), "p",
    ]  # fmt: skip
    varied = {name: (one.base, one.varied, one.value) for name, one in config.variants().items()}
    assert varied == {
        "a.split2": ("a", "split seed", 8),
        "a.split3": ("a", "split seed", 9),
        "a.train100": ("a", "train records", 100),
        "a.train1000": ("a", "train records", 1000),
        "t.train200": ("t", "train records", 200),
        "t.train800": ("t", "train records", 800),
    }
    assert [config.base(name) for name in ("a", "a.split3", "t.train200", "p")] == ["a", "a", "t", "p"]


def test_a_variant_differs_in_what_is_varied_and_in_nothing_else():
    base = spec("split_labels", "a")
    assert spec("split_labels", "a.split3") == base | {"seed": 9}
    assert spec("split_labels", "a.train100") == base | {"caps": base["caps"] | {"train": 100}}
    assert [spec("split_labels", name)["caps"]["train"] for name in ("t", "t.train200", "t.train800")] == [
        500,
        200,
        500,
    ]


def test_variants_share_the_records_before_the_split():
    config, job = load(), SimpleNamespace(dataset="a.split2")
    assert inputs.prepared(config, job, "records.parquet") == ["results/a/preparation/records.parquet"]
    assert inputs.called_records(config, job) == ["results/a/preparation/trf/records.parquet"]
    assert not any("a.split2" in path for path in inputs.ledgers(config, job))
    assert inputs.ledgers(config, job) == inputs.ledgers(config, SimpleNamespace(dataset="a"))


def test_a_run_is_one_on_each_variant():
    config = load()
    found = [run.folder for run in runs(config)]
    assert found[:3] == [f"{name}/runs/m/r/seed1" for name in ("t", "t.train200", "t.train800")]
    assert found[3:6] == [
        "a/runs/baseline/kmer/seed1", "a/runs/m/r/seed1", "a/runs/m/r/seed2",
    ]  # fmt: skip
    assert found[6] == "a.split2/runs/baseline/kmer/seed1" and len(found) == 3 + 5 * 3
    assert models_on(config, "a.split2") == ["m"] and models_on(config, "p") == []


def test_the_report_is_told_of_variants_and_prints_the_config_as_written():
    settings = json.loads(section(load(), "report", SimpleNamespace()))
    assert list(settings["config"]["datasets"]) == ["a", "p", "t"]
    assert settings["variants"]["a.split2"] == {"base": "a", "varied": "split seed", "value": 8}
    assert set(settings["datasets"]) == {*settings["variants"], "a", "p", "t"}
    assert settings["datasets"]["a.split2"]["split"]["seed"] == 8


REPEATED = {"kind": "table", "path": "t.csv", "split": {"repeats": 2}}
CURVE = {"kind": "table", "path": "t.csv", "max_train_records": [5]}


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"x": REPEATED, "x.split2": BASE["datasets"]["p"]},
         r"datasets.x.split2: `split.repeats` of data set 'x' makes one of this name; call yours something else"),
        ({"x": CURVE, "x.train5": BASE["datasets"]["p"]}, r"datasets.x.train5: `max_train_records` of data set 'x'"),
        ({"x" * 95: REPEATED}, r"datasets.x+: 'x+.split2' would be longer than 100 characters; use a shorter name"),
        ({"x": {**CURVE, "max_train_records": [5, 5]}}, r"datasets.x: max_train_records: a number is listed twice"),
        ({"x": {**CURVE, "max_train_records": 5}}, r"datasets.x.max_train_records: input should be a valid list"),
        ({"x": {**CURVE, "max_train_records": [0]}}, r"datasets.x.max_train_records\[0\]: input should be greater"),
        ({"x": {**BASE["datasets"]["p"], "split": {"repeats": 2}}}, r"datasets.x: `split` goes with `path`"),
        ({"x": {**REPEATED, "split": {"repeats": 2, "seed": 2**32 - 1}}}, r"datasets.x.split: seed: with 2 repeats"),
        ({"x": {**REPEATED, "split": {"repeats": 10**30}}}, r"split.repeats: input should be less than or equal to 100"),
        ({"x": {**BASE["datasets"]["a"], "split": {
            "repeats": 2, "method": "chromosome",
            "chromosomes": {"train": ["1"], "validation": ["2"], "test": ["3"]}}}},
         r"datasets.x.split: repeats: the chromosomes are one split only; use method grouped or random"),
    ],
)  # fmt: skip
def test_a_mistake_with_variants_is_one_line(datasets, message):
    with pytest.raises(UserError, match=message):
        load(**datasets)
