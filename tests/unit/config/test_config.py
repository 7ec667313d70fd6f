"""Every mistake in a config is one line that names the key."""

import copy
import json
import re
from types import SimpleNamespace

import pytest
import yaml
from needed import SHARED, needs

from dnalm.config.loading import load_config
from dnalm.config.root import Config
from dnalm.errors import UserError
from dnalm.workflow.stages import section

BASE = yaml.safe_load("""
genomes: {g: {simulate: {}}, other: {simulate: {}}}
catalogues:
  c: {genome: g, simulated: true}
  loose: {format: vntrseek, url: "http://x/y"}
  far: {genome: other, simulated: true}
datasets:
  d: {kind: repeats, genome: g, catalogue: c}
  t: {kind: table, path: table.csv}
models:
  m: {architecture: {model_type: bert}, tokenizer: {train: bpe}}
  hub: {checkpoint: a/b, revision: main}
recipes: {r: {}, none: {method: none}}
runs: [{dataset: d, model: m, recipe: r}]
""")


def changed(path, value):
    config = copy.deepcopy(BASE)
    node = config
    *parents, last = path
    for key in parents:
        node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
    node[last] = value
    return config


def test_defaults_are_complete():
    config = load_config(BASE, check_paths=False)
    dataset = config.datasets["d"]
    assert dataset.min_length == 26
    assert dataset.split.method == "grouped"
    assert dataset.negatives == {"unique": 1.0}
    assert config.runs[0].seeds == [1]
    assert config.datasets["d"].masked_catalogues(config.catalogues) == ["c"]


