"""Tokenize records, streamed into a file or in memory."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens
from dnalm.training.models.encoding import Encoder, encode_batches, id_type

BATCH = 1024
"""Records tokenized at a time."""


def tokenize(
    tokenizer: Any,
    batches: Iterable[tuple[list[str], list[str]]],
    ids_path: Path,
    processes: int = 1,
    soft_path: Path | None = None,
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Stream the token ids of records into `ids_path` (.npy); return offsets (n + 1,) and counts.

    batches: (record ids, sequences). soft_path: where to write, as uint8, how many lower-case letters each token has
    (.npy). Memory holds a few batches per process, and the offsets; the result does not
    depend on the number of processes. counts: records, tokens, unknown_tokens, records_with_unknown, and quantiles of
    tokens per record. Raises `UserError` for a record without tokens, or if most tokens are unknown.
    """
    dtype = id_type(tokenizer)
    unknown = tokenizer.unk_token_id
    lengths: list[NDArray[np.int64]] = []
    counts = {"records": 0, "tokens": 0, "unknown_tokens": 0, "records_with_unknown": 0}
    with ExitStack() as stack:
        stream = stack.enter_context(open(ids_path, "wb"))
        masked = stack.enter_context(open(soft_path, "wb")) if soft_path else None
        _header(stream, dtype, 0)
        if masked:
            _header(masked, np.dtype(np.uint8), 0)
        for names, (ids, sizes), soft in encode_batches(tokenizer, batches, processes, masked is not None):
            if not sizes.all():
                raise UserError(f"record '{names[int(sizes.argmin())]}': its sequence yields no tokens")
            ids.tofile(stream)
            if masked and soft is not None:
                soft.tofile(masked)
            lengths.append(sizes)
            counts["records"] += len(sizes)
            counts["tokens"] += len(ids)
            if unknown is not None:
                missed = np.add.reduceat(ids == unknown, sizes.cumsum() - sizes, dtype=np.int64)
                counts["unknown_tokens"] += int(missed.sum())
                counts["records_with_unknown"] += int((missed > 0).sum())
        for file, kind in ((stream, dtype), (masked, np.dtype(np.uint8))):
            if file:
                file.seek(0)
                _header(file, kind, counts["tokens"])
    if counts["unknown_tokens"] * 2 > counts["tokens"]:
        raise UserError(
            f"{tokenizer.name_or_path}: {counts['unknown_tokens']} of {counts['tokens']} tokens are unknown to this"
            " tokenizer; is it one for DNA?"
        )
    every = np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.int64)
    return _offsets(every), {**counts, "length": quantiles(every)}


def _header(stream: Any, dtype: np.dtype[Any], length: int) -> None:
    # numpy pads this header so that it can be overwritten with a longer first axis
    np.lib.format.write_array_header_1_0(
        stream, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    )


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], lengths.cumsum()])


def quantiles(lengths: NDArray[np.int64]) -> dict[str, int]:
    """Minimum, quartiles, 99th percentile and maximum of tokens per record; empty for no records."""
    names = {"min": 0, "q25": 25, "median": 50, "q75": 75, "q99": 99, "max": 100}
    if not len(lengths):
        return {}
    return {name: int(np.percentile(lengths, q, method="lower")) for name, q in names.items()}


def in_memory(tokenizer: Any, sequences: list[str]) -> Tokens:
    """Tokenize sequences without a file."""
    encoder = Encoder(tokenizer)
    parts = [encoder(sequences[at : at + BATCH]) for at in range(0, len(sequences), BATCH)]
    ids, sizes = zip(*parts, strict=True) if parts else ([np.zeros(0, encoder.dtype)], [np.zeros(0, np.int64)])
    return Tokens(np.concatenate(ids), _offsets(np.concatenate(sizes)))
