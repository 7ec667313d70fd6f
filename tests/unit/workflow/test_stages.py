"""What each stage reads: settings and files."""

import importlib
import json
import re
import typing
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT

from dnalm.config.loading import load_config
from dnalm.workflow import inputs, paths, runs, stages

MD5, SHA256 = "b" * 32, "c" * 64
CONFIG = load_config(
    yaml.safe_load("""
genomes:
  g: {{simulate: {{}}}}
  web: {{url: "http://x/{{chromosome}}.fa.gz", chromosomes: [chr1, chr2], md5: {{chr1: {}, chr2: {}}}}}
catalogues:
  own: {{genome: g, simulated: true}}
  found: {{genome: g, find: trf}}
  low: {{genome: g, simulate: {{}}}}
  loose: {{format: vntrseek, url: "http://x/y.vcf", sha256: {}}}
datasets:
  d:
    {{kind: repeats, genome: g, catalogue: own, flank: 10, mask: {{catalogues: [found]}},
     negatives: {{unique: 1, interspersed: 2, shuffled: 0}}}}
  e: {{kind: repeats, genome: g, catalogue: loose, mask: {{soft: false}}}}
  t: {{kind: table, train: a.csv, validation: b.csv, test: c.csv, labels: {{0: "no", 1: "yes"}}, baselines: []}}
  w: {{kind: corpus, genome: g}}
models:
  m: {{architecture: {{model_type: bert}}, tokenizer: {{train: bpe}}}}
  hub: {{checkpoint: a/b, revision: main, max_tokens: 64}}
recipes: {{r: {{}}, none: {{method: none}}, both: {{reverse_complement: true, overlong: drop}}}}
embeddings: {{v: {{model: m, dataset: d}}}}
runs: [{{dataset: d, model: m, recipe: r, seeds: [1, 2]}}, {{dataset: t, model: hub, recipe: both}}]
""".format("a" * 32, MD5, SHA256)),
    check_paths=False,
)  # fmt: skip


def wildcards(**values):
    return SimpleNamespace(**values)


def spec(stage, **values):
    return json.loads(stages.section(CONFIG, stage, wildcards(**values)))


def test_a_section_does_not_depend_on_how_numbers_and_keys_are_written():
    one = load_config(
        {
            "datasets": {"t": {"kind": "table", "path": "x"}},
            "recipes": {"r": {"epochs": 3, "batch_size": 8}},
            "models": {"m": {"checkpoint": "x"}},
            "runs": [],
        },
        False,
    )
    two = load_config(
        {
            "models": {"m": {"checkpoint": "x"}},
            "recipes": {"r": {"batch_size": 8.0, "epochs": 3.0}},
            "datasets": {"t": {"path": "x", "kind": "table"}},
        },
        False,
    )
    job = wildcards(model="m", recipe="r", seed="1", dataset="t")
    assert stages.section(one, "finetune", job) == stages.section(two, "finetune", job)


JOB = {
    "kind": "genomes", "name": "web", "part": "chr1", "genome": "g", "catalogue": "low", "mask": "soft+own",
    "source": "unique", "min_length": "26", "shard": "0", "dataset": "d", "model": "m", "recipe": "r", "seed": "1",
    "baseline": "kmer", "table": "train", "corpus": "w",
    "split": "test", "weights": "seed1", "overlong": "window", "embedding": "v",
    "hub_id": "a--b", "revision": "main",
}  # fmt: skip
OF_CORPORA = ("window_corpus", "audit_corpus", "tokenize_corpus")
OTHERS = {"import_table": {"dataset": "t"}, "certify": {"model": "hub"}}
RULES = {
    found[1]: found[2]
    for path in (ROOT / "workflow/rules").glob("*.smk")
    for found in re.finditer(
        r'^rule (\w+):.*?spec=section\("\1"\),\n\s+script=script\("(\w+\.py)"\)',
        path.read_text(),
        re.MULTILINE | re.DOTALL,
    )
}


def test_every_stage_has_a_rule():
    assert set(RULES) == set(stages.BUILDERS)


