"""Sampling from causal models."""

import numpy as np
import pytest
import torch
from script_runs import run_script
from small_checkpoints import tiny
from small_models import records

from dnalm.errors import UserError
from dnalm.training.generation import Generator, Sampling, letters_of_tokens
from dnalm.training.models.tokenizers import train_bpe

LLAMA = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1,
         "num_hidden_layers": 2, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip


def save(folder, model, vocabulary=40):
    train_bpe(records(200, 1)["sequence"], vocabulary).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def llama(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**LLAMA | changes))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return save(tmp_path_factory.mktemp("llama"), llama())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model that has learnt ACGTACGT... base by base, from any base on, and no end."""
    model = llama(vocab_size=10)
    folder = save(tmp_path_factory.mktemp("fitted"), model, vocabulary=10)
    vocabulary = Generator(folder, "cpu")._tokenizer.get_vocab()
    cycle = [vocabulary[base] for base in "ACGT"]
    rows = torch.tensor([[vocabulary["[CLS]"], *(cycle[(i + j) % 4] for j in range(40))] for i in range(4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def drawn(folder, number=8, batch_size=64, **sampling):
    return list(Generator(folder, "cpu").sample(number, Sampling(**{"length": 30, **sampling}), batch_size))


def test_the_same_sequences_in_any_batch(untrained):
    one, many = (drawn(untrained, 9, size, seed=3, temperature=0.8) for size in (1, 4))
    assert one == many == drawn(untrained, 12, 64, seed=3, temperature=0.8)[:9]
    assert one != drawn(untrained, 9, seed=4, temperature=0.8) and len({found.sequence for found in one}) == 9


def test_length_prefix_and_letters(untrained):
    found = drawn(untrained, 40, length=37, prefix="ACGTA")
    assert all(set(one.sequence) <= set("ACGT") and one.sequence.startswith("ACGTA") for one in found)
    assert {one.end for one in found} == {"length", "end"}
    assert all((len(one.sequence) == 37) if one.end == "length" else (5 <= len(one.sequence) <= 37) for one in found)
    assert all(len(one.sequence) >= 1 for one in drawn(untrained, 40, length=2))
    limited = drawn(untrained, 20, length=500)
    assert {one.end for one in limited} <= {"end", "limit"} and "limit" in {one.end for one in limited}


def test_tokens_are_drawn_by_their_probability(untrained):
    """First tokens of 4,000 sequences against the model's own probabilities; greedy with top-k 1."""
    generator = Generator(untrained, "cpu")
    letters = letters_of_tokens(generator._tokenizer, 40)
    with torch.no_grad():
        logits = generator._model(torch.tensor([generator._start])).logits[0, -1]
    logits[[number for number, text in enumerate(letters) if not text]] = -torch.inf
    expected = torch.softmax(logits / 0.5, 0)
    first = [one.sequence[:1] for one in generator.sample(4000, Sampling(1, temperature=0.5), 1000)]
    for base in "ACGT":
        share = sum(float(expected[number]) for number, text in enumerate(letters) if text[:1] == base)
        assert abs(first.count(base) / 4000 - share) < 4 * np.sqrt(share * (1 - share) / 4000)
    assert len({one.sequence for one in generator.sample(20, Sampling(3, top_k=1), 8)}) == 1


def test_a_model_generates_what_it_has_learnt(fitted):
    for one in drawn(fitted, 12, length=36):
        assert one.sequence in "ACGT" * 12 and one.end == "length"
    assert drawn(fitted, 3, length=12, prefix="GTA")[2].sequence == "GTACGTACGTAC"


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"length": 0}, "--length: 0 is not a positive"),
        ({"temperature": 0}, "--temperature: 0 is not a positive"),
        ({"temperature": float("nan")}, "--temperature: nan is not"),
        ({"top_k": -1}, "--top-k: -1 is negative"),
        ({"top_p": 0}, "--top-p: 0 is not above 0"),
        ({"prefix": "ACGN"}, "--prefix: 'ACGN' is not of the letters"),
        ({"prefix": "A" * 30}, "--prefix: has 30 bases, and --length is 30"),
        ({"prefix": "ACTG" * 80, "length": 900}, r"--prefix: its \d+ tokens fill the model's input of 64"),
        ({"seed": -1}, "--seed: -1 is not in"),
    ],
)
def test_wrong_options(untrained, sampling, message):
    with pytest.raises(UserError, match=message):
        drawn(untrained, **sampling)


def test_only_causal_models_generate(tmp_path):
    masked = save(tmp_path / "masked", tiny("bert", task="MaskedLM"))
    with pytest.raises(UserError, match=r"masked: BertForMaskedLM is an encoder, which fills in masked tokens"):
        Generator(masked, "cpu")
    classifier = save(tmp_path / "classifier", tiny("llama"))
    with pytest.raises(UserError, match=r"classifier: LlamaForSequenceClassification lacks weights .*lm_head"):
        Generator(classifier, "cpu")


def test_the_script_writes_fasta(untrained, tmp_path):
    result = run_script("generate.py", "--model", untrained, "--output", tmp_path / "g.fa", "--number", 5, "--length", 20,
                        "--prefix", "acg", "--device", "cpu")  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "g.fa").read_text().splitlines()
    assert len(lines) == 10 and lines[0].startswith(">generated1 seed=1 end=") and lines[1].startswith("ACG")
    assert "5 sequences: " in result.stderr
    failed = run_script("generate.py", "--model", tmp_path, "--output", tmp_path / "h.fa")
    assert failed.returncode == 1 and "error: " in failed.stderr and not (tmp_path / "h.fa").exists()
