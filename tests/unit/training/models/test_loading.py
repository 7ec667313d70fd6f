import json
import os

import pytest
import torch
from safetensors import SafetensorError
from small_models import TINY, classifier_checkpoint, masked_lm_checkpoint, small_tokenizer

from dnalm.errors import UserError
from dnalm.training.models.loading import (
    build,
    check_vocabulary,
    label_names,
    load,
    load_finished,
    position_limit,
    save,
    token_limit,
    window_size,
)
from dnalm.training.models.tokenizers import Specials, specials_of
from dnalm.training.objectives.classification import Classification

TOKENIZER = small_tokenizer()
SPECIALS = specials_of(TOKENIZER)
HEAD = Classification({0: "no", 1: "yes"}).head
THREE = Classification({0: "a", 1: "b", 2: "c"}).head
ITS_OWN = Classification().head


def make(**changes):
    return build({**TINY, **changes}, HEAD, SPECIALS, len(TOKENIZER), seed=1)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_building_is_drawn_from_the_seed():
    assert same(make(), make())
    assert not same(make(), build(TINY, HEAD, SPECIALS, len(TOKENIZER), seed=2))


def test_a_built_model_fits_its_tokenizer_and_labels():
    model = build(TINY, THREE, SPECIALS, len(TOKENIZER), seed=1)
    assert model.config.vocab_size == len(TOKENIZER) and model.config.pad_token_id == 0
    assert label_names(model) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "brt"}, "architecture.model_type: unknown type 'brt'; did you mean 'bert'?"),
        ({"model_type": "vit"}, "architecture.model_type: transformers has no 'vit' that is a sequence classifier"),
        ({"hiden_size": 3}, "architecture.hiden_size: unknown key of bert; did you mean 'hidden_size'?"),
        ({"hidden_size": 33}, "architecture: transformers rejects it (The hidden size (33) is not a multiple"),
        ({"hidden_size": "big"}, "architecture: transformers rejects it (Validation error for field 'hidden_size'"),
    ],
)
def test_a_wrong_architecture_is_one_line(changes, message):
    with pytest.raises(UserError) as caught:
        make(**changes)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_limit_is_the_least_of_model_tokenizer_and_user(tmp_path):
    model, tokenizer = make(), small_tokenizer()
    assert token_limit(model, tokenizer, None) == 64
    assert token_limit(model, tokenizer, 30) == 30
    tokenizer.model_max_length = 20
    assert token_limit(model, tokenizer, 30) == 20
    assert window_size(20, SPECIALS) == 18
    assert window_size(None, SPECIALS) > 10**9
    with pytest.raises(UserError, match="leaves no room beside 2 special tokens"):
        window_size(2, SPECIALS)


def test_roberta_loses_positions_to_padding():
    specials = Specials(prefix=(0,), suffix=(2,), pad=1, unknown=3, mask=4)
    model = build({**TINY, "model_type": "roberta"}, HEAD, specials, 40, seed=1)
    assert position_limit(model) == 62
    ids = torch.full((1, 62), 7)
    model(input_ids=ids)
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, 63), 7))
    bloom = build({"model_type": "bloom", "hidden_size": 32, "n_layer": 1, "n_head": 2}, HEAD, specials, 40, seed=1)
    assert position_limit(bloom) is None


def test_a_finished_model_comes_back_as_it_was(tmp_path):
    classifier_checkpoint(tmp_path, TOKENIZER)
    model = load_finished(tmp_path, SPECIALS)
    assert same(model, build(TINY, HEAD, SPECIALS, len(TOKENIZER), seed=3)) and not model.training
    assert label_names(model) == ["no", "yes"]
    assert {oct(path.stat().st_mode) for path in tmp_path.iterdir()} == {oct((tmp_path / "config.json").stat().st_mode)}


def test_a_base_checkpoint_gets_a_head_drawn_from_the_seed(tmp_path):
    masked_lm_checkpoint(tmp_path, TOKENIZER, trained=True)
    loaded = load(tmp_path, HEAD, SPECIALS, 1)
    assert not loaded.missing_body
    assert {"classifier.weight", "classifier.bias"} <= set(loaded.missing)
    assert all(name.startswith("cls.") for name in loaded.unexpected) and loaded.unexpected
    assert same(loaded.model, load(tmp_path, HEAD, SPECIALS, 1).model)
    assert not same(loaded.model, load(tmp_path, HEAD, SPECIALS, 2).model)


def test_half_precision_is_loaded_as_single(tmp_path):
    make().bfloat16().save_pretrained(tmp_path)
    assert load(tmp_path, ITS_OWN, SPECIALS, 1).model.dtype == torch.float32


def test_what_is_no_finished_model_is_named(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        load_finished(tmp_path / "absent", SPECIALS)
    with pytest.raises(UserError, match="has no model"):
        load_finished(tmp_path, SPECIALS)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match=r"has no weights \(no \*.safetensors\)"):
        load_finished(tmp_path, SPECIALS)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"only pytorch_model\.bin, a pickle"):
        load_finished(tmp_path, SPECIALS)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="no checkpoint that loads") as caught:
        load_finished(tmp_path, SPECIALS)
    assert "\n" not in str(caught.value)
    masked_lm_checkpoint(tmp_path, TOKENIZER, trained=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(UserError, match=r"not a finished model, it lacks .* and \d more; fine-tune it first"):
        load_finished(tmp_path, SPECIALS)


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(UserError, match="ids up to 59 and the model 40 embeddings"):
        check_vocabulary(make(), small_tokenizer(60), "here")


def test_a_full_disk_is_an_operating_system_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    model = make()
    monkeypatch.setattr(model, "save_pretrained", full)
    with pytest.raises(OSError) as caught:
        save(model, TOKENIZER, tmp_path)
    assert caught.value.errno == 28 and caught.value.filename == os.fspath(tmp_path)
