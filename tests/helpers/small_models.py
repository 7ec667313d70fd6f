"""Small records, tokenizers and checkpoints that the tests of the training wing share."""

import io
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from script_runs import path_of

from dnalm.sequence.alphabet import reverse_complement
from dnalm.tables.tokens import Tokens
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import bases_per_token, specials_of, train_bpe

TINY = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def random_dna(random, length):
    return "".join(random.choice(list("ACGT"), size=length))


def records(count, seed, length=60):
    """Half random sequences (label 0), half a tandem array of ACGGT with substitutions (label 1)."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        sequence = random_dna(random, length)
        if i % 2:
            array = ("ACGGT" * length)[i % 5 :]
            sequence = "".join(
                a if keep else b for a, b, keep in zip(array, sequence, random.random(length) < 0.9, strict=False)
            )
        rows.append({"id": f"r{seed}-{i}", "sequence": sequence, "label": i % 2})
    return pd.DataFrame(rows)


def small_tokenizer(vocabulary=40, seed=1):
    return train_bpe(records(200, seed)["sequence"], vocabulary)


def write_tokens(directory, split, tokens):
    directory.mkdir(parents=True, exist_ok=True)
    np.save(directory / f"{split}.ids.npy", tokens.ids)
    np.save(directory / f"{split}.offsets.npy", tokens.offsets)


def write_task(root, sizes=None, vocabulary=40, length=60, tokenizer=None):
    """Tables, tokens and a tokenizer (or the one given) of the task above under `root`; return the tokenizer."""
    sizes = sizes or {"train": 96, "validation": 40, "test": 24}
    tables = {split: records(n, seed, length) for seed, (split, n) in enumerate(sizes.items())}
    tokenizer = tokenizer or train_bpe(tables["train"]["sequence"], vocabulary)
    tokenizer.save_pretrained(root / "tokenizer")
    (root / "data").mkdir(parents=True)
    for split, table in tables.items():
        table.to_parquet(root / "data" / f"{split}.parquet", index=False)
        write_tokens(root / "tokens", split, in_memory(tokenizer, table["sequence"].tolist()))
    other = [reverse_complement(s) for s in tables["train"]["sequence"]]
    write_tokens(root / "tokens", "train_reverse", in_memory(tokenizer, other))
    return tokenizer


def write_corpus(root, sizes, tokenizer, length=60, soft=0.3):
    """Tables and tokens of a corpus under `root`: random DNA with copies of a motif, some soft-masked; return the tables."""
    tables = {}
    (root / "data").mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(root / "tokenizer")
    for seed, (split, count) in enumerate(sizes.items()):
        random = np.random.default_rng([seed, 7])
        rows, masks = [], []
        for i in range(count):
            sequence = random_dna(random, length)
            at = int(random.integers(length - 12))
            sequence = sequence[:at] + "ACGGTACGGTTT" + sequence[at + 12 :]
            mask = np.zeros(length, dtype=bool)
            if random.random() < soft:
                mask[at : at + 12] = True
            masks.append(mask)
            intervals = [at, at + 12] if mask.any() else []
            rows.append(
                {"id": f"chr1:{seed}{i:05}", "sequence": sequence, "group": f"chr1:{i // 2}", "soft_masked": intervals}
            )
        tables[split] = pd.DataFrame(rows)
        tables[split].to_parquet(root / "data" / f"{split}.parquet", index=False)
        tokens = in_memory(tokenizer, tables[split]["sequence"].tolist())
        write_tokens(root / "tokens", split, tokens)
        bases = bases_per_token(tokenizer)[tokens.ids]
        ends = bases.cumsum()
        inside = np.concatenate([[0], np.concatenate(masks).cumsum()])
        np.save(root / "tokens" / f"{split}.soft_masked.npy", (inside[ends] - inside[ends - bases]).astype(np.uint8))
    return tables


def settings(architecture=TINY, **recipe):
    return {
        "recipe": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 16, **recipe},
        "seed": 1,
        "architecture": architecture,
        "checkpoint": None,
        "max_tokens": None,
        "labels": None,
    }


def masked_lm_checkpoint(directory, tokenizer, trained, seed=0):
    """A tiny BertForMaskedLM; a `trained` one knows the frequencies of tokens, the other nothing."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(**TINY, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    model = AutoModelForMaskedLM.from_config(config)
    if trained:
        counts = np.bincount(in_memory(tokenizer, records(200, 1)["sequence"].tolist()).ids, minlength=len(tokenizer))
        with torch.no_grad():
            model.cls.predictions.bias.copy_(torch.from_numpy(np.log((counts + 0.1) / counts.sum())))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def classifier_checkpoint(directory, tokenizer, labels=None, **changes):
    """A finished, tiny, random classifier."""
    from dnalm.training.models.loading import build, save
    from dnalm.training.objectives.classification import Classification

    head = Classification(labels or {0: "no", 1: "yes"}).head
    model = build({**TINY, **changes}, head, specials_of(tokenizer), len(tokenizer), seed=3)
    Path(directory).mkdir(parents=True, exist_ok=True)
    save(model, tokenizer, Path(directory))
    return directory


def tokens_of(lists):
    """Tokens of the given id lists."""
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in lists], dtype=np.int64)])
    return Tokens(np.array([i for ids in lists for i in ids], dtype=np.uint16), offsets)


def call(monkeypatch, script, *arguments, spec=None):
    """Run a script's main in this process; return its exit status (0 if it returns)."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    if spec is not None:
        monkeypatch.setattr(sys, "argv", [script, "--spec", "-", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(spec)))
    try:
        runpy.run_path(str(path_of(script)), run_name="__main__")
    except SystemExit as leaving:
        return leaving.code
    return 0


def error_line(capsys):
    """The last line of standard error, which must be the only trace of a failure."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]
