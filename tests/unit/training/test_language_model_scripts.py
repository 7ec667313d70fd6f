"""Pre-training end to end: finetune.py, predict_splits.py and predict.py with language models, and chains of them."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from closeness import close
from script_runs import SCRIPTS, refused, run_script
from small_models import (
    TINY,
    classifier_checkpoint,
    masked_lm_checkpoint,
    settings,
    small_tokenizer,
    write_corpus,
    write_task,
)
from token_objective import LLAMA
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

from dnalm.tables.predictions import read_predictions

STILL = {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 1}
ARCHITECTURES = {"causal": LLAMA, "masked": STILL}
BOTH = pytest.mark.parametrize("objective", ["causal", "masked"])
SIZES = {"train": 90, "validation": 41, "test": 20}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    write_corpus(root, SIZES, small_tokenizer(60))
    return root


def arguments(task, out, *more, tokenizer=None):
    places = ["--data", task / "data", "--tokens", task / "tokens", "--tokenizer", tokenizer or task / "tokenizer"]
    places += ["--model", out / "model", "--training-log", out / "log.tsv", "--record", out / "run.json"]
    return [str(word) for word in [*places, "--scratch", out / "scratch", "--device", "cpu", *more]]


def spec_of(objective, architecture=None, **recipe):
    spec = settings(architecture or ARCHITECTURES[objective], objective=objective, best_metric="loss", **recipe)
    return spec | {"soft_masked_weight": 0.5}


def finetune(task, out, spec, *more, **where):
    done = run_script("finetune.py", *arguments(task, out, *more, **where), spec=spec)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(out / "log.tsv", sep="\t"), json.loads((out / "run.json").read_text())


def predict_splits(task, out, **spec):
    places = ["--data", task / "data", "--tokens", task / "tokens", "--model", out / "model", "--device", "cpu"]
    places += ["--output", out / "predictions.parquet", "--counts", out / "counts.json"]
    done = run_script("predict_splits.py", *places, spec={"overlong": "window", "max_tokens": None, **spec})
    assert done.returncode == 0, done.stderr
    return read_predictions(out / "predictions.parquet"), json.loads((out / "counts.json").read_text())


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory):
    """A finished model of each objective."""
    folders = {}
    for objective in ARCHITECTURES:
        folders[objective] = tmp_path_factory.mktemp(objective)
        finetune(corpus, folders[objective], spec_of(objective, epochs=2, learning_rate=3e-3))
    return folders


@BOTH
def test_a_finished_language_model(corpus, pretrained, objective, tmp_path):
    out = pretrained[objective]
    log, run = pd.read_csv(out / "log.tsv", sep="\t"), json.loads((out / "run.json").read_text())
    prefix = "masked_" if objective == "masked" else ""
    assert (
        list(log)[4:6] == ["validation_loss", f"{prefix}bits_per_base"]
        and log["validation_loss"].is_monotonic_decreasing
    )
    assert run["objective"] == objective and run["labels"] is None and run["counts"]["train"]["windows"] == 90
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    _, info = auto.from_pretrained(out / "model", output_loading_info=True)
    assert not any(info.values())
    predictions, counts = predict_splits(corpus, out)
    found = predictions["validation"]
    assert found.objective == objective and len(found) == 41 and len(predictions["test"]) == 20
    best = log.loc[log["validation_loss"].idxmin()]
    assert found.counts[:, 1].sum() / found.counts[:, 0].sum() == pytest.approx(
        best[f"{prefix}bits_per_base"], rel=1e-5
    )
    table = pd.read_parquet(corpus / "data/validation.parquet")
    soft = np.array([sum(one[1::2]) - sum(one[::2]) for one in table["soft_masked"]])
    if objective == "causal":
        assert (found.counts[:, 0] == 60).all() and (found.counts[:, 2] == soft).all()
    else:
        assert 0 < found.counts[:, 0].sum() < 0.3 * 41 * 60 and (found.counts[:, 2] <= soft).all()
    assert counts["test"] == {"records": 20, "overlong": 0, "dropped": 0, "windows": 20, "unscored_bases": 0}


@BOTH
def test_new_sequences_get_bits(pretrained, objective, tmp_path):
    model = pretrained[objective] / "model"
    (tmp_path / "x.fa").write_text(">a\nACGGTACGGTTT\n>b\nACGTRNACGTAA\n>n\nRRNA\n")
    done = run_script(
        "predict.py", "--model", model, "--input", tmp_path / "x.fa", "--output", tmp_path / "y.tsv", "--device", "cpu"
    )
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "y.tsv", sep="\t").set_index("id")
    names = ["bases", "bits", "bits_per_base"]
    assert list(found) == [*([f"masked_{name}" for name in names] if objective == "masked" else names), "windows"]
    if objective == "causal":
        assert found["bases"].tolist() == [12, 11, 2]  # R is unknown to the tokenizer
        assert close(found["bits_per_base"], found["bits"] / found["bases"], 1e-5)


def test_unscored_bases_are_counted(corpus, pretrained, tmp_path):
    """By a tokenizer without N, and cut at the model's limit."""
    table = pd.read_parquet(corpus / "data/test.parquet")
    table.loc[0, "sequence"] = "R" * 3 + table.loc[0, "sequence"][3:]
    from small_models import in_memory, write_tokens

    (tmp_path / "data").mkdir()
    for split in ("validation", "test"):
        table.assign(id=split + table["id"]).to_parquet(tmp_path / f"data/{split}.parquet")
        write_tokens(tmp_path / "tokens", split, in_memory(small_tokenizer(60), table["sequence"].tolist()))
    (tmp_path / "model").symlink_to(pretrained["causal"] / "model")
    predictions, counts = predict_splits(tmp_path, tmp_path)
    assert counts["test"]["unscored_bases"] == 3 and predictions["test"].counts[:, 0].sum() == 20 * 60 - 3
    windowed, counts = predict_splits(tmp_path, tmp_path, max_tokens=12)
    assert counts["test"]["windows"] > 30 and counts["test"]["unscored_bases"] == 3
    assert windowed["test"].counts[:, 0].tolist() == predictions["test"].counts[:, 0].tolist()
    cut, counts = predict_splits(tmp_path, tmp_path, max_tokens=12, overlong="truncate")
    assert counts["test"]["unscored_bases"] == 20 * 60 - cut["test"].counts[:, 0].sum() > 100
    middle = int(np.median(np.diff(np.load(tmp_path / "tokens/test.offsets.npy"))))
    kept, counts = predict_splits(tmp_path, tmp_path, max_tokens=middle + 2, overlong="drop")
    assert 0 < counts["test"]["dropped"] == 20 - len(kept["test"])
    assert counts["test"]["unscored_bases"] == 20 * 60 - kept["test"].counts[:, 0].sum()


