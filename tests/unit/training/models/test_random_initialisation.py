"""A checkpoint's architecture with random weights: the control that shows what pre-training is worth."""

import json

import pytest
import torch
from safetensors.torch import load_file
from small_checkpoints import tiny
from small_models import (
    TINY,
    call,
    error_line,
    masked_lm_checkpoint,
    records,
    settings,
    small_tokenizer,
    write_task,
)
from transformers import AutoTokenizer

from dnalm.errors import UserError
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.parity import prove
from dnalm.training.engine.windows import cut
from dnalm.training.models.loading import build, label_names, load, with_random_weights
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import Specials, load_tokenizer, specials_of
from dnalm.training.objectives.classification import Classification

HEAD = Classification({0: "no", 1: "yes"}).head
SPECIALS = Specials(prefix=(1,), suffix=(2,), pad=0, unknown=3, mask=4)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["bert", "modernbert", "mixtral"])
def test_a_random_model_has_the_architecture_and_none_of_the_weights(tmp_path, kind):
    tiny(kind).bfloat16().save_pretrained(tmp_path)
    (loaded, made) = load(tmp_path, HEAD, SPECIALS, 1).model, with_random_weights(tmp_path, HEAD, SPECIALS, 1)
    assert type(made) is type(loaded) and shapes(made) == shapes(loaded) and label_names(made) == ["no", "yes"]
    assert made.config.pad_token_id == 0 and made.dtype == torch.float32
    assert same(made, with_random_weights(tmp_path, HEAD, SPECIALS, 1)) and not same(
        made, with_random_weights(tmp_path, HEAD, SPECIALS, 2)
    )
    matrices = {name: tensor for name, tensor in made.state_dict().items() if tensor.ndim > 1}
    assert not any(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in matrices.items())


def test_a_random_model_equals_one_built_from_its_architecture(tmp_path):
    tokenizer = small_tokenizer()
    masked_lm_checkpoint(tmp_path, tokenizer, trained=True)
    specials = specials_of(tokenizer)
    written = build(TINY, HEAD, specials, len(tokenizer), seed=5)
    assert same(with_random_weights(tmp_path, HEAD, specials, 5), written)


def test_random_weights_need_a_config_and_no_weights(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        with_random_weights(tmp_path / "absent", HEAD, SPECIALS, 1)
    with pytest.raises(UserError, match=r"has no model \(no config.json\)"):
        with_random_weights(tmp_path, HEAD, SPECIALS, 1)
    tiny().config.save_pretrained(tmp_path)
    with_random_weights(tmp_path, HEAD, SPECIALS, 1)
    (tmp_path / "config.json").write_text('{"model_type": "brt"}')
    with pytest.raises(UserError, match="no architecture of a sequence classifier") as caught:
        with_random_weights(tmp_path, HEAD, SPECIALS, 1)
    assert "\n" not in str(caught.value)


def test_random_weights_for_a_published_model(shared):
    place = shared / "data/models/mistral_dna_1m_tf0"
    tokenizer = load_tokenizer(place)
    specials = specials_of(tokenizer)
    loaded, made = load(place, HEAD, specials, 1).model, with_random_weights(place, HEAD, specials, 1)
    assert shapes(made) == shapes(loaded)
    assert not torch.equal(made.model.embed_tokens.weight, loaded.model.embed_tokens.weight)
    tokens = in_memory(tokenizer, records(20, 1)["sequence"].tolist())
    examples = Examples(tokens, cut(tokens.lengths, 200, "window", []), specials)
    assert prove(made, examples, torch.device("cpu"), None) == prove(loaded, examples, torch.device("cpu"), None)


@pytest.fixture
def task(tmp_path):
    write_task(tmp_path / "task")
    masked_lm_checkpoint(tmp_path / "base", AutoTokenizer.from_pretrained(tmp_path / "task/tokenizer"), trained=False)
    return tmp_path / "task"


def finetune(monkeypatch, task, out, spec):
    base = task.parent / "base"
    places = ["--data", task / "data", "--tokens", task / "tokens", "--tokenizer", base, "--checkpoint", base]
    outputs = ["--model", out / "model", "--training-log", out / "training_log.tsv", "--record", out / "run.json"]
    spec = {**spec, "architecture": None, "checkpoint": "base@1"}
    scratch = ["--scratch", out.parent / "scratch"]
    return call(monkeypatch, "finetune.py", *places, *outputs, *scratch, "--device", "cpu", spec=spec)


def test_a_random_model_is_fine_tuned_and_recorded_as_random(task, tmp_path, monkeypatch):
    random = {**settings(epochs=1), "initialisation": "random"}
    for name in ("one", "two"):
        assert finetune(monkeypatch, task, tmp_path / name, random) == 0
    run = json.loads((tmp_path / "one/run.json").read_text())
    assert run["initialisation"] == "random" == run["spec"]["initialisation"]
    assert run["spec"]["checkpoint"] == "base@1" and run["certificate"] is None
    for file in ("training_log.tsv", "model/model.safetensors", "model/config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    assert str(tmp_path) not in (tmp_path / "one/model/config.json").read_text()


def test_adapters_of_a_random_model_name_no_checkpoint(task, tmp_path, monkeypatch):
    lora = {"rank": 2, "target_modules": ["query", "value"]}
    spec = {**settings(method="lora", lora=lora), "initialisation": "random"}
    assert finetune(monkeypatch, task, tmp_path / "out", spec) == 0
    adapter = json.loads((tmp_path / "out/model/adapter/adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] is None
    # what the adapters were put on is drawn from the seed
    start = with_random_weights(
        tmp_path / "base", Classification({0: "0", 1: "1"}).head, specials_of(load_tokenizer(tmp_path / "base")), 1
    )
    name = "bert.embeddings.word_embeddings.weight"
    found = load_file(tmp_path / "out/model/model.safetensors")
    assert torch.equal(found[name], start.state_dict()[name])


def test_a_random_model_that_is_not_trained_is_refused(task, tmp_path, monkeypatch, capsys):
    assert finetune(monkeypatch, task, tmp_path / "out", {**settings(method="none"), "initialisation": "random"}) == 1
    assert error_line(capsys).startswith("error: recipe.method: none keeps a checkpoint as it is")
    assert not list((tmp_path / "out").iterdir())
