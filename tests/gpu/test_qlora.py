"""QLoRA on a GPU: memory, what is learnt, and that CUDA graphs and the compiler accept its layers."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from capture import captured
from closeness import close
from needed import needs, require
from small_classifiers import EXPERTS, MIXTRAL, SPECIALS, changed, classifier, frozen, logits, train
from small_models import TINY, call, masked_lm_checkpoint, settings, small_tokenizer, write_corpus, write_task

from dnalm.training.benchmarks.measurements import MIXTRAL_105M
from dnalm.training.models.loading import build, load_finished, save
from dnalm.training.models.methods import merge, prepare, quantised_parameters, save_adapter
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives.causal import Causal
from dnalm.training.objectives.language import Letters
from dnalm.training.prediction import FinishedModel

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]
require("bitsandbytes")

GPU = torch.device("cuda")
BF16 = {"device_type": "cuda", "dtype": torch.bfloat16}


def four_bit(rows=2048, columns=2048):
    """A 4-bit layer on the GPU, and the plain one it was made of."""
    from dnalm.training.models.quantisation import Linear

    torch.manual_seed(1)
    layer = torch.nn.Linear(columns, rows)
    return Linear(layer, GPU), layer.to(GPU)


def prepared(architecture=TINY, lora=None):
    return prepare(classifier(architecture), "qlora", lora, 1, GPU).to(GPU)


def test_a_layer_takes_an_eighth_of_the_memory():
    before = torch.cuda.memory_allocated()
    layer, _ = four_bit()
    plain = 2048 * 2048 * 4
    assert torch.cuda.memory_allocated() - before - plain < 0.14 * plain
    assert {p.device.type for p in layer.parameters()} == {"cuda"}


@pytest.mark.parametrize("shape", [(2048, 768), (96, 32), (64, 1024)])
@pytest.mark.parametrize("rows", [1, 7, 64, 4096])
def test_a_layer_computes_what_its_dequantised_layer_does(shape, rows):
    layer, _ = four_bit(*shape)
    plain = layer.dequantised().to(GPU)
    x = torch.randn(rows, shape[1], device=GPU, requires_grad=True)
    assert close(layer(x), plain(x), 1e-4)
    with torch.autocast(**BF16):
        found, expected = layer(x), plain(x)
    assert found.dtype == torch.bfloat16
    assert close(found, expected, 2e-2)
    slopes = [torch.autograd.grad(y.float().sum(), x)[0] for y in (found, expected)]
    assert close(*slopes, 2e-2)


@pytest.mark.parametrize(
    ("architecture", "lora"),
    [
        (TINY, None),
        (TINY, {"target_modules": ["query", "output.dense"], "dropout": 0.1}),
        (MIXTRAL, {"target_modules": ["q_proj"], "target_parameters": EXPERTS}),
    ],
)
def test_the_finished_model_scores_as_the_validated_one(tmp_path, architecture, lora):
    adapted = prepared(architecture, lora)
    assert quantised_parameters(adapted)["quantised"] > 0
    before = frozen(adapted)
    with torch.autocast(**BF16):
        losses = train(adapted, steps=40)
    assert np.isfinite(losses).all() and len(set(losses)) > 1
    assert changed(before, frozen(adapted)) == set()
    found = logits(adapted)
    save_adapter(adapted, None, tmp_path / "adapter")
    merged = merge(adapted, tmp_path / "adapter")
    assert merged.device.type == "cpu"
    assert close(logits(merged), found, 1e-4)


def test_quantising_is_repeatable():
    assert changed(frozen(prepared()), frozen(prepared())) == set()


def test_a_step_can_be_captured_in_a_graph():
    layer, _ = four_bit()
    x = torch.randn(256, 2048, device=GPU, requires_grad=True)
    x.grad = torch.zeros_like(x)

    def step():
        x.grad.zero_()
        with torch.autocast(**BF16):
            y = layer(x)
        y.float().square().sum().backward()
        return y

    graph, y = captured(step)
    with torch.no_grad():
        x.copy_(torch.randn_like(x))
    graph.replay()
    found = y.clone(), x.grad.clone()
    expected = step(), x.grad
    assert close(found, expected, 1e-2)


def test_a_layer_compiles_without_a_break():
    layer, _ = four_bit()
    x = torch.randn(64, 2048, device=GPU, requires_grad=True)
    compiled = torch.compile(layer, fullgraph=True)
    with torch.autocast(**BF16):
        found, expected = compiled(x), layer(x)
    assert close(found, expected, 2e-2)
    slopes = [torch.autograd.grad(y.float().sum(), x)[0] for y in (found, expected)]
    assert close(*slopes, 2e-2)


def test_a_run_from_a_checkpoint_to_a_model_that_needs_no_bitsandbytes(tmp_path, monkeypatch):
    write_task(tmp_path)
    base = masked_lm_checkpoint(tmp_path / "base", small_tokenizer(), trained=True)
    spec = {**settings(None, method="qlora", learning_rate=1e-2, epochs=2), "checkpoint": "base"}
    places = ["--data", tmp_path / "data", "--tokens", tmp_path / "tokens", "--tokenizer", base, "--checkpoint", base]
    outputs = ["--model", tmp_path / "model", "--training-log", tmp_path / "log.tsv", "--record", tmp_path / "run.json"]
    assert call(monkeypatch, "finetune.py", *places, "--device", "cuda", *outputs, spec=spec) == 0
    assert json.loads((tmp_path / "run.json").read_text())["trainable_parameters"] > 0
    model = load_finished(tmp_path / "model", SPECIALS)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert (tmp_path / "model/adapter/adapter_model.safetensors").is_file()


def test_a_mixture_of_100_million_parameters_trains_is_merged_and_scores_the_same_when_reloaded(tmp_path, monkeypatch):
    """From random weights, as a language model; what is read from disk scores in fp32 what the validation found."""
    tokenizer = small_tokenizer(600)
    tables = write_corpus(tmp_path, {"train": 512, "validation": 64}, tokenizer, length=200)
    specials = specials_of(tokenizer)
    objective = Causal(Letters.of(tokenizer))
    base = build(MIXTRAL_105M, objective.head, specials, len(tokenizer), seed=1)
    assert base.num_parameters() > 100e6
    save(base, tokenizer, tmp_path / "base")
    adapters = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"], "target_parameters": EXPERTS}
    recipe = {"objective": "causal", "method": "qlora", "lora": adapters, "learning_rate": 2e-3, "epochs": 6}
    spec = {**settings(None, **recipe), "checkpoint": "base"}
    places = [f"--{name}={tmp_path / name}" for name in ("data", "tokens", "tokenizer")]
    places += [
        f"--checkpoint={tmp_path / 'base'}",
        f"--model={tmp_path / 'model'}",
        f"--record={tmp_path / 'run.json'}",
    ]
    places += [f"--training-log={tmp_path / 'log.tsv'}", f"--scratch={tmp_path / 'scratch'}", "--device=cuda"]
    assert call(monkeypatch, "finetune.py", *places, spec=spec) == 0
    record, log = json.loads((tmp_path / "run.json").read_text()), pd.read_csv(tmp_path / "log.tsv", sep="\t")
    assert record["quantisation"]["quantised"] == 8 * 4 * 256 * 256
    assert log["validation_loss"].min() < 0.985 * np.log(len(tokenizer))  # a model that knows nothing has about this
    reloaded = FinishedModel.open(tmp_path / "model", "cuda")
    held_out = tables["validation"]
    scores, _ = reloaded.score(in_memory(tokenizer, held_out["sequence"].tolist()), held_out["id"].tolist(), "error")
    found = objective.quality(scores, None)
    # a token may go to another expert where two are nearly equal
    assert close(found["bits_per_base"], log["bits_per_base"].min(), 1e-3)
    assert close(found["loss"], log["validation_loss"].min(), 1e-3)
