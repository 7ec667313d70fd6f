"""Masks: bases that negatives must not contain become N; and the unmasked pieces."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

N = ord("N")
_STRETCH = re.compile(b"[ACGT]+")


def _table(unmasked: str) -> NDArray[np.uint8]:
    """A translation table of bytes: letters of `unmasked` to upper case, all others to N; shape (256,)."""
    table = np.full(256, N, np.uint8)
    for letter in unmasked:
        table[ord(letter)] = ord(letter.upper())
    return table


def mask(
    bases: NDArray[np.uint8], intervals: Iterable[tuple[int, int]], *, source: str, soft: bool
) -> NDArray[np.uint8]:
    """Hard-mask one chromosome for one source of negatives.

    `bases`: ASCII codes, shape (length,), lower case where soft-masked. `intervals`: those of the catalogues, 0-based,
    half-open, in any order; their bases become N. For the source `unique`, lower case becomes N as well if `soft`; for
    `interspersed`, upper case; for `context`, neither. What is not A, C, G or T always becomes N. Returns upper-case
    ASCII codes, same shape.
    """
    unmasked = {"unique": "ACGT" if soft else "ACGTacgt", "interspersed": "acgt", "context": "ACGTacgt"}[source]
    masked = _table(unmasked)[bases]
    for start, end in intervals:
        masked[start:end] = N
    return masked


def pieces(masked: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends (0-based, half-open) of the maximal stretches of A, C, G and T in ASCII codes, in order."""
    spans = np.array([stretch.span() for stretch in _STRETCH.finditer(masked.data)], np.int64).reshape(-1, 2)
    return spans[:, 0], spans[:, 1]