def test_baselines_follow_what_is_learnt():
    others = ["boosting", "kmer", "length_gc", "periodicity"]
    table = {"kind": "table", "path": "t.csv", "target_column": "y"}
    config = load_config({**BASE, "datasets": {**BASE["datasets"], "n": table}}, check_paths=False)
    assert config.datasets["d"].simple_models == config.datasets["t"].simple_models == sorted(["majority", *others])
    assert config.datasets["n"].simple_models == sorted(["mean", *others]) and config.datasets["n"].truth == "target"
    mixed = {**BASE, "datasets": {**BASE["datasets"], "n": table}, "evaluation": {"ladder": ["d", "n"]}}
    with pytest.raises(UserError, match=r"^evaluation\.ladder\[1\]: the records of 'n' have a target, those of 'd' a"):
        load_config(mixed, check_paths=False)
    none = load_config({**BASE, "datasets": {**BASE["datasets"], "n": {**table, "baselines": []}}}, check_paths=False)
    assert none.datasets["n"].simple_models == []
    section_of = json.loads(section(config, "import_table", SimpleNamespace(dataset="n")))
    assert section_of["target_column"] == "y"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["recipes", "r", "learning_rat"], 1, "recipes.r.learning_rat: unknown key; did you mean 'learning_rate'?"),
        (["datasets", "d", "min_lenght"], 1, "datasets.d.min_lenght: unknown key; did you mean 'min_length'?"),
        (["datasets", "d", "balance"], {"gc_tol": 1},
         "datasets.d.balance.gc_tol: unknown key; did you mean 'gc_tolerance'?"),
        (["datasets", "d", "split"], {"fractions": {"tst": 1}},
         "datasets.d.split.fractions.tst: unknown key; did you mean 'test'?"),
        (["genomes", "g", "simulate"], {"lenght": 1}, "genomes.g.simulate.lenght: unknown key; did you mean 'length'?"),
        (["dataset"], {}, "dataset: unknown key; did you mean 'datasets'?"),
        (["runs", 0, "modle"], "m", "runs[0].modle: unknown key; did you mean 'model'?"),
        (["datasets", "d", "kind"], "repeat", "datasets.d.kind: give one of repeats, table (found 'repeat')"),
        (["datasets", "d", "genome"], "h", "datasets.d.genome: no entry 'h'; there is g, other"),
        (["runs", 0, "recipe"], "rr", "runs[0].recipe: no entry 'rr'; did you mean 'r'?"),
        (["datasets", "d", "mask"], {"catalogues": ["far"]},
         "datasets.d.mask.catalogues: 'far' does not lie on genome 'g'"),
        (["datasets", "d", "catalogue"], "far",
         "datasets.d.catalogue: 'far' lies on genome 'other', the data set on 'g'"),
        (["datasets", "d"], {"kind": "repeats", "genome": "g", "catalogue": "loose", "flank": 9},
         "datasets.d.flank: catalogue 'loose' has no genome"),
        (["datasets", "d"],
         {"kind": "repeats", "genome": "g", "catalogue": "loose",
          "split": {"method": "chromosome", "chromosomes": {"train": ["1"], "validation": ["2"], "test": ["3"]}}},
         "datasets.d.split.method: catalogue 'loose' has no genome"),
        (["datasets", "a b"], BASE["datasets"]["d"], "datasets.a b: 'a b' is not allowed here"),
        (["datasets", "../x"], BASE["datasets"]["d"], "'../x' is not allowed here"),
        (["datasets", "$(touch x)"], BASE["datasets"]["d"], "'$(touch x)' is not allowed here"),
        (["datasets", "x\n"], BASE["datasets"]["d"], "is not allowed here"),
        (["datasets", "summary"], BASE["datasets"]["d"], "datasets.summary: this name is reserved"),
        (["datasets", "index"], BASE["datasets"]["d"], "datasets.index: this name is reserved"),
        (["models", "baseline"], BASE["models"]["m"], "models.baseline: this name is reserved"),
        (["evaluation", "ladder"], ["t", "dd"], "evaluation.ladder[1]: no entry 'dd'; did you mean 'd'?"),
        (["evaluation", "ladder"], ["d", "t", "d"], "evaluation.ladder[2]: 'd' is listed twice"),
        (["evaluation", "ladder"], ["d"], "evaluation.ladder: one rung is no ladder"),
        (["genomes", "g"], {"url": "file:///etc/passwd"}, "'file:///etc/passwd' is not an http, https or ftp address"),
        (["genomes", "g"], {"url": "http://x/{chromosome}.fa"}, "needs `chromosomes`"),
        (["genomes", "g"], {"url": "http://x", "path": "y"},
         "genomes.g: give exactly one of url, path, simulate (found url and path)"),
        (["catalogues", "loose"], {"url": "http://x"}, "catalogues.loose: give its `format`"),
        (["catalogues", "loose"], {"url": "http://x", "format": "bed"}, "needs a `genome`"),
        (["catalogues", "c"], {"genome": "g", "format": "bed", "path": "x", "filters": ["PASS"]},
         "`filters` are for format vntrseek"),
        (["datasets", "d", "split"], {"fractions": {"train": 0.5, "validation": 0.2, "test": 0.2}},
         "fractions sum to 0.9, not 1"),
        (["datasets", "t", "baselines"], ["mean"],
         "datasets.t: baselines: 'mean' predicts no label; use any of majority, length_gc, kmer, boosting, "
         "periodicity, cnn, trf"),
        (["datasets", "d", "baselines"], ["kmer", "mean"], "datasets.d: baselines: 'mean' predicts no label"),
        *(
            (["datasets", "t"], {"kind": "table", "path": "x", "target_column": "y", "baselines": [name]},
             f"datasets.t: baselines: '{name}' predicts no target; use any of mean, length_gc, kmer, boosting, "
             f"periodicity")
            for name in ("majority", "cnn", "trf")
        ),
        (["datasets", "d", "split"], {"method": "chromosome"}, "`chromosomes` goes with method: chromosome"),
        (["datasets", "d", "split"],
         {"method": "chromosome", "chromosomes": {"train": ["1"], "validation": ["1"], "test": ["2"]}},
         "1 listed twice"),
        (["datasets", "d", "split"], {"method": "chromosome", "chromosomes": {"train": ["1"], "test": ["2"]}},
         "none for validation"),
        (["datasets", "d", "negatives"], {"unique": 0}, "give at least one source a weight above 0"),
        (["datasets", "d", "balance"], {"match": ["gc"]}, "gc is matched together with length"),
        (["datasets", "t", "train"], "x.csv", "give either `path`, or all of `train`, `validation` and `test`"),
        (["datasets", "t", "path"], {0: "a.fa", "yes": "b.fa"},
         "datasets.t: path.yes: labels are 0, 1, 2 ...; give the names of others in `labels`"),
        (["datasets", "t"], {"kind": "table", "path": {"no": "a.fa", "yes": "b.fa"}, "labels": {0: "n", 1: "yes"}},
         "datasets.t: path.no: 'no' is not one of `labels`"),
        (["datasets", "t"], {"kind": "table", "path": {0: "a.fa", 1: "b.fa"}, "target_column": "y"},
         "datasets.t: target_column: a table of numbers has no file for each label"),
        (["datasets", "t", "path"], {0: "a.fa"}, "datasets.t.path: give a file, or one for each of several labels"),
        (["datasets", "t", "path"], ["a.fa"], "datasets.t.path: give a file, or one for each of several labels"),
        (["datasets", "t", "labels"], {"0": "x", "1": "x"}, "datasets.t: labels: the names must differ"),
        (["datasets", "t", "labels"], {"0": "1", "1": "0"}, "a number can only name itself"),
        (["genomes", "g"], {"path": "x", "sha256": "a" * 64}, "genomes.g: sha256: goes with `url`"),
        (["genomes", "g"], {"url": "http://x", "md5": {"chr1": "a" * 32}}, "genomes.g: md5: give one for each"),
        (["genomes", "g"], {"url": "http://x/{chromosome}", "chromosomes": ["1", "2"], "md5": {"1": "a" * 32}},
         "md5: give one for each"),
        (["genomes", "g"], {"url": "http://x/{chromosome}", "chromosomes": ["a/b"]},
         "chromosomes: 'a/b' cannot be a part of a file name"),
        (["catalogues", "loose"], {"path": "x", "format": "vntrseek", "md5": "a" * 32},
         "catalogues.loose: md5: goes with `url`"),
        (["datasets", "d"], "foo", "datasets.d: give keys and values here (found 'foo')"),
        (["datasets", "t", "labels"], {"1": "x"}, "number them 0, 1, 2"),
        (["recipes", "r", "epochs"], "ten", "recipes.r.epochs: input should be a valid number"),
        (["recipes", "r", "learning_rate"], float("nan"), "recipes.r.learning_rate"),
        (["recipes", "r", "epochs"], 1e30, "recipes.r.epochs: input should be less than or equal to 1000000"),
        (["recipes", "r", "batch_size"], 10**30, "recipes.r.batch_size: input should be less than or equal to"),
        (["datasets", "t", "max_records"], {"train": 10**30},
         "datasets.t.max_records.train: input should be less than or equal to 1000000000"),
        (["datasets", "t", "max_records"], 10**30, "datasets.t.max_records: input should be less than or equal to"),
        (["datasets", "d", "split"], {"seed": 2**32}, "datasets.d.split.seed: input should be less than 4294967296"),
        (["models", "m", "architecture", "hidden_size"], 10**30,
         "models.m: architecture.hidden_size: give a number of at most 1,000,000,000 (found 1e+30)"),
        (["genomes", "g"], {"simulate": {"copies": [1, 1e30]}}, "copies: give [smallest, largest], from 1 to 10,000"),
        (["datasets", "x" * 300], BASE["datasets"]["d"], "x...: string should have at most 100 characters"),
        (["runs", 0, "model"], "m" * 300, "runs[0].model: string should have at most 100 characters"),
        (["genomes", "g"], {"url": "http://x/{chromosome}.fa", "chromosomes": ["c" * 200]},
         "cannot be a part of a file name"),
        ([1], 2, "[1]: keys should be strings"),
        (["recipes", "r", "lora"], {"rank": 4}, "recipes.r: lora: goes with method: lora or qlora (found full)"),
        (["recipes", "r"], {"method": "lora", "lora": {"rnak": 4}},
         "recipes.r.lora.rnak: unknown key; did you mean 'rank'?"),
        (["recipes", "r"], {"method": "lora", "lora": {"rank": 0}},
         "recipes.r.lora.rank: input should be greater than or equal to 1"),
        (["recipes", "r"], {"method": "lora", "lora": {"target_modules": []}},
         "recipes.r.lora.target_modules: list should have at least 1 item"),
        (["recipes", "r"], {"method": "lora", "lora": {"target_parameters": ["w"], "dropout": 0.1}},
         "recipes.r.lora: dropout: `target_parameters` cannot have any; use 0"),
        (["recipes", "r", "method"], "loar",
         "recipes.r.method: input should be 'full', 'lora', 'qlora', 'frozen', 'probe' or 'none'"),
        (["recipes", "r"], {"method": "qlora", "sharding": "fsdp"},
         "recipes.r: sharding: 4-bit weights are not divided among processes; use none"),
        (["recipes", "r"], {"engine": "packed", "sharding": "fsdp", "processes": 2},
         "recipes.r: engine: a model divided among processes is padded; use auto, or sharding: none"),
        (["recipes", "r"], {"optimizer": "muon", "sharding": "fsdp", "processes": 2},
         "recipes.r: optimizer: muon needs whole tensors, which sharding: fsdp divides; use adamw, or sharding: none"),
        (["recipes", "r"], {"sharding": "zero2"},
         "recipes.r: sharding: zero2 divides a model among processes, and there is 1; set processes"),
        (["recipes", "r", "sharding"], "zero3", "recipes.r.sharding: input should be 'none', 'fsdp' or 'zero2'"),
        (["recipes", "r", "engine"], "pack", "recipes.r.engine: input should be 'auto', 'packed' or 'padded'"),
        (["recipes", "r", "compile"], "yes", "recipes.r.compile: give auto, true or false (found 'yes')"),
        (["recipes", "r", "processes"], 0, "recipes.r.processes: input should be greater than or equal to 1"),
        (["recipes", "r", "gpus"], -1, "recipes.r.gpus: input should be greater than or equal to 0"),
        (["recipes", "r", "focal_gamma"], -1, "recipes.r.focal_gamma: input should be greater than or equal to 0"),
        (["recipes", "r", "class_weights"], "balance",
         "recipes.r.class_weights: give none, balanced, or labels with weights above 0 and up to 1e+09 (found 'balance')"),
        (["recipes", "r", "class_weights"], {"yes": 0},
         "recipes.r.class_weights: give none, balanced, or labels with weights above 0"),
        (["recipes", "r", "class_weights"], {"yes": float("inf")},
         "recipes.r.class_weights: give none, balanced, or labels with weights above 0"),
        (["recipes", "r", "class_weights"], {"yes": True},
         "recipes.r.class_weights: give none, balanced, or labels with weights above 0"),
        (["recipes", "r", "class_weights"], {},
         "recipes.r.class_weights: give none, balanced, or labels with weights above 0"),
        (["recipes", "r", "class_weights"], {False: 2}, "recipes.r.class_weights: quote the labels"),
        (["checkpoint_minutes"], 0, "checkpoint_minutes: input should be greater than 0"),
        (["report_to"], ["mlflow"], "report_to[0]: input should be 'tensorboard' or 'wandb' (found 'mlflow')"),
        (["recipes", "r"], None, "recipes.r: give keys and values here (found None)"),
        (["models", "m"], {"architecture": {"model_type": "bert"}}, "an `architecture` needs a `tokenizer`"),
        (["runs", 0, "recipe"], "none", "recipe 'none' trains nothing and model 'm' has random weights"),
        (["runs"], [BASE["runs"][0], BASE["runs"][0]], "runs[1]: d/m/r/seed1 is listed twice"),
        (["catalogues", "c", "genome"], "gg", "catalogues.c.genome: no entry 'gg'"),
        (["datasets"], None, "datasets"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_key(path, value, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_config(changed(path, value), check_paths=False)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (["genomes", "h"], {"path": "no.fa"}, "genomes.h.path"),
        (["catalogues", "loose"], {"path": "no.vcf", "format": "vntrseek"}, "catalogues.loose.path"),
        (["datasets", "t", "path"], "no.csv", "datasets.t.path"),
        (["datasets", "t", "path"], "a{b}.csv", "datasets.t.path"),
        (["datasets", "t", "path"], {0: "table.csv", 1: "no.fa"}, "datasets.t.path.1"),
        (["models", "hub"], {"checkpoint": "a/b"}, "models.hub.checkpoint (a hub id needs a `revision`)"),
        (["models", "m", "tokenizer"], {"path": "no"}, "models.m.tokenizer.path"),
    ],
)
def test_a_missing_file_is_named_with_its_key(path, value, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").touch()
    with pytest.raises(
        UserError, match=re.escape(f"{key}: ") + "(no such file or directory|a path cannot hold braces)"
    ):
        load_config(changed(path, value))


def test_every_key_has_a_meaning():
    """What config/README.md shows; the three fractions and what a run refers to speak for themselves."""
    silent = {
        f"{name}.{key}"
        for name, section in Config.model_json_schema()["$defs"].items()
        for key, value in section["properties"].items()
        if "description" not in value
    }
    allowed = {"Fractions.train", "Fractions.validation", "Fractions.test", "Run.dataset", "Run.model", "Run.recipe"}
    allowed |= {
        "MaxRecords.train",
        "MaxRecords.validation",
        "MaxRecords.test",
        "Repeats.kind",
        "Table.kind",
        "Corpus.kind",
    }
    assert silent <= allowed


def specs(config):
    job = SimpleNamespace(model="m", dataset="d", recipe="r", seed="1")
    return {stage: section(load_config(config, check_paths=False), stage, job) for stage in ("finetune", "report")}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["recipes", "r", "processes"], 4),
        (["recipes", "r", "gpus"], 2),
        (["recipes", "r"], {**BASE["recipes"]["r"], "processes": 2, "sharding": "fsdp"}),
        (["checkpoint_minutes"], 30),
        (["report_to"], ["wandb"]),
        (["device"], "cpu"),
    ],
)
def test_what_changes_nothing_that_is_learnt_repeats_nothing(path, value):
    assert specs(changed(path, value)) == specs(BASE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_weights", "balanced"),
        ("class_weights", {"no repeat": 2}),
        ("focal_gamma", 2),
        ("engine", "padded"),
        ("compile", False),
        ("method", "qlora"),
    ],
)
def test_what_changes_the_model_trains_it_again(key, value):
    found = specs(changed(["recipes", "r", key], value))
    assert all(found[stage] != spec for stage, spec in specs(BASE).items())
    assert json.loads(found["finetune"])["recipe"][key] == value


