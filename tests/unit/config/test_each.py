"""One table for many data sets, and what is said over several of them."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT
from needed import SHARED, needs

from dnalm.config.loading import load_config
from dnalm.errors import UserError
from dnalm.workflow import inputs
from dnalm.workflow.runs import runs
from dnalm.workflow.stages import section

BASE = yaml.safe_load("""
genomes: {g: {simulate: {}}}
datasets:
  gue:
    kind: table
    each: {EMP: [H3, H4], tf: [0, 1]}
    train: r/{group}/{task}/train.csv
    validation: r/{group}/{task}/dev.csv
    test: {0: "r/{group}/{task}/neg.fa", 1: "r/{group}/{task}/pos.fa"}
    baselines: [kmer]
    max_train_records: [100]
  t: {kind: table, path: t.csv, baselines: []}
  y: {kind: table, path: y.csv, target_column: y}
  c: {kind: corpus, genome: g}
models: {m: {architecture: {model_type: bert}, tokenizer: {train: bpe}}, n: {run: gue.EMP.H3/m/r/seed1}}
recipes: {r: {}, s: {}}
runs:
  - {dataset: t, model: m, recipe: r}
  - {dataset: gue, model: m, recipe: r}
  - {dataset: gue.EMP, model: m, recipe: s}
  - {dataset: gue.tf.1, model: n, recipe: r}
evaluation:
  leaderboard: {marks: [gue.EMP], others: [gue.tf.1, t]}
  published:
    - {dataset: t, metric: mcc, value: 0.5, model: x, source: y, comparable: true, why: same}
