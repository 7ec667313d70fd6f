"""Motif families: tandem-repeat motifs that differ only by rotation, strand or a few changes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import first_members, link_similar
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import canonical_kmers, encode

K = 8
THRESHOLD = 0.5

DEFINITION = (
    f"primitive motif, canonical over rotation and strand; linked at Jaccard >= {THRESHOLD} of circular canonical "
    f"{K}-mers"
)


def primitive(motif: str) -> str:
    """The shortest unit whose repetition is `motif`: AAGGAAGG -> AAGG."""
    return motif[: (motif + motif).find(motif, 1)]


def canonical(motif: str) -> str:
    """The alphabetically first rotation of the primitive motif or of its reverse complement."""
    unit = primitive(motif)
    return min(_least_rotation(unit), _least_rotation(reverse_complement(unit)))


def _least_rotation(text: str) -> str:
    """The alphabetically first rotation; up to 2,000 bases, trying all beats a linear algorithm in Python."""
    twice = text + text
    return min(twice[start : start + len(text)] for start in range(len(text)))


def families(motifs: Sequence[str]) -> NDArray[np.int64]:
    """The family of each motif, as the index of its first member; shape (n,).

    A motif of length m has m circular 8-mers, those of its endless repetition (so a motif shorter than 8 has them too);
    an 8-mer and its reverse complement count as the same. A short motif contained in a long one is not linked to it:
    that would merge nearly everything.
    """
    forms: dict[str, int] = {}
    form_of = np.array([forms.setdefault(canonical(motif), len(forms)) for motif in motifs], dtype=np.int64)
    circles = [(form * K)[: len(form) + K - 1] for form in forms]
    kmers, owners = canonical_kmers(*encode(circles), K)
    pairs = np.unique((owners.astype(np.uint64) << np.uint64(2 * K)) | kmers)
    tokens, owners = pairs & np.uint64((1 << 2 * K) - 1), (pairs >> np.uint64(2 * K)).astype(np.int64)
    linked = link_similar(tokens, owners, len(forms), _similar, THRESHOLD, "motif families")
    return first_members(linked[form_of])


def _similar(shared: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    return shared >= THRESHOLD * (left + right - shared)


def family_links(motifs: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of motifs of one family."""
    first = families(motifs)
    rest = np.flatnonzero(first != np.arange(len(first)))
    return first[rest], rest, np.ones(len(rest))