def test_labels_of_weights_may_be_written_as_numbers():
    weights = load_config(changed(["recipes", "r", "class_weights"], {0: 1, "tandem repeat": 2}), check_paths=False)
    assert weights.recipes["r"].class_weights == {"0": 1.0, "tandem repeat": 2.0}


def test_qlora_takes_the_adapters_of_lora():
    config = load_config(changed(["recipes", "r"], {"method": "qlora", "lora": {"rank": 4}}), check_paths=False)
    assert config.recipes["r"].lora.rank == 4


def test_4_bits_need_a_gpu():
    raw = copy.deepcopy(BASE) | {"device": "cpu"}
    raw["recipes"]["r"] = {"method": "qlora"}
    with pytest.raises(UserError, match=r"runs\[0\]: recipe 'r' \(qlora\) needs a CUDA GPU, and `device` is cpu"):
        load_config(raw, check_paths=False)


def test_no_number_of_a_config_is_without_bounds():
    """So that an absurd one is a line of its own, not an error of memory or of a number format in a job."""
    free = {"max_gradient_norm"}  # a large one only switches the clipping off
    pairs = {"unit_length", "copies", "divergence"}  # bounded together, as [smallest, largest]
    assert {key.rsplit(".", 1)[1] for key in _unbounded(Config.model_json_schema())} <= free | pairs