def test_a_published_language_model_is_scored_as_it_is(corpus, pretrained, tmp_path):
    model = pretrained["causal"] / "model"
    spec = spec_of("causal", method="none") | {"architecture": None, "checkpoint": "mine"}
    log, run = finetune(corpus, tmp_path, spec, "--checkpoint", model, tokenizer=model)
    assert log["epoch"].tolist() == [0] and run["trainable_parameters"] == 0
    assert (tmp_path / "model/model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    one, other = predict_splits(corpus, tmp_path)[0], predict_splits(corpus, pretrained["causal"])[0]
    assert (one["test"].counts == other["test"].counts).all()
    assert log["bits_per_base"][0] == pytest.approx(one["validation"].counts[:, 1].sum() / (41 * 60), rel=1e-5)


def test_what_cannot_be_learnt_is_one_line(corpus, pretrained, tmp_path):
    tokenizer = small_tokenizer(60)
    bert = masked_lm_checkpoint(tmp_path / "bert", tokenizer, trained=True)
    classifier_checkpoint(tmp_path / "classifier", tokenizer)
    llama = pretrained["causal"] / "model"
    of = {"architecture": None, "checkpoint": "x"}
    cases = [
        (spec_of("causal") | of, bert, "recipe.objective: causal needs a decoder.*'bert' is an encoder"),
        (spec_of("masked") | of, llama, "recipe.objective: masked needs an encoder.*'llama' is a decoder"),
        (spec_of("masked", method="none") | of, tmp_path / "classifier", "classifier: has no trained masked head"),
        (spec_of("causal", overlong="error") | of | {"max_tokens": 12}, llama, "records are longer than 10 tokens"),
    ]
    for spec, checkpoint, message in cases:
        done = run_script(
            "finetune.py",
            *arguments(corpus, tmp_path / "out", "--checkpoint", checkpoint, tokenizer=checkpoint),
            spec=spec,
        )
        refused(done, message, tmp_path / "out/model")
    done = run_script("finetune.py", *arguments(corpus, tmp_path / "out"), spec=spec_of("causal", TINY))
    refused(done, "'bert' is an encoder", tmp_path / "out/model")


@pytest.mark.parametrize(
    ("objective", "architecture", "targets"), [("causal", MIXTRAL, ["q_proj"]), ("masked", STILL, ["query"])]
)
def test_adapters_of_language_models(corpus, tmp_path, objective, architecture, targets):
    """The head is not trained; what is merged is what was validated."""
    finetune(corpus, tmp_path / "base", spec_of(objective, architecture, learning_rate=3e-3))
    base = tmp_path / "base/model"
    spec = spec_of(objective, method="lora", lora={"target_modules": targets, "rank": 4}, epochs=2, learning_rate=1e-2)
    log, run = finetune(
        corpus, tmp_path, spec | {"architecture": None, "checkpoint": "base"}, "--checkpoint", base, tokenizer=base
    )
    adapter = json.loads((tmp_path / "model/adapter/adapter_config.json").read_text())
    assert adapter["task_type"] == ("CAUSAL_LM" if objective == "causal" else None) and adapter["modules_to_save"] == []
    sides = 2 * 32 * 4 * (2 if objective == "causal" else 1)
    assert run["trainable_parameters"] == sides
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    before, after = (auto.from_pretrained(place).state_dict() for place in (base, tmp_path / "model"))
    changed = {name for name, value in before.items() if not (value == after[name]).all()}
    assert changed and all(targets[0] in name for name in changed)
    found = predict_splits(corpus, tmp_path)[0]["validation"].counts.sum(axis=0)
    metric = next(name for name in log if name.endswith("bits_per_base"))
    assert found[1] / found[0] == pytest.approx(log[metric][run["best_epoch"] - 1], rel=1e-5)


def test_a_chain_of_three_runs(corpus, pretrained, tmp_path):
    """Pre-trained, continued on another corpus, fine-tuned; and the twin that has only the architecture."""
    tokenizer = small_tokenizer(60)
    write_corpus(tmp_path / "other", {"train": 40, "validation": 20, "test": 20}, tokenizer, length=40)
    first = pretrained["causal"] / "model"
    spec = spec_of("causal", learning_rate=1e-5) | {"architecture": None, "checkpoint": "first"}
    log, run = finetune(tmp_path / "other", tmp_path / "second", spec, "--checkpoint", first, tokenizer=first)
    assert run["initialisation"] == "pretrained" and log["validation_loss"][0] < 0.97 * np.log(60)
    write_task(tmp_path / "task", {"train": 64, "validation": 30, "test": 10}, tokenizer=tokenizer)
    second = tmp_path / "second/model"
    starts = {}
    for name in ("pretrained", "random"):
        spec = settings(None, learning_rate=1e-9) | {"checkpoint": "second", "initialisation": name}
        _, run = finetune(tmp_path / "task", tmp_path / name, spec, "--checkpoint", second, tokenizer=second)
        assert run["objective"] == "classification"
        starts[name] = AutoModelForSequenceClassification.from_pretrained(tmp_path / name / "model").state_dict()
    origin = AutoModelForCausalLM.from_pretrained(second).state_dict()
    body = [name for name in origin if name.startswith("model.")]
    assert len(body) > 10
    for name in body:
        assert close(starts["pretrained"][name], origin[name], 1e-5), name
    assert not close(
        starts["random"]["model.layers.0.mlp.up_proj.weight"], origin["model.layers.0.mlp.up_proj.weight"], 0.1
    )


def test_a_checkpoint_without_a_body_is_refused(pretrained, tmp_path):
    """The certificate of a run's model, with the sequences of the data set that it is fine-tuned on."""
    import shutil

    from safetensors.torch import load_file, save_file

    from dnalm.errors import UserError
    from dnalm.training.models.certificate import certify

    table = ["ACGGTACGGTTTACCA" * 3, "TTGACCATTAGACAGT" * 3] * 20
    found = certify(pretrained["causal"] / "model", table)
    assert found["language_model"]["objective"] == "causal" and found["missing"] == ["score.weight"]
    shutil.copytree(pretrained["causal"] / "model", tmp_path / "broken")
    weights = load_file(tmp_path / "broken/model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "layers.1" not in k},
        tmp_path / "broken/model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(UserError, match="weights of the model are not in the checkpoint"):
        certify(tmp_path / "broken", table)


# kills


def start(task, out, spec, *more):
    command = [sys.executable, str(SCRIPTS / "finetune.py"), "--spec", "-", *arguments(task, out, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    return process


def finished(process):
    said = process.stderr.read()
    assert process.wait() == 0, said


def made(out):
    files = {path.name: path.read_bytes() for path in (out / "model").iterdir()}
    return files, (out / "log.tsv").read_bytes()


@BOTH
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_pre_training_ends_in_the_same_bytes(corpus, tmp_path, objective, processes):
    spec = spec_of(objective, ARCHITECTURES[objective], epochs=6, batch_size=8, warmup=0.1)
    options = ("--minutes", "0.001", *(("--processes", "2") if processes > 1 else ()))
    finished(start(corpus, tmp_path / "straight", spec, *options))
    chance, out = random.Random(processes), tmp_path / "killed"
    process = start(corpus, out, spec, *options)
    while not list(out.glob("scratch/*/checkpoint-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    time.sleep(0.3 * chance.random())
    process.send_signal(signal.SIGKILL if processes == 1 else signal.SIGTERM)  # workers outlive a killed launcher
    process.wait()
    finished(start(corpus, out, spec, *options))
    assert len(json.loads((out / "run.json").read_text())["resumed_from"]) == 1
    assert made(out) == made(tmp_path / "straight")


@BOTH
def test_two_processes_train_as_one(corpus, tmp_path, objective):
    """90 records in batches of 16, of different numbers of learnt tokens."""
    spec = spec_of(objective, ARCHITECTURES[objective], epochs=2)
    one, _ = finetune(corpus, tmp_path / "one", spec)
    finished(start(corpus, tmp_path / "two", spec, "--processes", "2"))
    two = pd.read_csv(tmp_path / "two/log.tsv", sep="\t")
    for column in ("training_loss", "validation_loss", list(one)[4]):
        assert close(two[column], one[column], 2e-5), column
