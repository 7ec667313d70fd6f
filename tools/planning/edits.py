"""Changes to `subject.yaml`, at least one for each key of the config."""

import copy
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SUBJECT = Path(__file__).with_name("subject.yaml")
ADDRESS = "http://127.0.0.1:8000"

FILES = (
    "given.fa", "placed.bed", "labelled.csv", "measured.csv", "train.csv", "validation.csv", "test.csv",
    "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
    "checkpoint/config.json", "checkpoint/model.safetensors", "checkpoint/tokenizer.json",
    "checkpoint/tokenizer_config.json",
)  # fmt: skip
"""The subject's own input files."""

OTHERS = {
    "given.fa": "other.fa", "placed.bed": "other.bed", "labelled.csv": "other.csv", "tokenizer": "other-tokenizer",
    "checkpoint": "other-checkpoint",
}  # fmt: skip
"""Copies of these, which edits use instead."""


def given() -> list[tuple[str, str]]:
    """(path, the file of `FILES` that it is a copy of) for all input files of the subject and its edits."""
    copies = [
        (name.replace(old, new, 1), name)
        for old, new in OTHERS.items()
        for name in FILES
        if name == old or name.startswith(f"{old}/")
    ]
    return [*((name, name) for name in FILES), *copies]


@dataclass(frozen=True)
class Edit:
    """A new value of a key of `entry`; also: other keys that must change for the config to stay valid."""

    entry: str
    value: Any
    also: dict[str, Any] = field(default_factory=dict)


def subject(address: str = ADDRESS) -> dict[str, Any]:
    """The config that is edited; its downloads come from `address`."""
    config: dict[str, Any] = yaml.safe_load(SUBJECT.read_text().replace("SERVER", address))
    return config


def edited(config: dict[str, Any], key: str, edit: Edit) -> dict[str, Any]:
    """`config` with `edit` made to `key`, which is spelt as by `planning.keys.leaf_keys`."""
    changed = copy.deepcopy(config)
    path = _path(key, edit)
    _put(changed, path, edit.value)
    for other, value in edit.also.items():
        _put(changed, f"{path.rsplit('.', 1)[0]}.{other}", value)
    return changed


def describe(config: dict[str, Any], key: str, edit: Edit) -> str:
    """The change in words, e.g. `3 → 4`."""
    node: Any = config
    for part in _path(key, edit).split("."):
        node = node[int(part)] if isinstance(node, list) else node.get(part) if isinstance(node, dict) else None
    new = edit.value
    if isinstance(node, dict) and isinstance(new, dict) and set(node) == set(new):
        node, new = ({name: one[name] for name in one if node[name] != new[name]} for one in (node, new))
    old = "not set" if node is None else f"`{_text(node)}`"
    more = "".join(f", with `{other}: {_text(value)}`" for other, value in edit.also.items())
    return f"{old} → `{_text(new)}`{more}"


def _path(key: str, edit: Edit) -> str:
    return re.sub(r"<\w+>", edit.entry, key).replace("[]", f".{edit.entry}")


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value).replace('"', "")
    return text if len(text) < 80 else f"{text[:70]} ..."


