"""The certificate of a checkpoint: what passes, what is refused, and with what words."""

import json

import numpy as np
import pytest
import torch
from closeness import close
from safetensors.torch import load_file, save_file
from small_models import TINY, call, classifier_checkpoint, error_line, masked_lm_checkpoint, records, small_tokenizer

from dnalm.errors import UserError
from dnalm.training.models import certificate as module
from dnalm.training.models.certificate import certify, check_head
from dnalm.training.models.loading import load
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives import objective_of_model
from dnalm.training.objectives.classification import Classification
from dnalm.training.objectives.regression import Regression

TOKENIZER = small_tokenizer()
SEQUENCES = records(60, 7)["sequence"].tolist()


def test_a_trained_checkpoint_passes_and_its_figures_are_those_of_its_predictions(tmp_path):
    """The checkpoint knows the frequencies of tokens and nothing else, so that its loss can be worked out."""
    found = certify(masked_lm_checkpoint(tmp_path, TOKENIZER, trained=True), SEQUENCES)
    assert found["reload_difference"] == 0
    assert "classifier.weight" in found["missing"] and not [name for name in found["missing"] if "encoder" in name]
    language = found["language_model"]
    assert language["objective"] == "masked" and language["loss"] < 0.95 * language["uniform_loss"]
    assert close(language["uniform_loss"], np.log(40))
    tokens, bases = found["tokenizer"]["tokens"], found["probes"]["bases"]
    assert found["probes"] == {"sequences": 30, "bases": 30 * 60, "fitted": 30}
    assert close(language["bits_per_base"], language["loss"] / np.log(2) * tokens / bases)
    assert 1.0 < language["markov_bits_per_base"] < 2.0 and language["markov_order"] == 3
    assert found["tokenizer"] == {"tokens": tokens, "unknown_tokens": 0, "changed_by_round_trip": 0}
    json.dumps(found)


@pytest.mark.parametrize("seed", range(3))
def test_random_weights_are_refused(tmp_path, seed):
    masked_lm_checkpoint(tmp_path, TOKENIZER, trained=False, seed=seed)
    with pytest.raises(UserError, match="the weights look random or belong to another tokenizer"):
        certify(tmp_path, SEQUENCES)


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_causal_heads_are_asked_too(tmp_path, kind):
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {k: v for k, v in TINY.items() if k != "model_type"}
    config = AutoConfig.for_model(kind, **sizes, num_key_value_heads=2, vocab_size=40, pad_token_id=0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="language-model loss on real sequences is"):
        certify(tmp_path, SEQUENCES)


def test_missing_weights_are_refused(tmp_path):
    masked_lm_checkpoint(tmp_path, TOKENIZER, trained=True)
    weights = load_file(tmp_path / "model.safetensors")
    gone = {k: v for k, v in weights.items() if "attention.self.query" not in k}
    save_file(gone, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"2 weights of the model are not in the checkpoint \(bert.encoder.layer.0"):
        certify(tmp_path, SEQUENCES)


def test_weights_of_another_shape_are_refused(tmp_path):
    masked_lm_checkpoint(tmp_path, TOKENIZER, trained=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 32}))
    with pytest.raises(UserError, match="weights of the model are not in the checkpoint"):
        certify(tmp_path, SEQUENCES)


def test_loads_that_differ_are_refused(tmp_path, monkeypatch):
    classifier_checkpoint(tmp_path, TOKENIZER)

    def drawn(directory, head, specials, seed, trust):
        loaded = load(directory, head, specials, seed, trust)
        torch.manual_seed(seed)  # as a part of the model that nobody told to be missing would be
        with torch.no_grad():
            loaded.model.bert.encoder.layer[0].output.dense.weight.add_(torch.randn(32, 64))
        return loaded

    monkeypatch.setattr(module, "load", drawn)
    with pytest.raises(UserError, match="two loads give different outputs"):
        certify(tmp_path, SEQUENCES)


def test_a_finished_model_has_no_language_model_and_one_sequence_is_enough(tmp_path):
    found = certify(classifier_checkpoint(tmp_path, TOKENIZER), SEQUENCES[:1])
    assert found["missing"] == [] and found["language_model"] is None and found["probes"]["fitted"] == 0


def test_letters_that_the_tokenizer_loses_are_counted(tmp_path):
    odd = "ACGTRYACGT" * 3
    found = certify(classifier_checkpoint(tmp_path, TOKENIZER), [odd] * 4)["tokenizer"]
    ids = in_memory(TOKENIZER, [odd] * 2).ids
    assert found["changed_by_round_trip"] == 2
    assert (found["tokens"], found["unknown_tokens"]) == (len(ids), (ids == TOKENIZER.unk_token_id).sum())


def test_a_model_that_is_kept_needs_a_trained_head(tmp_path):
    specials = specials_of(TOKENIZER)

    def checked(directory, objective):
        loaded = load(directory, objective.head, specials, 1)
        check_head(loaded, objective_of_model(loaded.model, TOKENIZER), directory)

    two, three = Classification({0: "no", 1: "yes"}), Classification({0: "a", 1: "b", 2: "c"})
    masked_lm_checkpoint(tmp_path / "base", TOKENIZER, trained=True)
    with pytest.raises(UserError, match="has no trained classification head for 2 classes"):
        checked(tmp_path / "base", two)
    with pytest.raises(UserError, match=r"has no trained regression head \(bert"):
        checked(tmp_path / "base", Regression(mean=0.0, scale=1.0))
    classifier_checkpoint(tmp_path / "done", TOKENIZER)
    checked(tmp_path / "done", Classification())
    with pytest.raises(UserError, match="no trained classification head for 3 classes"):
        checked(tmp_path / "done", three)


def test_the_script_writes_a_certificate_or_one_line(tmp_path, monkeypatch, capsys):
    records(60, 7).to_parquet(tmp_path / "validation.parquet")
    settings = {"checkpoint": "base@1", "dataset": "d", "max_tokens": 20, "trust_remote_code": False}

    def run(name):
        options = ["--checkpoint", tmp_path / name, "--probes", tmp_path / "validation.parquet"]
        return call(monkeypatch, "certify.py", *options, "--output", tmp_path / f"{name}.json", spec=settings)

    masked_lm_checkpoint(tmp_path / "good", TOKENIZER, trained=True)
    assert run("good") == 0
    written = json.loads((tmp_path / "good.json").read_text())
    assert written["checkpoint"] == "base@1" and written["probes"]["dataset"] == "d"
    masked_lm_checkpoint(tmp_path / "bad", TOKENIZER, trained=False)
    assert run("bad") == 1 and "the weights look random" in error_line(capsys)
    assert not (tmp_path / "bad.json").exists()