@pytest.mark.parametrize("rule", stages.BUILDERS)
def test_a_script_reads_what_its_rule_is_told(rule):
    """The script's class is the builder's, and its JSON is read back as the same settings."""
    script = (ROOT / "scripts" / RULES[rule]).read_text()
    (name,) = re.findall(r"parser\(__doc__, (\w+)\)", script)
    (module,) = re.findall(rf"^from (dnalm\.config[\w.]*) import {name}$", script, re.MULTILINE)
    told = typing.get_type_hints(stages.BUILDERS[rule])["return"]
    assert getattr(importlib.import_module(module), name) is told
    job = wildcards(**JOB | ({"dataset": "w"} if rule in OF_CORPORA else OTHERS.get(rule, {})))
    text = stages.section(CONFIG, rule, job)
    read = told.model_validate_json(text)
    assert type(stages.BUILDERS[rule](CONFIG, job)) is told and read.model_dump(mode="json") == json.loads(text)


def test_downloads():
    assert spec("download", kind="genomes", name="web", part="chr2") == {
        "url": "http://x/chr2.fa.gz",
        "sha256": None,
        "md5": MD5,
    }
    assert spec("download", kind="catalogues", name="loose", part="all") == {
        "url": "http://x/y.vcf",
        "sha256": SHA256,
        "md5": None,
    }
    assert inputs.genome_parts(CONFIG, wildcards(genome="web")) == [
        "resources/downloads/genomes/web/chr1",
        "resources/downloads/genomes/web/chr2",
    ]
    assert inputs.catalogue_files(CONFIG, wildcards(catalogue="loose")) == ["resources/downloads/catalogues/loose/all"]


def test_catalogues():
    assert inputs.catalogue_files(CONFIG, wildcards(catalogue="own")) == ["resources/simulations/g.vcf"]
    assert inputs.catalogue_files(CONFIG, wildcards(catalogue="found"))[7] == "results/genomes/g/trf/7.dat"
    assert inputs.catalogue_genome(CONFIG, wildcards(catalogue="loose")) == []
    assert spec("import_catalogue", catalogue="found")["format"] == "trf"


def test_masks_name_what_they_mask():
    assert inputs.mask_name(CONFIG, CONFIG.datasets["d"]) == "soft+found+own"
    assert inputs.mask_name(CONFIG, CONFIG.datasets["e"]) == "all+loose"
    assert spec("mask", mask="all+x", source="unique") == {"soft": False, "source": "unique"}
    assert inputs.masked_catalogues(CONFIG, wildcards(genome="g", mask="soft+found+loose+own")) == [
        "results/catalogues/found.parquet",
        "results/genomes/g/placed/loose.parquet",  # it has no positions
        "results/catalogues/own.parquet",
    ]


def test_pieces_are_asked_for_only_where_they_are_used():
    job = wildcards(dataset="d")
    assert (
        inputs.pieces(CONFIG, job, "interspersed")[0] == "results/genomes/g/soft+found+own/interspersed/min26/0.parquet"
    )
    assert inputs.pieces(CONFIG, job, "context")[0] == "results/genomes/g/soft+found+own/context/min1/0.parquet"
    assert inputs.pieces(CONFIG, wildcards(dataset="e"), "interspersed") == []
    assert inputs.pieces(CONFIG, wildcards(dataset="e"), "context") == []
    # both catalogues, the positives, two sources, the records
    assert len(inputs.ledgers(CONFIG, job)) == 2 + 1 + 2 * 8 + 1
    assert inputs.ledgers(CONFIG, wildcards(dataset="t")) == ["results/t/preparation/records.json"]


def test_negatives_of_weight_0_are_left_out():
    assert spec("balance", dataset="d")["negatives"] == {"unique": 1.0, "interspersed": 2.0}


def test_tables():
    assert inputs.table_files(CONFIG, wildcards(dataset="t")) == ["a.csv", "b.csv", "c.csv"]
    assert spec("split_labels", dataset="t")["given"] is True
    assert spec("split_labels", dataset="t")["labels"] == {"0": "no", "1": "yes"}
    assert spec("split_labels", dataset="d")["given"] is False


def test_models():
    hub, new = wildcards(model="hub", dataset="t"), wildcards(model="m", dataset="d")
    assert inputs.checkpoint_files(CONFIG, hub) == inputs.tokenizer_files(CONFIG, hub)
    assert inputs.checkpoint_files(CONFIG, hub) == ["resources/models/a--b/main", "resources/models/a--b/main.json"]
    assert inputs.checkpoint_files(CONFIG, new) == []
    assert inputs.tokenizer_files(CONFIG, new)[0] == "results/models/m/tokenizer/d/tokenizer.json"
    assert spec("fetch_model", hub_id="a--b", revision="main") == {
        "checkpoint": "a/b",
        "revision": "main",
        "trust_remote_code": False,
    }
    finetune = spec("finetune", dataset="t", model="hub", recipe="both", seed="3")
    assert (finetune["checkpoint"], finetune["seed"], finetune["max_tokens"]) == ("a/b@main", 3, 64)


