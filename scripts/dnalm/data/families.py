"""Motif families: tandem-repeat motifs with similar repetitions, on any strand, in any rotation and copy number."""

from collections.abc import Iterator, Sequence

import edlib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import canonical_kmers, encode

Indices = NDArray[np.int64]

IDENTITY = 0.85
"""Least identity of two motifs of one family; random motifs reach it in 2 % of pairs at 7 bases, in .5 % or less from 8
on."""

DEFINITION = (
    f"motifs of at least {IDENTITY:.0%} identity: one minus the edits per base between two copies of the longer motif, "
    "on either strand, and the endless repetition of the shorter one (wraparound alignment)"
)

SHORT = 16
"""Bases of the longer motif below which candidates share 4-mers instead of 5-mers."""

_SHARED = 0.3
"""Least fraction of the longer motif's 5-mers that a candidate shares."""

_ROWS, _COLUMNS = 1 << 9, 1 << 15
"""Motifs compared at a time: 64 MiB of counts."""


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


def family_links(motifs: Sequence[str]) -> tuple[Indices, Indices, NDArray[np.float64]]:
    """Pairs of motifs of one family, as indices of `motifs` (the lower one first), and their identity, `IDENTITY` to 1.

    Motifs are compared in canonical form. Equal forms have identity 1, and each motif is paired with the first one of
    its form only; other pairs are between the first motifs of two forms. All of shape (links,), sorted.

    The identity of two forms is 1 - edits / bases: the fewest substitutions, insertions and deletions that turn two
    copies of the longer motif (of equally long ones, the alphabetically later), on either strand, into some stretch of
    the endless repetition of the shorter one, per base of the two copies. This is the wraparound alignment of Fischetti
    et al. 1992 (doi:10.1007/3-540-56024-6_9), with which Tandem Repeats Finder aligns arrays to motifs (Benson 1999,
    doi:10.1093/nar/27.2.573). Two copies, because a motif that is no noisy multiple of a shorter one is out of phase
    with it after one copy.

    Only motifs are aligned that share enough q-mers of their circles. For a longer motif below `SHORT` bases these are
    4-mers, as many as the allowed edits must leave (the q-gram lemma: Jokinen and Ukkonen 1991), which misses no pair;
    for others 5-mers, three in ten of the longer one's, which misses about 1 in 50 pairs at the threshold and hardly
    any above 90 %.
    """
    first: dict[str, int] = {}
    form_of = np.array([first.setdefault(canonical(motif), number) for number, motif in enumerate(motifs)], np.int64)
    forms = sorted(first, key=lambda form: (len(form), form))
    numbers = np.array([first[form] for form in forms], np.int64)
    repeated = np.flatnonzero(form_of != np.arange(len(motifs)))
    pairs = [(form_of[repeated], repeated, np.ones(len(repeated)))]
    for longer, shorter in _candidates(forms):
        identity = _identities(forms, longer, shorter)
        near = identity >= IDENTITY - 1e-9
        a, b = numbers[shorter[near]], numbers[longer[near]]
        pairs.append((np.minimum(a, b), np.maximum(a, b), identity[near]))
    left, right, identity = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.lexsort((right, left))
    return left[order], right[order], identity[order]


def _identities(forms: Sequence[str], longer: Indices, shorter: Indices) -> NDArray[np.float64]:
    """Identity of the forms longer[i] and shorter[i]; 0 where it is below `IDENTITY`; shape (pairs,).

    Both strands are searched in one call: each is repeated often enough for the longest alignment to begin at any base
    of the motif, and no alignment within the allowed edits reaches across the gap between them.
    """
    widest = 2 * max((len(forms[one]) for one in longer), default=0)
    most = _allowed(widest)
    both: dict[int, str] = {}
    identity = np.zeros(len(longer))
    for pair, (one, other) in enumerate(zip(longer.tolist(), shorter.tolist(), strict=True)):
        if (endless := both.get(other)) is None:
            motif = forms[other]
            times = -(-(widest + most) // len(motif)) + 1
            endless = both[other] = motif * times + "-" * (most + 1) + reverse_complement(motif) * times
        copies = 2 * forms[one]
        edits = edlib.align(copies, endless, mode="HW", task="distance", k=_allowed(len(copies)))["editDistance"]
        if edits >= 0:
            identity[pair] = 1 - edits / len(copies)
    return identity


def _allowed(bases: int) -> int:
    """The most edits of an alignment of so many bases that reaches `IDENTITY`."""
    return int((1 - IDENTITY) * bases + 1e-9)


def _candidates(forms: Sequence[str]) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of forms that share enough q-mers, the longer one first; forms are sorted by length. In batches."""
    lengths = np.array([len(form) for form in forms], np.int64)
    short = int(np.searchsorted(lengths, SHORT))
    edits = np.array([_allowed(2 * length) for length in lengths.tolist()], np.int64)
    # an edit changes up to q of the 2 n - q + 1 q-mers of two copies, which hold each q-mer of the circle up to twice
    lemma = (2 * lengths - 4 + 1 - 4 * edits) / 2
    with tqdm(total=len(forms), desc="motif families", mininterval=2, disable=len(forms) < 5_000) as bar:
        for q, begin, end, least in ((4, 0, short, lemma), (5, short, len(forms), _SHARED * lengths)):
            counts = _profiles(forms[:end], q)
            present = (counts > 0).astype(np.float32)
            for first in range(begin, end, _ROWS):
                last = min(first + _ROWS, end)
                for other in range(0, last, _COLUMNS):
                    shared = counts[first:last] @ present[other : min(other + _COLUMNS, last)].T
                    longer, shorter = np.nonzero(shared >= least[first:last, None])
                    longer, shorter = longer + first, shorter + other
                    yield longer[shorter < longer], shorter[shorter < longer]
                bar.update(last - first)


def _profiles(forms: Sequence[str], q: int) -> NDArray[np.float32]:
    """How often each canonical q-mer occurs in the circle of each form; shape (forms, distinct q-mers)."""
    circles = [(form * q)[: len(form) + q - 1] for form in forms]
    kmers, owners = canonical_kmers(*encode(circles), q)
    distinct, columns = np.unique(kmers, return_inverse=True)
    result = np.zeros((len(forms), len(distinct)), np.float32)
    np.add.at(result, (owners, columns), 1)
    return result