def _put(config: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        if isinstance(config, list):
            config = config[int(part)]
        else:
            if not isinstance(config.get(part), dict | list):
                config[part] = {}
            config = config[part]
    config[last] = value


def _each(prefix: str, entry: str, **values: Any) -> dict[str, list[Edit]]:
    return {f"{prefix}.{key}": [Edit(entry, value)] for key, value in values.items()}


_SUM = "a" * 64
_TINY = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
_BY_CHROMOSOME = {"train": ["chr1"], "validation": ["chr2"], "test": ["chr3"]}
_DATASETS = {
    f"datasets.<{kind}>.{key}": [edit]
    for kind, entry in (("repeats", "arrays"), ("table", "labelled"))
    for key, edit in {
        "split.method": Edit(entry, "random"),
        "split.fractions.train": Edit(entry, 0.5, {"test": 0.3}),
        "split.fractions.validation": Edit(entry, 0.3, {"train": 0.5}),
        "split.fractions.test": Edit(entry, 0.3, {"train": 0.5}),
        "split.chromosomes": Edit(entry, _BY_CHROMOSOME, {"method": "chromosome"}),
        "split.largest_group": Edit(entry, 0.5),
        "split.seed": Edit(entry, 7),
        "split.repeats": Edit(entry, 2),
        "related.identity": Edit(entry, 0.9),
        "related.coverage": Edit(entry, 0.6),
        "related.exact": Edit(entry, 40),
        "baseline_settings": Edit(entry, 2),
        "audit.fail_on": Edit(entry, ["classes", "overlong"]),
        "audit.shortcut_auroc": Edit(entry, 0.7),
        "audit.shortcut_spearman": Edit(entry, 0.4),
        "audit.duplicates": Edit(entry, 0.02),
        "audit.leaked": Edit(entry, 0.1),
        "audit.negatives_called": Edit(entry, 0.02),
        "audit.overlong": Edit(entry, 0.02),
        "audit.unknown": Edit(entry, 0.02),
        "audit.effective_groups": Edit(entry, 20),
        "audit.largest_group": Edit(entry, 0.1),
        "max_records": Edit(entry, 100),
        "max_train_records": Edit(entry, [50, 100]),
        "max_records.train": Edit(entry, 100),
        "max_records.validation": Edit(entry, 20),
        "max_records.test": Edit(entry, 20),
        "kind": Edit(entry, "table" if kind == "repeats" else "repeats"),
    }.items()
}  # fmt: skip
_CORPORA = {
    f"datasets.<corpus>.{key}": [edit]
    for key, edit in {
        **{
            key.removeprefix("datasets.<table>."): Edit("windows", edits[0].value)
            for key, edits in _DATASETS.items()
            if key.startswith(("datasets.<table>.audit.", "datasets.<table>.max_records."))
        },
        "max_records": Edit("windows", 100),
        "baselines": Edit("windows", ["uniform", "markov", "mixture"]),
        "baseline_settings": Edit("listed-sequences", 2),
        "kind": Edit("windows", "table"),
        "genome": Edit("windows", ["simulated", "given"]),
        "path": Edit("listed-sequences", "other.csv"),
        "sequence_column": Edit("listed-sequences", "dna"),
        "window": Edit("windows", 120),
        "stride": Edit("windows", 50),
        "max_unknown": Edit("windows", 0.1),
        "max_soft_masked": Edit("windows", 0.5),
        "soft_masked_weight": Edit("windows", 0.1),
        "both_strands": Edit("windows", True),
        "split.method": Edit("windows", "random"),
        "split.stretch": Edit("windows", 2000),
        "split.fractions.train": Edit("windows", 0.8, {"validation": 0.1, "test": 0.1}),
        "split.fractions.validation": Edit("windows", 0.1, {"train": 0.8, "test": 0.1}),
        "split.fractions.test": Edit("windows", 0.1, {"train": 0.8, "validation": 0.1}),
        "split.chromosomes": Edit("windows", _BY_CHROMOSOME, {"method": "chromosome"}),
        "split.seed": Edit("windows", 7),
    }.items()
}  # fmt: skip

EDITS: dict[str, list[Edit]] = {
    **_each(
        "genomes.<name>.simulate", "simulated", chromosomes=3, length=70_000, order=2, gc=0.45, arrays=100,
        unit_length=[7, 50], copies=[2.0, 15.0], substitutions=0.04, indels=0.02, interspersed=0.2, families=6,
        gaps=0.02, seed=4,
    ),
    "genomes.<name>.url": [Edit("fetched", ADDRESS + "/other-{chromosome}.fa")],
    "genomes.<name>.path": [Edit("given", "other.fa")],
    "genomes.<name>.sha256": [Edit("fetched", {"chr1": _SUM, "chr2": _SUM})],
    "genomes.<name>.md5": [Edit("fetched", {"chr1": _SUM[:32], "chr2": _SUM[:32]})],
    "genomes.<name>.chromosomes": [Edit("fetched", ["chr1"]), Edit("simulated", ["chr1"])],
    "catalogues.<name>.format": [Edit("listed", "trf")],
    "catalogues.<name>.genome": [Edit("low-copy", "given"), Edit("listed", "fetched")],
    "catalogues.<name>.url": [Edit("listed", ADDRESS + "/other.vcf")],
    "catalogues.<name>.path": [Edit("placed", "other.bed")],
    "catalogues.<name>.simulated": [Edit("planted", False)],
    "catalogues.<name>.find": [Edit("found", "tantan")],
    **_each(
        "catalogues.<name>.simulate", "low-copy", arrays=130, unit_length=[7, 50], copies=[1.8, 5.0],
        divergence=[0.05, 0.2], indels=0.3, seed=2,
    ),
    "catalogues.<name>.sha256": [Edit("listed", _SUM)],
    "catalogues.<name>.md5": [Edit("listed", _SUM[:32])],
    "catalogues.<name>.filters": [Edit("listed", ["PASS"])],
    **_DATASETS,
    **_CORPORA,
    "datasets.<repeats>.baselines": [
        Edit("arrays", ["majority", "kmer", "cnn", "trf", "length_gc"]), Edit("arrays", ["majority"]),
    ],
    "datasets.<repeats>.genome": [Edit("diverged", "given")],
    "datasets.<repeats>.catalogue": [Edit("arrays", "found")],
    "datasets.<repeats>.mask.soft": [Edit("arrays", False)],
    "datasets.<repeats>.mask.catalogues": [Edit("arrays", [])],
    "datasets.<repeats>.min_length": [Edit("arrays", 30)],
    "datasets.<repeats>.flank": [Edit("arrays", 8), Edit("arrays", 0)],
    "datasets.<repeats>.deduplicate": [Edit("arrays", False)],
    "datasets.<repeats>.negatives": [
        Edit("arrays", {"unique": 1, "shuffled": 1}), Edit("arrays", {"unique": 1, "interspersed": 1}),
    ],
    **_each(
        "datasets.<repeats>.balance", "arrays", match=["length"], gc_tolerance=0.05, ratio=2, exclude_trf=False, seed=7,
    ),
    "datasets.<repeats>.background": [Edit("arrays", 50), Edit("arrays", 0)],
    "datasets.<repeats>.split.chromosomes": [
        Edit("held-out", {"train": ["chr1"], "validation": ["chr3"], "test": ["chr2"]}),
    ],
    "datasets.<table>.baselines": [Edit("labelled", ["length_gc", "kmer"]), Edit("measured", ["majority"])],
    "datasets.<table>.train": [Edit("published", "labelled.csv")],
    "datasets.<table>.validation": [Edit("published", "labelled.csv")],
    "datasets.<table>.test": [Edit("published", "labelled.csv")],
    "datasets.<table>.path": [
        Edit("labelled", "other.csv"), Edit("labelled", {"other": "labelled.csv", "planted": "other.csv"}),
    ],
    "datasets.<table>.each": [Edit("published", {"one": ["train"]}, {"train": "{task}.csv"})],
    "datasets.<table>.sequence_column": [Edit("labelled", "dna")],
    "datasets.<table>.label_column": [Edit("labelled", "class")],
    "datasets.<table>.target_column": [Edit("measured", "other"), Edit("labelled", "score")],
    "datasets.<table>.group_column": [Edit("labelled", "family")],
    "datasets.<table>.chromosome_column": [Edit("labelled", "place")],
    "datasets.<table>.batch_column": [Edit("labelled", "batch")],
    "datasets.<table>.labels": [Edit("labelled", {0: "rest", 1: "planted"})],
    "models.<name>.checkpoint": [Edit("kept", "other-checkpoint"), Edit("hub", "owner/other")],
    "models.<name>.revision": [Edit("hub", "v2")],
    "models.<name>.architecture": [Edit("small", _TINY)],
    "models.<name>.trust_remote_code": [Edit("kept", True), Edit("hub", True)],
    "models.<name>.initialisation": [Edit("kept", "random")],
    "models.<name>.tokenizer.train": [Edit("small", "unigram")],
    "models.<name>.tokenizer.vocabulary": [Edit("small", 70)],
    "models.<name>.tokenizer.k": [Edit("decoder", 4)],
    "models.<name>.tokenizer.overlapping": [Edit("decoder", True)],
    "models.<name>.run": [Edit("continued", "labelled/small/shared/seed1")],
    "models.<name>.tokenizer.path": [Edit("borrowed", "other-tokenizer")],
    "models.<name>.max_tokens": [Edit("small", 32)],
    "recipes.<name>.objective": [Edit("plain", "regression"), Edit("numbers", "classification")],
    "recipes.<name>.best_metric": [Edit("plain", "loss"), Edit("numbers", "rmse"), Edit("numbers", "mcc")],
    "recipes.<name>.method": [Edit("plain", "frozen"), Edit("adapters", "none", {"lora": None})],
    **_each(
        "recipes.<name>.lora", "adapters", rank=8, alpha=32, dropout=0.1, target_modules=["query"],
        target_parameters=["classifier.weight"], modules_to_save=["pooler"],
    ),
    **_each(
        "recipes.<name>", "plain", learning_rate=2e-3, epochs=2, batch_size=16, class_weights="balanced",
        focal_gamma=2.0, weight_decay=0.1, warmup=0.1, scheduler="cosine", max_gradient_norm=2.0,
        early_stopping_patience=2, reverse_complement=True, overlong="drop", precision="fp32", engine="padded",
        compile=False, max_train_records=50,
    ),
    **_each("recipes.<name>.masking", "masked", fraction=0.3, masked=0.7, random=0.2, span=3),
    **_each("recipes.<name>", "causal", max_steps=10, max_tokens=1000, validate_every=5, optimizer="muon"),
    "recipes.<name>.pooling": [Edit("probe", ["max"])],
    "recipes.<name>.layers": [Edit("probe", "all")],
    **_each(
        "embeddings.<name>", "vectors", model="borrowed", dataset="measured", splits=["validation"], pooling=["max"],
        layers="all", overlong="drop", map="umap",
    ),
    **_each("recipes.<name>", "shared", processes=3, gpus=0, sharding="fsdp"),
    "runs[].dataset": [Edit("4", "published")],
    "runs[].model": [Edit("3", "kept")],
    "runs[].recipe": [Edit("3", "other")],
    "runs[].seeds": [Edit("0", [1, 2, 3]), Edit("0", [1])],
    **_each(
        "evaluation", "", confidence=0.9, replicates=1000, seed=2, calibration_bins=10, temperature=True,
        prevalences=[0.5, 0.1], ladder=["arrays", "diverged"], leaderboard={"all": ["arrays", "labelled"]},
    ),
    **_each(
        "evaluation.published[]", "0", dataset="arrays", metric="accuracy", value=0.6, model="another",
        source="elsewhere", comparable=False, why="other records",
    ),
    "device": [Edit("", "auto")],
    "checkpoint_minutes": [Edit("", 10)],
    "report_to": [Edit("", ["tensorboard"])],
}  # fmt: skip