""")
NAMES = ["gue.EMP.H3", "gue.EMP.H4", "gue.tf.0", "gue.tf.1"]


def load(**sections):
    return load_config(copy.deepcopy(BASE) | sections, check_paths=False)


def test_every_task_is_a_data_set_with_its_files():
    config = load()
    with_curves = [part for name in NAMES for part in (name, f"{name}.train100")]
    assert list(config.datasets) == [*with_curves, "t", "y", "c"]
    job = SimpleNamespace(dataset="gue.tf.1")
    assert inputs.table_files(config, job) == [
        f"r/tf/1/{name}" for name in ("train.csv", "dev.csv", "neg.fa", "pos.fa")
    ]
    spec = json.loads(section(config, "import_table", job))
    assert spec["parts"] == ["train", "validation", "test", "test"] and spec["file_labels"] == [None, None, "0", "1"]


def test_names_stand_for_data_sets_in_runs_and_leaderboard():
    config = load()
    found = [one.folder for one in runs(config) if ".train" not in one.dataset and one.model != "baseline"]
    assert found == [
        "t/runs/m/r/seed1",
        *(f"gue.EMP.{mark}/runs/m/{recipe}/seed1" for mark in ("H3", "H4") for recipe in "rs"),
        "gue.tf.0/runs/m/r/seed1", "gue.tf.1/runs/m/r/seed1", "gue.tf.1/runs/n/r/seed1",
    ]  # fmt: skip
    assert config.evaluation.leaderboard == {"marks": NAMES[:2], "others": ["gue.tf.1", "t"]}


def figure(**changes):
    return {"evaluation": {"published": [BASE["evaluation"]["published"][0] | changes]}}


def board(**groups):
    return {"evaluation": {"leaderboard": groups}}


def table(**changes):
    return {"datasets": BASE["datasets"] | {"gue": BASE["datasets"]["gue"] | changes}}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (table(train="r/train.csv", validation="r/{group}", test="r/{group}"),
         r"^datasets.gue.each: 'gue.EMP.H3' and 'gue.EMP.H4' read the same files; put {task} \(and {group}\) into"),
        (table(each={"EMP": ["H3", "H3"]}), r"^datasets.gue: each.EMP: a task is listed twice"),
        (table(each={}), r"^datasets.gue.each: dictionary should have at least 1 item"),
        (table(each={"EMP": ["../x"]}), r"^datasets.gue.each.EMP\[0\]: '../x' is not allowed here"),
        ({"datasets": BASE["datasets"] | {"gue.EMP": BASE["datasets"]["t"]}},
         r"^datasets.gue.each: makes 'gue.EMP', which is the name of another data set"),
        ({"runs": [{"dataset": "gue", "model": "m", "recipe": "r"}, {"dataset": "gue.tf", "model": "m", "recipe": "r"}]},
         r"^runs\[1\]: gue.tf.0/m/r/seed1 is in 'gue' too; leave one out"),
        ({"runs": [{"dataset": "gue", "model": "m", "recipe": "r"}, {"dataset": "gue.tff", "model": "m", "recipe": "r"}]},
         r"^runs\[1\].dataset: no entry 'gue.tff'; did you mean 'gue.tf'\?"),
        ({"runs": [{"dataset": "gue", "model": "m", "recipe": "r"}, {"dataset": "gue.tf", "model": "mm", "recipe": "r"}]},
         r"^runs\[1\].model: no entry 'mm'; did you mean 'm'\?"),
        ({"models": BASE["models"] | {"n": {"run": "gue/m/r/seed1"}}}, r"^models.n.run: 'gue/m/r/seed1' is not in `runs`"),
        (board(a=["gue.tg"]), r"^evaluation.leaderboard.a: no entry 'gue.tg'"),
        (board(a=["gue"], b=["gue.tf"]), r"^evaluation.leaderboard.b: 'gue.tf.0' is in 'a' too; a data set counts once"),
        (board(a=["t"], b=["y"]), r"^evaluation.leaderboard.b: the records of 'y' have a target, others a label"),
        (board(a=["c"]), r"^evaluation.leaderboard.a: 'c' is a corpus"),
        (board(a=["t"]), r"^evaluation.leaderboard: one data set is none to average over"),
        (board(a=[]), r"^evaluation.leaderboard.a: list should have at least 1 item"),
        (figure(dataset="tt"), r"^evaluation.published\[0\].dataset: no entry 'tt'"),
        (figure(dataset="gue"), r"^evaluation.published\[0\].dataset: 'gue' stands for several data sets"),
        (figure(metric="f1"), r"^evaluation.published\[0\].metric: 'f1' is not measured on 't'; use mcc, accuracy"),
        (figure(value=69.37), r"^evaluation.published\[0\].value: 69.37 is no mcc, which is at most 1; divide"),
        (figure(valu=1), r"^evaluation.published\[0\].valu: unknown key; did you mean 'value'\?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_key(sections, message):
    with pytest.raises(UserError, match=message):
        load(**sections)


def test_the_example_has_the_28_data_sets_of_gue():
    config = load_config(yaml.safe_load((ROOT / "config/examples/gue.yaml").read_text()), check_paths=False)
    boards = config.evaluation.leaderboard
    assert len(config.datasets) == 28 and sorted(config.datasets) == sorted(
        one for names in boards.values() for one in names
    )
    assert [len(names) for names in boards.values()] == [10, 5, 5, 3, 3, 1, 1]


@needs("the data in ../shared")
def test_files_of_the_example_are_where_gue_has_them():
    config = yaml.safe_load(
        (ROOT / "config/examples/gue.yaml").read_text().replace("resources/gue", str(SHARED / "data/gue"))
    )
    found = load_config(config, check_paths=False).datasets
    for name in ("gue.tf.0", "gue.prom.prom_core_all"):
        assert all(Path(file.path).is_file() for file in found[name].files())


def test_the_report_is_told_the_groups_in_the_configs_order():
    settings = json.loads(section(load(), "report", SimpleNamespace()))
    assert settings["leaderboard"] == [["marks", NAMES[:2]], ["others", ["gue.tf.1", "t"]]]
    assert settings["published"][0]["dataset"] == "t"
