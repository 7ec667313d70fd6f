"""Windows of a genome: read in pieces, filtered, and made into rows of a corpus table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dnalm.config.stages.data import WindowCorpusSettings
from dnalm.data.genomes import read_bases
from dnalm.sequence.alphabet import reverse_complement
from dnalm.tables.corpora import GROUP_BASES, SCHEMA

PIECE = 2**22
"""Bases from the first window of a piece to the last."""

ACROSS, UNKNOWN, SOFT = "across the border of a stretch", "too many unknown letters", "too soft-masked"
SHORT, ELSEWHERE = "shorter than the window", "chromosome in no split"
REASONS = ("", ACROSS, UNKNOWN, SOFT)
"""Why a whole window is dropped, by its code in `Piece.dropped`."""

_EVERY = bytes(range(256))
_UPPER = np.frombuffer(_EVERY.upper(), np.uint8)
_COMPLEMENT = np.frombuffer(
    b"".join(reverse_complement(chr(code)).encode() if code < 128 else bytes([code]) for code in range(256)), np.uint8
)
_IS_LOWER = np.array([97 <= code <= 122 for code in range(256)])
_IS_UNKNOWN = ~np.isin(_UPPER, np.frombuffer(b"ACGT", np.uint8))


@dataclass(frozen=True)
class Piece:
    """Some whole windows of a chromosome: `starts` (n,) ascending; `dropped` (n,): 0 or the place in `REASONS`."""

    starts: NDArray[np.int64]
    dropped: NDArray[np.uint8]
    bases: NDArray[np.uint8]
    window: int

    def rows(self, chosen: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Starts and letters (m, window), case kept, of the windows with these indices, bounded in memory."""
        step = max(1, GROUP_BASES // self.window)
        every = sliding_window_view(self.bases, self.window)
        for at in range(0, len(chosen), step):
            starts = self.starts[chosen[at : at + step]]
            yield starts, every[starts - self.starts[0]]


def number_of_windows(length: int, settings: WindowCorpusSettings) -> tuple[int, int]:
    """Windows that start on a chromosome of `length` bases, and how many of them are whole."""
    return -(-length // settings.stride), max(0, (length - settings.window) // settings.stride + 1)


def pieces(genome: Any, name: str, settings: WindowCorpusSettings, step: int = PIECE) -> Iterator[Piece]:
    """All whole windows of a chromosome, about `step` bases at a time; the windows do not depend on `step`."""
    window, stride = settings.window, settings.stride
    whole = number_of_windows(genome.get_reference_length(name), settings)[1]
    together = max(1, step // stride)
    within = settings.split.method == "stretch"
    for first in range(0, whole, together):
        starts = np.arange(first, min(first + together, whole), dtype=np.int64) * stride
        bases = read_bases(genome, name, int(starts[0]), int(starts[-1]) + window)
        dropped = np.zeros(len(starts), np.uint8)
        places = starts - starts[0]
        dropped[_sums(_IS_LOWER[bases], places, window) > settings.max_soft_masked * window] = REASONS.index(SOFT)
        dropped[_sums(_IS_UNKNOWN[bases], places, window) > settings.max_unknown * window] = REASONS.index(UNKNOWN)
        if within:
            stretch = settings.split.stretch
            dropped[starts // stretch != (starts + window - 1) // stretch] = REASONS.index(ACROSS)
        yield Piece(starts, dropped, bases, window)


def _sums(flags: NDArray[np.bool_], starts: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """Number of set flags in each window, shape (n,)."""
    upto = np.concatenate(([0], np.cumsum(flags, dtype=np.int64)))
    return np.asarray(upto[starts + window] - upto[starts])


def table_rows(
    source: str,
    chrom: str,
    prefix: str,
    starts: NDArray[np.int64],
    letters: NDArray[np.uint8],
    stretch: int,
    strand: str,
) -> pa.Table:
    """Rows of a corpus table. prefix: of ids and groups; letters: (n, window), case kept, of the forward strand."""
    number, window = letters.shape
    if strand == "-":
        letters = _COMPLEMENT[letters[:, ::-1]]
    ends = starts + window
    text = [pa.array(values).cast(pa.string()) for values in (starts, ends, starts // stretch)]
    name = f"{prefix}{chrom}:"
    ids = pc.binary_join_element_wise(name, text[0], "-", text[1], ":-" if strand == "-" else "", "")
    return pa.table(
        {
            "id": ids,
            "sequence": _strings(_UPPER[letters]),
            "group": pc.binary_join_element_wise(name, text[2], ""),
            "source": _repeated(source, number),
            "chrom": _repeated(chrom, number),
            "start": pa.array(starts),
            "end": pa.array(ends),
            "strand": _repeated(strand, number),
            "soft_masked": soft_masked(_IS_LOWER[letters]),
        },
        schema=SCHEMA,
    )


def soft_masked(lower: NDArray[np.bool_]) -> pa.Array:
    """Intervals of set flags of each row, (n, length), as the column `soft_masked`."""
    padded = np.zeros((len(lower), lower.shape[1] + 2), np.int8)
    padded[:, 1:-1] = lower
    rows, places = np.nonzero(np.diff(padded, axis=1))  # row by row: start, end, start, end ...
    offsets = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(lower)))))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(places, pa.int32()))


def _strings(letters: NDArray[np.uint8]) -> pa.Array:
    number, length = letters.shape
    offsets = np.arange(number + 1, dtype=np.int32) * np.int32(length)
    return pa.StringArray.from_buffers(number, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters)))


def _repeated(value: str, number: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), number)
