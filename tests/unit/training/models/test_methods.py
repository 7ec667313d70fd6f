"""What each method trains, what it leaves alone, and that a finished model needs nothing but transformers."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from closeness import close
from peft import PeftModel
from safetensors.torch import load_file
from small_classifiers import CPU, EXPERTS, MIXTRAL, SPECIALS, changed, classifier, logits, train, weights
from small_models import (
    TINY,
    call,
    classifier_checkpoint,
    error_line,
    masked_lm_checkpoint,
    settings,
    small_tokenizer,
    write_task,
)

from dnalm.config.recipes import Lora
from dnalm.errors import UserError
from dnalm.training.engine.devices import make_repeatable
from dnalm.training.models import methods
from dnalm.training.models.loading import load, load_finished
from dnalm.training.models.methods import (
    CONFIG,
    WEIGHTS,
    adapt,
    freeze_body,
    head,
    merge,
    prepare,
    quantised_parameters,
    save_adapter,
    trainable_parameters,
)
from dnalm.training.objectives.classification import Classification


@pytest.fixture(autouse=True)
def _repeatable():
    make_repeatable()


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    root = tmp_path_factory.mktemp("task")
    write_task(root)
    return root


def finetune(monkeypatch, task, out, spec, *more, tokenizer=None):
    where = ["--data", task / "data", "--tokens", task / "tokens", "--tokenizer", tokenizer or task / "tokenizer"]
    outputs = ["--model", out / "model", "--training-log", out / "training_log.tsv", "--record", out / "run.json"]
    return call(monkeypatch, "finetune.py", *where, "--device", "cpu", *outputs, *more, spec=spec)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (TINY, ["classifier", "bert.pooler"]),
        (MIXTRAL, ["score"]),
        ({**TINY, "model_type": "albert", "embedding_size": 16}, ["classifier", "albert.pooler"]),
        ({**TINY, "model_type": "modernbert"}, ["head", "classifier"]),
        ({**TINY, "model_type": "esm"}, ["classifier"]),
    ],
)
def test_the_head_is_what_a_language_model_checkpoint_lacks(architecture, expected):
    assert head(classifier(architecture)) == expected


@pytest.mark.parametrize(("method", "trained"), [("full", 3456 + 8544 + 1122), ("frozen", 1122), ("lora", 2146)])
def test_methods_differ_in_what_they_train(method, trained):
    """Embeddings (40 + 64 + 2 + 2) x 32, one layer, and the head 33 x 32 + 33 x 2; an adapter has 8 x (32 + 32)."""
    model = classifier()
    trainee = prepare(model, method, None, seed=1)
    assert trainable_parameters(trainee) == trained
    assert (trainee is model) == (method != "lora")


def test_frozen_trains_the_head_and_leaves_the_body_bit_for_bit():
    model = classifier()
    before = weights(model)
    train(freeze_body(model))
    assert changed(before, weights(model)) == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


@pytest.mark.parametrize(
    ("architecture", "lora", "targets"),
    [
        (TINY, Lora(), "(query|value).weight"),
        (TINY, Lora(rank=4, alpha=8, dropout=0.1, target_modules=["attention.output.dense"]), "output.dense.weight"),
        (TINY, Lora(target_modules=["key"], modules_to_save=["word_embeddings"]), "(key|word_embeddings).weight"),
        (MIXTRAL, Lora(), "(q|v)_proj.weight"),
        (MIXTRAL, Lora(target_parameters=EXPERTS), "experts.(gate_up|down)_proj"),
        (MIXTRAL, Lora(target_modules=["k_proj"], target_parameters=EXPERTS[1:]), "(k_proj.weight|experts.down_proj)"),
    ],
)
def test_lora_trains_adapters_and_head_and_merges_into_a_plain_model(tmp_path, architecture, lora, targets):
    model = classifier(architecture)
    before = weights(model)
    adapted = adapt(model, lora, seed=1)
    parts = tuple(head(model))
    train(adapted)
    found = logits(adapted)
    save_adapter(adapted, "some/model@main", tmp_path / "adapter")
    again = PeftModel.from_pretrained(classifier(architecture), tmp_path / "adapter")
    assert torch.equal(logits(again), found)
    merged = merge(adapted, tmp_path / "adapter")
    assert type(merged) is type(classifier(architecture))
    assert close(logits(merged), found)
    moved = changed(before, weights(merged))
    body = {name for name in moved if not name.startswith(parts)}
    assert body and all(re.search(targets + "$", name) for name in body)
    assert moved - body == {name for name in before if name.startswith(parts)}


def test_adapters_are_drawn_from_the_seed_and_change_nothing_at_first():
    plain = logits(classifier())
    drawn = {seed: weights(adapt(classifier(), Lora(), seed)) for seed in (1, 2)}
    assert changed(drawn[1], weights(adapt(classifier(), Lora(), 1))) == set()
    assert all("lora_A" in name for name in changed(drawn[1], drawn[2]))
    assert torch.equal(logits(adapt(classifier(), Lora(), 1)), plain)


@pytest.mark.parametrize(("architecture", "lora"), [(TINY, Lora()), (MIXTRAL, Lora(target_parameters=EXPERTS))])
def test_saving_on_the_way_changes_nothing_of_what_follows(tmp_path, architecture, lora):
    results = {}
    for saves in (False, True):
        adapted = adapt(classifier(architecture), lora, seed=1)
        directory = tmp_path / str(saves)
        calls = []

        def keep(adapted=adapted, directory=directory, calls=calls, saves=saves):
            calls.append(1)
            if saves:
                save_adapter(adapted, None, directory)

        results[saves] = (train(adapted, 4, keep), weights(adapted))
        assert len(calls) == 4
    assert results[False][0] == results[True][0]
    assert changed(results[False][1], results[True][1]) == set()


def test_what_was_kept_is_merged_and_not_the_last(tmp_path):
    adapted = adapt(classifier(), Lora(), seed=1)
    train(adapted, steps=3)
    best = logits(adapted)
    save_adapter(adapted, None, tmp_path / "adapter")
    train(adapted, steps=3)
    assert not close(logits(adapted), best, 1e-2)
    assert close(logits(merge(adapted, tmp_path / "adapter")), best)


@pytest.mark.parametrize(
    ("architecture", "lora", "message"),
    [
        (
            TINY,
            Lora(target_modules=["query", "q_proj"]),
            "recipe.lora.target_modules: the model has no 'q_proj' to train; target_modules can be dense, key,"
            " position_embeddings, query, token_type_embeddings, value, word_embeddings",
        ),
        (
            TINY,
            Lora(target_modules=["classifier"]),
            "recipe.lora.target_modules: the model has no 'classifier' to train; target_modules can be dense, key",
        ),
        (TINY, Lora(target_modules=["attention.self"]), "the model has no 'attention.self' to train"),
        (
            TINY,
            Lora(target_parameters=EXPERTS),
            "recipe.lora.target_parameters: the model has no 'mlp.experts.gate_up_proj' to train",
        ),
        (TINY, Lora(modules_to_save=["norm"]), "recipe.lora.modules_to_save: the model has no 'norm' to train"),
        (
            {**TINY, "model_type": "albert", "embedding_size": 16},
            Lora(),
            "recipe.lora.target_modules: there is no default for 'albert'; set it; target_modules can be dense,"
            " embedding_hidden_mapping_in, ffn, ffn_output, key",
        ),
        (
            MIXTRAL,
            Lora(target_modules=["w1"]),
            "the model has no 'w1' to train; target_modules can be embed_tokens, k_proj, o_proj, q_proj, v_proj;"
            " target_parameters reaches mlp.experts.down_proj, mlp.experts.gate_up_proj (several matrices in one"
            " tensor)",
        ),
        (
            MIXTRAL,
            Lora(target_modules=["experts"]),
            "the model has no 'experts' to train; target_modules can be embed_tokens, k_proj, o_proj, q_proj, v_proj;"
            " target_parameters reaches mlp.experts.down_proj",
        ),
        (
            MIXTRAL,
            Lora(target_modules=["q_proj", "gate_up_proj"]),
            "recipe.lora.target_modules: 'gate_up_proj' is not a layer but a tensor of several matrices; use"
            " target_parameters: [mlp.experts.gate_up_proj]",
        ),
        (
            MIXTRAL,
            Lora(target_modules=["layers.0.mlp.experts.down_proj"]),
            "'layers.0.mlp.experts.down_proj' is not a layer but a tensor of several matrices; use"
            " target_parameters: [mlp.experts.down_proj]",
        ),
        (
            TINY,
            Lora(target_modules=["query"], target_parameters=["query.weight"]),
            "recipe.lora: peft rejects it (Trying to wrap an `nn.Parameter`",
        ),
    ],
)
def test_a_target_that_is_not_there_is_one_line_that_names_what_is(architecture, lora, message):
    with pytest.raises(UserError) as caught:
        adapt(classifier(architecture), lora, seed=1)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_lora_run_from_a_checkpoint_to_scores(task, tmp_path, monkeypatch):
    """Twice the same bytes; a model that loads without peft; an adapter that with the checkpoint scores the same."""
    tokenizer = small_tokenizer()
    base = masked_lm_checkpoint(tmp_path / "base", tokenizer, trained=True)
    spec = {**settings(None, method="lora", lora={"rank": 4}, learning_rate=1e-2, epochs=2), "checkpoint": "base"}
    for name in "ab":
        out = tmp_path / name
        assert finetune(monkeypatch, task, out, spec, "--checkpoint", base, tokenizer=base) == 0
    files = {str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert {f"model/adapter/{CONFIG}", f"model/adapter/{WEIGHTS}", "model/model.safetensors"} <= files
    for file in files - {"run.json"}:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
        assert str(tmp_path).encode() not in (tmp_path / "a" / file).read_bytes(), file
    run = json.loads((tmp_path / "a/run.json").read_text())
    assert {f"model/{file}" for file in run["files"]} == files - {"run.json", "training_log.tsv"}
    adapter = load_file(tmp_path / "a/model/adapter" / WEIGHTS)
    assert run["trainable_parameters"] == sum(tensor.numel() for tensor in adapter.values())
    assert run["trainable_parameters"] == 2 * 4 * (32 + 32) + (32 + 1) * 32 + (32 + 1) * 2
    assert run["parameters"] == load_finished(tmp_path / "a/model", SPECIALS).num_parameters()
    config = json.loads((tmp_path / "a/model/adapter" / CONFIG).read_text())
    assert config["base_model_name_or_path"] == "base" and config["target_modules"] == ["query", "value"]
    assert (tmp_path / "a/model/adapter" / WEIGHTS).stat().st_mode == (tmp_path / "a/run.json").stat().st_mode

    fresh = load(base, Classification({0: "0", 1: "1"}).head, SPECIALS, seed=7).model
    adapted = PeftModel.from_pretrained(fresh, tmp_path / "a/model/adapter")
    monkeypatch.setitem(sys.modules, "peft", None)
    finished = load_finished(tmp_path / "a/model", SPECIALS)
    assert close(logits(adapted), logits(finished))
    places = ["--data", task / "data", "--tokens", task / "tokens", "--model", tmp_path / "a/model"]
    spec = {"overlong": "window", "max_tokens": None}
    output, counts = tmp_path / "predictions.parquet", ["--counts", tmp_path / "counts.json"]
    assert (
        call(monkeypatch, "predict_splits.py", *places, "--device", "cpu", "--output", output, *counts, spec=spec) == 0
    )
    scores = pd.read_parquet(output).query("split == 'validation'")
    log = pd.read_csv(tmp_path / "a/training_log.tsv", sep="\t").set_index("epoch")
    chosen = np.where(scores["label"] == 1, scores["score_1"], scores["score_0"])
    assert close(-np.log(chosen).mean(), log["validation_loss"][run["best_epoch"]])  # both are written with 6 digits


def test_a_frozen_run_keeps_the_checkpoints_body(task, tmp_path, monkeypatch):
    base = masked_lm_checkpoint(tmp_path / "base", small_tokenizer(), trained=True)
    spec = {**settings(None, method="frozen"), "checkpoint": "base"}
    assert finetune(monkeypatch, task, tmp_path / "run", spec, "--checkpoint", base, tokenizer=base) == 0
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "run/model/model.safetensors")
    body = {name for name in before if name.startswith("bert.")}
    assert len(body) > 15 and all(torch.equal(before[name], after[name]) for name in body)
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["trainable_parameters"] == (32 + 1) * 32 + (32 + 1) * 2 < run["parameters"]


def test_a_wrong_target_leaves_nothing(task, tmp_path, monkeypatch, capsys):
    base = classifier_checkpoint(tmp_path / "base", small_tokenizer())
    spec = {**settings(None, method="lora", lora={"target_modules": ["q_proj"]}), "checkpoint": "base"}
    assert finetune(monkeypatch, task, tmp_path / "out", spec, "--checkpoint", base, tokenizer=base) == 1
    assert error_line(capsys).startswith("error: recipe.lora.target_modules: the model has no 'q_proj' to train;")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("device", [None, CPU, torch.device("mps")])
def test_qlora_needs_a_gpu_and_says_so(device):
    with pytest.raises(UserError, match=r"^recipe\.method: qlora needs a CUDA GPU; use lora$"):
        prepare(classifier(), "qlora", None, 1, device)


def test_qlora_needs_bitsandbytes_and_says_so(monkeypatch):
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^recipe\.method: qlora needs the package bitsandbytes; pip install"):
        prepare(classifier(), "qlora", None, 1, torch.device("cuda"))


def test_lora_needs_no_bitsandbytes(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dnalm.training.models.quantisation", None)
    adapted = prepare(classifier(), "lora", None, seed=1)
    assert quantised_parameters(adapted) is None and quantised_parameters(classifier()) is None
    save_adapter(adapted, None, tmp_path)
    assert torch.equal(logits(merge(adapted, tmp_path)), logits(classifier()))


def test_a_qlora_run_without_a_gpu_leaves_nothing(task, tmp_path, monkeypatch, capsys):
    base = masked_lm_checkpoint(tmp_path / "base", small_tokenizer(), trained=True)
    spec = {**settings(None, method="qlora"), "checkpoint": "base"}
    assert finetune(monkeypatch, task, tmp_path / "out", spec, "--checkpoint", base, tokenizer=base) == 1
    assert error_line(capsys) == "error: recipe.method: qlora needs a CUDA GPU; use lora"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