def test_a_checkpoint_given_as_directory_is_tracked_by_its_files(tmp_path):
    for name in ("config.json", "model.safetensors", "tokenizer.json", ".hidden"):
        (tmp_path / name).touch()
    config = load_config(
        {"datasets": {"t": {"kind": "table", "path": "x"}}, "models": {"m": {"checkpoint": str(tmp_path)}}}, False
    )
    job = wildcards(model="m", dataset="t")
    assert [path.rsplit("/", 1)[1] for path in inputs.checkpoint_files(config, job)] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert [path.rsplit("/", 1)[1] for path in inputs.tokenizer_files(config, job)] == ["config.json", "tokenizer.json"]


def test_reverse_complements_are_tokenized_only_for_recipes_that_ask():
    both = inputs.training_tokens(CONFIG, wildcards(dataset="t", model="hub", recipe="both"))
    assert "results/t/tokens/hub/train_reverse.ids.npy" in both
    assert not any(
        "reverse" in path for path in inputs.training_tokens(CONFIG, wildcards(dataset="d", model="m", recipe="r"))
    )


def test_a_recipe_that_trains_nothing_reads_no_training_split():
    job = wildcards(dataset="t", model="hub", recipe="none")
    assert inputs.training_tables(CONFIG, job) == ["results/t/data/validation.parquet"]
    assert not any("train" in path for path in inputs.training_tokens(CONFIG, job))


def test_runs_are_listed_with_their_baselines():
    simple = ("boosting", "kmer", "length_gc", "majority", "periodicity")
    assert [paths.run(run) for run in runs.runs(CONFIG)] == [
        *(f"results/d/runs/baseline/{name}/seed1" for name in simple),
        *("results/d/runs/m/r/seed1", "results/d/runs/m/r/seed2"),
        "results/t/runs/hub/both/seed1",
        *(f"results/e/runs/baseline/{name}/seed1" for name in simple),
        *(f"results/w/runs/baseline/{name}/seed1" for name in ("markov", "mixture", "uniform")),
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["finetune", "predict_splits"])
def test_no_section_knows_the_device(stage):
    config = CONFIG.model_copy(update={"device": "cpu"})
    job = wildcards(dataset="d", model="m", recipe="r", seed="1")
    assert stages.section(config, stage, job) == stages.section(CONFIG, stage, job)


LAUNCHED = load_config(
    {
        "datasets": {"t": {"kind": "table", "path": "x"}},
        "models": {"m": {"checkpoint": "x"}},
        "recipes": {"one": {}, "four": {"processes": 4, "sharding": "fsdp"}, "asks": {"processes": 4, "gpus": 2}},
        "checkpoint_minutes": 2.5,
        "report_to": ["tensorboard", "wandb"],
    },
    False,
)


def launched(recipe):
    return wildcards(dataset="t", model="m", recipe=recipe, seed="3")


def test_how_a_training_is_executed_is_in_its_options_and_not_in_its_section():
    words = runs.execution(LAUNCHED, launched("four"))
    assert words == [
        *("--device", "auto", "--processes", "4", "--sharding", "fsdp", "--minutes", "2.5"),
        *("--events", "logs/tensorboard/t/m/four/seed3", "--report-to", "tensorboard", "wandb"),
    ]
    assert "--report-to" not in runs.execution(CONFIG, wildcards(dataset="d", model="m", recipe="r", seed="1"))
    found = {recipe: stages.section(LAUNCHED, "finetune", launched(recipe)) for recipe in ("one", "four", "asks")}
    assert found["one"] == found["four"] == found["asks"]
    assert "processes" not in json.dumps(json.loads(stages.section(LAUNCHED, "report", wildcards()))["config"])


@pytest.mark.parametrize("device", ["auto", "cuda", "cpu"])
def test_a_training_asks_for_a_gpu_a_process(device):
    config = LAUNCHED.model_copy(update={"device": device})
    assert [runs.gpus(config, launched(recipe)) for recipe in ("one", "four", "asks")] == [
        *((0, 0) if device == "cpu" else (1, 4)),
        2,
    ]
