"""Embeddings against transformers by hand; batches, windows, files and memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from closeness import close
from small_models import TINY, call, error_line, records, small_tokenizer, tokens_of, write_task
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from dnalm.config.stages.training import EmbedSettings
from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.training import embedding
from dnalm.training.embedding import Embedder, chosen_layers, write_vectors
from dnalm.training.embedding_files import embed_split, read_vectors, select
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.parity import prove
from dnalm.training.engine.windows import cut
from dnalm.training.maps import coordinates, map_table
from dnalm.training.models.bodies import count_layers, open_body
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import specials_of

LAYERS = 2
SMALL = {**TINY, "num_hidden_layers": LAYERS}
ARCHITECTURES = {
    "bert": {},
    "modernbert": {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "llama": {"num_key_value_heads": 1},
    "mixtral": {"num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 1},
}
POOLINGS = ["mean", "max", "cls", "last"]
TOKENIZER = small_tokenizer()
SPECIALS = specials_of(TOKENIZER)
RANDOM = np.random.default_rng(5)
SEQUENCES = ["".join(RANDOM.choice(list("ACGT"), size)) for size in RANDOM.integers(4, 60, 30)]


def body_of(kind):
    return open_body(None, {**SMALL, "model_type": kind, **ARCHITECTURES[kind]}, True, SPECIALS, len(TOKENIZER), seed=2)


def embed(body, tokens, size=62, overlong="window", poolings=POOLINGS, packed=False, most_tokens=None):
    windows = cut(tokens.lengths, size, overlong, [f"r{i}" for i in range(len(tokens))])
    embedder = Embedder(body, LAYERS + 1, range(LAYERS + 1), poolings, packed)
    embedder.most_tokens = most_tokens or embedder.most_tokens
    return np.concatenate([chunk.copy() for chunk in embedder.vectors(Examples(tokens, windows, SPECIALS))])


def by_hand(model, ids):
    """Layers x poolings x hidden of one sequence, alone and without padding."""
    row = torch.tensor([[*SPECIALS.prefix, *map(int, ids), *SPECIALS.suffix]])
    with torch.no_grad():
        found = model(input_ids=row, attention_mask=torch.ones_like(row), output_hidden_states=True)
    assert torch.equal(found.hidden_states[-1], found.last_hidden_state)
    assert len(found.hidden_states) == LAYERS + 1
    ways = []
    for states in found.hidden_states:
        real = states[0, len(SPECIALS.prefix) : row.shape[1] - len(SPECIALS.suffix)]
        ways.append(torch.stack([real.mean(0), real.max(0).values, states[0, 0], real[-1]]))
    return torch.stack(ways).numpy()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_vectors_are_those_of_transformers(kind, tmp_path):
    """Of a checkpoint saved with a head; in any batches, also in packed rows."""
    settings = {**SMALL, **ARCHITECTURES[kind], "model_type": kind, "vocab_size": len(TOKENIZER), "pad_token_id": 0}
    torch.manual_seed(4)
    AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**settings)).save_pretrained(tmp_path)
    body = open_body(tmp_path, None, False, SPECIALS, len(TOKENIZER), seed=0)
    assert count_layers(body, SPECIALS) == LAYERS + 1
    tokens = in_memory(TOKENIZER, SEQUENCES)
    model = AutoModel.from_pretrained(tmp_path).eval()
    expected = np.stack([by_hand(model, ids) for ids in np.split(tokens.ids, tokens.offsets[1:-1])])
    found = embed(body, tokens)
    assert found.shape == (len(SEQUENCES), LAYERS + 1, len(POOLINGS), 32) and found.dtype == np.float32
    assert close(found, expected, 1e-5)
    for most in (1, 100, 10_000):
        assert close(embed(body, tokens, most_tokens=most), found, 1e-5)
    for names, columns in ((["last", "max"], [3, 1]), (["max"], [1]), (["cls"], [2])):
        assert close(embed(body, tokens, poolings=names), found[:, :, columns], 1e-5)
    windows = cut(tokens.lengths, 62, "window", SEQUENCES)
    assert prove(body, Examples(tokens, windows, SPECIALS), torch.device("cpu"), None) is None
    assert close(embed(body, tokens, packed=True, most_tokens=130), found, 1e-5)


def test_windows_of_a_long_record_are_averaged_by_their_tokens():
    body = body_of("bert")
    ids = [RANDOM.integers(5, 40, size).tolist() for size in (25, 7, 11)]
    size = 10
    found = embed(body, tokens_of(ids), size)
    assert cut(np.array([25, 7, 11]), size, "window", "abc").parts.tolist() == [3, 3, 3, 1, 2, 2]
    cuts = [[(0, 10), (7, 17), (15, 25)], [(0, 7)], [(0, 10), (1, 11)]]
    for record, places in enumerate(cuts):
        parts = np.stack([by_hand(body.body, ids[record][start:stop]) for start, stop in places])
        sizes = np.array([stop - start for start, stop in places], dtype=float)
        assert close(found[record][:, [0, 2, 3]], np.average(parts, axis=0, weights=sizes)[:, [0, 2, 3]], 1e-5)
        assert close(found[record][:, 1], parts.max(axis=0)[:, 1], 1e-5)
    assert close(embed(body, tokens_of(ids), size, "truncate"), [by_hand(body.body, row[:size]) for row in ids], 1e-5)
    dropped = embed(body, tokens_of(ids), size, "drop")
    assert np.isnan(dropped[[0, 2]]).all() and np.allclose(dropped[1], found[1])


def test_states_that_are_no_numbers_are_an_error():
    body = body_of("bert")
    body.body.encoder.layer[1].output.dense.bias[3] = float("nan")
    with pytest.raises(UserError, match="hidden states are not all numbers"):
        embed(body, tokens_of([[5, 6, 7]]))


def test_layers_count_from_either_end():
    assert chosen_layers("all", 3) == [0, 1, 2] and chosen_layers([-1, 0, 2, -3], 3) == [0, 2]
    for wrong in (3, -4):
        with pytest.raises(UserError, match=rf"layers: {wrong} is not .* has 3: 0, the embedding of tokens, to 2"):
            chosen_layers([0, wrong], 3)


def test_a_body_must_be_whole(tmp_path):
    from safetensors.torch import load_file, save_file

    body_of("bert").body.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("encoder.layer.0.output.dense.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack encoder.layer.0.output.dense.weight"):
        open_body(tmp_path, None, False, SPECIALS, len(TOKENIZER), 0)
    with pytest.raises(UserError, match="an encoder and a decoder"):
        open_body(None, {"model_type": "t5", "d_model": 16, "num_layers": 1}, True, SPECIALS, len(TOKENIZER), 0)


def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_a_large_split_is_streamed(monkeypatch, tmp_path):
    """The file is several times what the memory grows by, and the chunks are those of one."""
    body = body_of("bert")
    tokens = tokens_of(RANDOM.integers(5, 40, (25_000, 3)).tolist())
    examples = Examples(tokens, cut(tokens.lengths, 62, "window", []), SPECIALS)
    monkeypatch.setattr(embedding, "CHUNK", 2**20)
    embedder = Embedder(body, LAYERS + 1, range(LAYERS + 1), POOLINGS, packed=False)
    next(embedder.vectors(examples))
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak()
    write_vectors(tmp_path / "v.npy", embedder.vectors(examples), len(tokens), embedder.shape)
    grown, size = peak() - before, (tmp_path / "v.npy").stat().st_size
    assert size > 35e6 and grown < size / 2, (grown, size)
    written = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert written.shape == (25_000, 3, 4, 32)
    some = [0, 681, 682, 683, 24_999]
    alone = embed(body, tokens_of([tokens.ids[3 * i : 3 * i + 3].tolist() for i in some]))
    assert close(written[some], alone, 1e-5)


SPEC = {
    "dataset": "d", "model": "m", "split": "test", "architecture": {**SMALL}, "checkpoint": None, "seed": 1,
    "max_tokens": 20, "pooling": ["max", "mean"], "layers": [0, -1], "overlong": "drop",
}  # fmt: skip


def test_files_hold_ids_and_counts(monkeypatch, capsys, tmp_path):
    """By the scripts: stored vectors, one entry of the config, and its map; a record too long is left out."""
    write_task(tmp_path)
    table = pd.concat([records(12, 7, 30), records(1, 8, 500).assign(id="long")], ignore_index=True)
    table.to_parquet(tmp_path / "data/test.parquet")
    tokens = in_memory(_tokenizer(tmp_path), table["sequence"].tolist())
    np.save(tmp_path / "tokens/test.ids.npy", tokens.ids)
    np.save(tmp_path / "tokens/test.offsets.npy", tokens.offsets)
    options = ("--table", tmp_path / "data/test.parquet", "--tokens", tmp_path / "tokens", "--tokenizer", tmp_path / "tokenizer")  # fmt: skip
    written = ("--vectors", tmp_path / "v/test.npy", "--record", tmp_path / "v/test.json")
    assert call(monkeypatch, "embed.py", *options, "--device", "cpu", *written, spec=SPEC) == 0
    stored = read_vectors(tmp_path / "v/test")
    assert stored.facts["counts"] == {"records": 13, "overlong": 1, "dropped": 1, "windows": 12, "truncated": 0, "unknown_tokens": 0}  # fmt: skip
    assert stored.facts["layers"] == [0, 2] and stored.values.shape == (13, 2, 2, 32)

    chosen = {"name": "mine", "pooling": ["mean"], "layers": [-1]}
    made = {key: tmp_path / f"mine/test.{kind}" for key, kind in (("output", "npy"), ("parquet", "parquet"), ("record", "json"))}  # fmt: skip
    more = [word for key, path in made.items() for word in (f"--{key}", path)]
    assert call(monkeypatch, "select_embeddings.py", *options[:2], "--vectors", tmp_path / "v/test.npy", *more, spec=chosen) == 0  # fmt: skip
    values, rows = np.load(made["output"]), pq.read_table(made["parquet"])
    assert rows.column_names == ["id", "mean_layer2"] and rows["id"].to_pylist() == table["id"].tolist()[:-1]
    assert str(rows.schema.field("mean_layer2").type) == "fixed_size_list<element: float>[32]"
    assert np.array_equal(np.stack(rows["mean_layer2"].to_numpy()), values[:, 0, 0])
    assert np.array_equal(values[:, 0, 0], stored.values[:12, 1, 1])
    assert read_json(made["record"])["counts"]["dropped"] == 1

    drawn = {"name": "mine", "dataset": "d", "model": "m", "splits": ["test"], "map": "pca"}
    places = ("--data", tmp_path / "data", "--vectors", tmp_path / "mine", "--output", tmp_path / "map.tsv")
    assert call(monkeypatch, "map_embeddings.py", *places, "--record", tmp_path / "map.json", spec=drawn) == 0
    points = pd.read_csv(tmp_path / "map.tsv", sep="\t")
    assert (
        points.columns.tolist() == ["id", "split", "label", "x", "y"]
        and points["id"].tolist() == rows["id"].to_pylist()
    )
    assert read_json(tmp_path / "map.json")["column"] == "mean_layer2"
    capsys.readouterr()
    assert call(monkeypatch, "embed.py", *options, "--device", "cpu", *written, spec=SPEC | {"layers": [5]}) == 1
    assert "layers: 5 is not a layer of this model, which has 3" in error_line(capsys)
    assert call(monkeypatch, "embed.py", *options, "--device", "cpu", *written, spec=SPEC | {"overlong": "error"}) == 1
    assert "the first is 'long'" in error_line(capsys)


def _tokenizer(root):
    from dnalm.training.models.tokenizers import load_tokenizer

    return load_tokenizer(root / "tokenizer")


def test_random_weights_are_those_of_the_seed(tmp_path):
    write_task(tmp_path)
    found = []
    for seed in (1, 1, 2):
        spec = EmbedSettings(**SPEC | {"seed": seed, "overlong": "window"})
        place = tmp_path / "v"
        embed_split(spec, tmp_path / "data/test.parquet", tmp_path / "tokens", tmp_path / "tokenizer", None, "cpu",
                    place / "t.npy", place / "t.json")  # fmt: skip
        found.append((place / "t.npy").read_bytes())
    assert found[0] == found[1] != found[2]


def test_selecting_from_another_table_is_an_error(tmp_path):
    test_random_weights_are_those_of_the_seed(tmp_path)
    stored = read_vectors(tmp_path / "v/t")
    with pytest.raises(UserError, match="has 40 records, and the stored vectors 24"):
        select(stored, tmp_path / "data/validation.parquet", [0], ["mean"], tmp_path / "a.npy", tmp_path / "a.parquet")


def test_a_map_by_principal_components():
    """Two separate clouds lie apart on the first component, which holds their distance's variance."""
    vectors = RANDOM.normal(size=(200, 6))
    vectors[:100] += 20
    placed, facts = coordinates(vectors, "pca")
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    assert close(np.abs(placed), np.abs(centred @ axes[:, :-3:-1]), 1e-9)
    assert close(facts["explained"], values[:-3:-1] / values.sum(), 1e-5)
    again, _ = map_table([vectors[:100], vectors[100:]], [pd.DataFrame({"id": range(100)})] * 2, ["a", "b"], "pca")
    assert again["split"].tolist() == ["a"] * 100 + ["b"] * 100 and np.array_equal(again["x"], placed[:, 0])
    with pytest.raises(UserError, match="a map needs 3 records"):
        coordinates(vectors[:2], "pca")


def test_umap_is_optional(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(UserError, match="umap needs the package umap-learn, which is not installed"):
        coordinates(np.eye(20), "umap")
