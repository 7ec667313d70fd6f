"""Tokenized records on disk: one long array of token ids and the offsets of the records in it."""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError

_CHUNK = 2**22
"""Token ids read together: 8 MiB at the usual 16 bits each."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n records, without special tokens and not truncated.

    A record is one or more segments (a pair has two; a prompt, a sequence and an answer are three). ids: (total,)
    unsigned; offsets: (n * segments + 1,) int64; segment s of record i is `ids[offsets[j]:offsets[j + 1]]` with
    j = i * segments + s. soft_masked: (total,), how many of a token's bases are soft-masked (255 for more); None if the
    table doesn't say.

    All may be memory-mapped. Pages of a mapped file that a process has read count as its resident memory (VmRSS,
    VmHWM), although the system can reclaim them at any time; `take`, `count` and `lengths` release them, so that
    reading a whole file does not look like using that much memory.
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]
    segments: int = 1
    soft_masked: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        """Number of records."""
        return (len(self.offsets) - 1) // self.segments

    @property
    def lengths(self) -> NDArray[Any]:
        """Tokens of each segment, shape (n * segments,); int32, or int64 if one is too long for that."""
        count = len(self.offsets) - 1
        lengths = np.empty(count, dtype=np.int32)
        for at in range(0, count, _CHUNK):
            part = np.diff(self.offsets[at : at + _CHUNK + 1])
            if part.max() > np.iinfo(np.int32).max:
                return np.diff(self.offsets)
            lengths[at : at + _CHUNK] = part
            _hand_back(self.offsets)
        return lengths

    def lengths_of(self, segment: int) -> NDArray[Any]:
        """Tokens of one segment of each record, shape (n,)."""
        lengths: NDArray[Any] = self.lengths[segment :: self.segments]
        return lengths

    def starts(self, records: NDArray[Any], segment: int) -> NDArray[np.int64]:
        """Where a segment of each of `records` begins in `ids`, the shape of `records`."""
        places = np.asarray(records, dtype=np.int64) * self.segments + segment
        found: NDArray[np.int64] = self.offsets[places]
        return found

    def take(self, places: NDArray[Any]) -> NDArray[Any]:
        """The ids at `places`, as a copy of the same shape."""
        return _at(self.ids, places)

    def take_soft_masked(self, places: NDArray[Any]) -> NDArray[Any]:
        """The soft-masked bases of the tokens at `places`, as a copy of the same shape; 0 if that is not known."""
        if self.soft_masked is None:
            return np.zeros(places.shape, dtype=np.uint8)
        return _at(self.soft_masked, places)

    def count(self, token: int) -> int:
        """How often an id occurs."""
        number = 0
        for at in range(0, len(self.ids), _CHUNK):
            number += int(np.count_nonzero(self.ids[at : at + _CHUNK] == token))
            _hand_back(self.ids)
        return number


def _at(array: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.asarray(array)[places]
    _hand_back(array)
    return found


def _hand_back(array: NDArray[Any]) -> None:
    # safe for a file mapped read-only: its pages are read again at the next use
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


def read_tokens(directory: Path | str, split: str, segments: int = 1) -> Tokens:
    """Map `{split}.ids.npy`, `.offsets.npy` and, if it is there, `.soft_masked.npy` into memory, read-only.

    segments: number a record has.
    """
    arrays: list[Any] = []
    for part in ("ids", "offsets", "soft_masked"):
        path = Path(directory) / f"{split}.{part}.npy"
        if not path.is_file():
            if part == "soft_masked":
                arrays.append(None)
                continue
            raise UserError(f"{path}: no such file; tokenize the {split} records first")
        try:
            arrays.append(np.load(path, mmap_mode="r"))
        except (ValueError, EOFError) as error:
            raise UserError(f"{path}: damaged token file ({error})") from error
    tokens = Tokens(arrays[0], arrays[1], segments, arrays[2])
    complete = len(tokens.offsets) % segments == 1 % segments
    sizes = {len(array) for array in (tokens.ids, tokens.soft_masked) if array is not None}
    if not len(tokens.offsets) or not complete or sizes != {tokens.offsets[-1]}:
        raise UserError(f"{directory}: the {split} ids and offsets do not belong together; tokenize the records again")
    return tokens
