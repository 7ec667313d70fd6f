"""Tokenized records on disk: one long array of token ids and the offsets of the records in it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.training.vocabulary import kmer_of, spell

BATCH = 4096
"""Records tokenized at a time."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n records, without special tokens and uncut.

    ids: (total,) unsigned; offsets: (n + 1,) int64; record i is `ids[offsets[i]:offsets[i + 1]]`.
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each record, shape (n,)."""
        return np.diff(self.offsets)


def read_tokens(directory: Path | str, split: str) -> Tokens:
    """Map `{split}.ids.npy` and `{split}.offsets.npy` into memory."""
    ids, offsets = (Path(directory) / f"{split}.{part}.npy" for part in ("ids", "offsets"))
    for path in (ids, offsets):
        if not path.is_file():
            raise UserError(f"{path}: no such file; tokenize the {split} records first")
    try:
        return Tokens(np.load(ids, mmap_mode="r"), np.load(offsets))
    except (ValueError, EOFError) as error:
        raise UserError(f"{ids}: damaged token file ({error})") from error


def id_type(tokenizer: Any) -> np.dtype[Any]:
    """The smallest unsigned type that holds every token id."""
    return np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32)


def encode(tokenizer: Any, sequences: list[str]) -> Iterator[NDArray[Any]]:
    """Token ids of each sequence, upper-cased, without special tokens and uncut."""
    dtype = id_type(tokenizer)
    text = spell([sequence.upper() for sequence in sequences], kmer_of(tokenizer))
    lists = tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return (np.asarray(ids, dtype=dtype) for ids in lists)


def tokenize(tokenizer: Any, batches: Iterable[tuple[list[str], list[str]]], ids_path: Path) -> tuple[Any, Any]:
    """Write the token ids of records to `ids_path` (.npy) as they come; return offsets (n + 1,) and counts.

    batches: (record ids, sequences). Memory holds one batch and the offsets. counts: records, tokens, unknown_tokens,
    records_with_unknown, and quantiles of the tokens a record. A record that yields no token, or a tokenizer that
    knows less than half of the tokens, is a `UserError`.
    """
    dtype = id_type(tokenizer)
    unknown = tokenizer.unk_token_id
    lengths: list[NDArray[np.int64]] = []
    counts = {"records": 0, "tokens": 0, "unknown_tokens": 0, "records_with_unknown": 0}
    with open(ids_path, "wb") as stream:
        _header(stream, dtype, 0)
        for names, sequences in batches:
            rows = list(encode(tokenizer, sequences))
            size = np.array([len(row) for row in rows], dtype=np.int64)
            if not size.all():
                raise UserError(f"record '{names[int(size.argmin())]}': its sequence yields no tokens")
            flat = np.concatenate(rows)
            flat.tofile(stream)
            lengths.append(size)
            counts["records"] += len(rows)
            counts["tokens"] += len(flat)
            if unknown is not None:
                missed = np.add.reduceat(flat == unknown, np.concatenate([[0], size.cumsum()[:-1]]), dtype=np.int64)
                counts["unknown_tokens"] += int(missed.sum())
                counts["records_with_unknown"] += int((missed > 0).sum())
        stream.seek(0)
        _header(stream, dtype, counts["tokens"])
    if counts["unknown_tokens"] * 2 > counts["tokens"]:
        raise UserError(
            f"{tokenizer.name_or_path}: this tokenizer does not know {counts['unknown_tokens']} of {counts['tokens']} tokens; is it one for DNA?"
        )
    every = np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.int64)
    return np.concatenate([[0], every.cumsum()]), {**counts, "length": quantiles(every)}


def _header(stream: Any, dtype: np.dtype[Any], length: int) -> None:
    # numpy pads this header so that a longer first axis fits in its place
    np.lib.format.write_array_header_1_0(
        stream, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    )


def quantiles(lengths: NDArray[np.int64]) -> dict[str, int]:
    """Smallest, quartiles, 99th percentile and largest of the tokens a record; empty for no records."""
    names = {"min": 0, "q25": 25, "median": 50, "q75": 75, "q99": 99, "max": 100}
    if not len(lengths):
        return {}
    return {name: int(np.percentile(lengths, q, method="lower")) for name, q in names.items()}


def in_memory(tokenizer: Any, sequences: list[str]) -> Tokens:
    """Tokenize sequences without a file."""
    rows = [row for at in range(0, len(sequences), BATCH) for row in encode(tokenizer, sequences[at : at + BATCH])]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    return Tokens(np.concatenate(rows) if rows else np.zeros(0, dtype=id_type(tokenizer)), offsets)
