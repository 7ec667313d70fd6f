"""Tokenized records on disk: one long array of token ids and the offsets of the records in it."""

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.training.encoding import Encoder, encode_batches, id_type

BATCH = 1024
"""Records tokenized at a time."""

_CHUNK = 2**22
"""Token ids looked at together: 8 MiB of the usual 16 bits each."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n records, without special tokens and uncut.

    ids: (total,) unsigned; offsets: (n + 1,) int64; record i is `ids[offsets[i]:offsets[i + 1]]`. Both may be mapped
    files. The pages of such a file that a process has read count as its memory (VmRSS, VmHWM; the system may take them
    back at any time, and reads them again from its cache), so that reading all of it would seem to take as much memory
    as the file is long: `take`, `count` and `lengths` hand the pages back.
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[Any]:
        """Tokens of each record, shape (n,), int32 unless one is longer than that can say."""
        lengths = np.empty(len(self), dtype=np.int32)
        for at in range(0, len(self), _CHUNK):
            part = np.diff(self.offsets[at : at + _CHUNK + 1])
            if part.max() > np.iinfo(np.int32).max:
                return np.diff(self.offsets)
            lengths[at : at + _CHUNK] = part
            _hand_back(self.offsets)
        return lengths

    def take(self, places: NDArray[Any]) -> NDArray[Any]:
        """The ids at `places`, as a copy of the same shape."""
        found: NDArray[Any] = np.asarray(self.ids)[places]
        _hand_back(self.ids)
        return found

    def count(self, token: int) -> int:
        """How often an id occurs."""
        number = 0
        for at in range(0, len(self.ids), _CHUNK):
            number += int(np.count_nonzero(self.ids[at : at + _CHUNK] == token))
            _hand_back(self.ids)
        return number


def _hand_back(array: NDArray[Any]) -> None:
    # safe for a file mapped to read: its pages are the file's own and come back at the next use
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


def read_tokens(directory: Path | str, split: str) -> Tokens:
    """Map `{split}.ids.npy` and `{split}.offsets.npy` into memory, to read."""
    arrays = []
    for part in ("ids", "offsets"):
        path = Path(directory) / f"{split}.{part}.npy"
        if not path.is_file():
            raise UserError(f"{path}: no such file; tokenize the {split} records first")
        try:
            arrays.append(np.load(path, mmap_mode="r"))
        except (ValueError, EOFError) as error:
            raise UserError(f"{path}: damaged token file ({error})") from error
    tokens = Tokens(*arrays)
    if not len(tokens.offsets) or tokens.offsets[-1] != len(tokens.ids):
        raise UserError(f"{directory}: the {split} ids and offsets do not belong together; tokenize the records again")
    return tokens


def tokenize(
    tokenizer: Any, batches: Iterable[tuple[list[str], list[str]]], ids_path: Path, processes: int = 1
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Write the token ids of records to `ids_path` (.npy) as they come; return offsets (n + 1,) and counts.

    batches: (record ids, sequences). Memory holds a few batches for each process and the offsets; what is written does
    not depend on the number of processes. counts: records, tokens, unknown_tokens, records_with_unknown, and quantiles
    of the tokens a record. A record that yields no token, or a tokenizer that knows less than half of the tokens, is a
    `UserError`.
    """
    dtype = id_type(tokenizer)
    unknown = tokenizer.unk_token_id
    lengths: list[NDArray[np.int64]] = []
    counts = {"records": 0, "tokens": 0, "unknown_tokens": 0, "records_with_unknown": 0}
    with open(ids_path, "wb") as stream:
        _header(stream, dtype, 0)
        for names, (ids, sizes) in encode_batches(tokenizer, batches, processes):
            if not sizes.all():
                raise UserError(f"record '{names[int(sizes.argmin())]}': its sequence yields no tokens")
            ids.tofile(stream)
            lengths.append(sizes)
            counts["records"] += len(sizes)
            counts["tokens"] += len(ids)
            if unknown is not None:
                missed = np.add.reduceat(ids == unknown, sizes.cumsum() - sizes, dtype=np.int64)
                counts["unknown_tokens"] += int(missed.sum())
                counts["records_with_unknown"] += int((missed > 0).sum())
        stream.seek(0)
        _header(stream, dtype, counts["tokens"])
    if counts["unknown_tokens"] * 2 > counts["tokens"]:
        raise UserError(
            f"{tokenizer.name_or_path}: this tokenizer does not know {counts['unknown_tokens']} of {counts['tokens']} tokens; is it one for DNA?"
        )
    every = np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.int64)
    return _offsets(every), {**counts, "length": quantiles(every)}


def _header(stream: Any, dtype: np.dtype[Any], length: int) -> None:
    # numpy pads this header so that a longer first axis fits in its place
    np.lib.format.write_array_header_1_0(
        stream, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    )


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], lengths.cumsum()])


def quantiles(lengths: NDArray[np.int64]) -> dict[str, int]:
    """Smallest, quartiles, 99th percentile and largest of the tokens a record; empty for no records."""
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