def _unbounded(schema, node=None, path=""):
    node = schema if node is None else node
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    if node.get("type") in ("integer", "number") and not {"maximum", "exclusiveMaximum"} & set(node):
        yield path
    for key, part in node.get("properties", {}).items():
        yield from _unbounded(schema, part, f"{path}.{key}".lstrip("."))
    for part in [*node.get("anyOf", []), *node.get("oneOf", []), *node.get("prefixItems", [])]:
        yield from _unbounded(schema, part, path)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from _unbounded(schema, node[key], f"{path}.<name>" if key != "items" else f"{path}[]")
    for part in node.get("patternProperties", {}).values():
        yield from _unbounded(schema, part, f"{path}.<name>")


def test_the_names_of_masked_catalogues_fit_into_a_folders_name():
    config = copy.deepcopy(BASE)
    names = [letter * 90 for letter in "xyz"]
    config["catalogues"] |= {name: {"genome": "g", "format": "bed", "path": "x"} for name in names}
    config["datasets"]["d"]["mask"] = {"catalogues": names}
    with pytest.raises(UserError, match=r"datasets.d.mask.catalogues: the names of 4 catalogues.*shorten them"):
        load_config(config, check_paths=False)


@needs("the data in ../shared")
@pytest.mark.parametrize("name", ["vntr-chr2", "gue-tf0"])
def test_configs_that_are_in_use_stay_valid(name):
    load_config(yaml.safe_load((SHARED / "configs" / f"{name}.yaml").read_text()), check_paths=False)
