"""Benchmark of embedding: records a second, from token files to the .npy file, against the bare forward pass."""

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnalm.training.benchmarks.measurements import SPECIALS, VOCABULARY, Lengths, synthesise
from dnalm.training.embedding import Embedder, in_bf16, why_padded, write_vectors
from dnalm.training.engine.devices import choose_device, describe, make_repeatable, quiet, uses_bf16
from dnalm.training.engine.feeds import WIDTH, Examples, pad
from dnalm.training.engine.packing import PackedModel, lay_out
from dnalm.training.engine.windows import cut
from dnalm.training.models.bodies import Body, count_layers, open_body

METHOD = {
    "records_per_second": "records whose vectors are written to the file, over the wall-clock time of all: reading"
    " tokens, batches, forward passes, pooling (mean), copying, writing; after a warm-up of a tenth of the records",
    "forward_records_per_second": "records in one batch of the same size and shape, over the time of a forward pass of"
    " the body on it, repeated, its input on the device; nothing else is done",
    "ratio": "the former over the latter",
    "peak_memory_mb": "peak resident memory of the process (10^6 bytes), with libraries and the model",
}

GENOMIC = Lengths(49, 0.05, 35, 80)
"""Windows of 200 bases, of which a token of GROVER spells 4.07."""


def measure_embedding(
    folder: Path, architecture: Mapping[str, Any], records: int, device: str, repeats: int = 20
) -> dict[str, Any]:
    """The figures of `METHOD` for a model with random weights of an architecture; files are written in `folder`."""
    quiet()
    make_repeatable()
    place = choose_device(device)
    body = open_body(None, architecture, True, SPECIALS, VOCABULARY, seed=1).to(place)
    count = count_layers(body, SPECIALS)
    bf16 = uses_bf16("auto", place)
    if bf16:
        body = in_bf16(body)
    some, every = (_examples(folder, size, name) for name, size in (("some", max(64, records // 10)), ("all", records)))
    reason = why_padded(body, every)
    embedder = Embedder(body, count, [count - 1], ["mean"], packed=reason is None)
    seconds = 0.0
    for examples in (some, every):
        _wait(place)
        began = time.perf_counter()
        write_vectors(folder / "vectors.npy", embedder.vectors(examples), len(examples), embedder.shape)
        seconds = time.perf_counter() - began
    rate = len(every) / seconds
    forward = _forward_rate(body, embedder, every, place, repeats)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "records": records,
        "tokens_a_record": float(every.lengths.mean()),
        "device": describe(place),
        "precision": "bf16" if bf16 else "fp32",
        "batches": "packed" if reason is None else f"padded ({reason})",
        "seconds": seconds,
        "records_per_second": rate,
        "forward_records_per_second": forward,
        "ratio": rate / forward,
        "peak_memory_mb": round((most if sys.platform == "darwin" else most * 1024) / 1e6),
    }


def _examples(folder: Path, records: int, name: str) -> Examples:
    tokens, _ = synthesise(folder / name, records, 1, "train", VOCABULARY, GENOMIC)
    return Examples(tokens, cut(tokens.lengths, 510, "error", []), SPECIALS)


def _forward_rate(body: Body, embedder: Embedder, examples: Examples, device: torch.device, repeats: int) -> float:
    """Records a second of the forward pass alone, on one batch as the embedder makes them."""
    packed = embedder._packed is not None
    room = int(np.searchsorted(examples.lengths.cumsum(), embedder.most_tokens, side="right"))
    if not packed:
        room = embedder.most_tokens // (-(-int(examples.lengths.max()) // WIDTH) * WIDTH)
    rows = np.arange(max(1, min(room, len(examples))))
    ids, lengths = examples.flat(rows)
    if packed:
        size = -(-len(ids) // 64) * 64
        inputs = lay_out(ids, lengths, size, len(rows) + 1, int(lengths.max()), SPECIALS.pad)
    else:
        inputs = pad(ids, lengths, SPECIALS.pad, WIDTH)
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    model = PackedModel(body) if packed else None

    def forward() -> None:
        model.body_outputs(inputs) if model is not None else body.body(**inputs)

    with torch.no_grad():
        for _ in range(3):
            forward()
        _wait(device)
        began = time.perf_counter()
        for _ in range(repeats):
            forward()
        _wait(device)
    return repeats * len(rows) / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
