from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.sequence.alphabet import BASES, reverse_complement
from dnalm.sequence.kmers import all_canonical_kmers, canonical_kmers, encode, gc_counts

sequences = st.lists(st.text("ACGTacgtN", max_size=20), max_size=6)


def expected_kmers(texts, k):
    rows = []
    for owner, text in enumerate(text.upper() for text in texts):
        for i in range(len(text) - k + 1):
            kmer = text[i : i + k]
            if set(kmer) <= set(BASES):
                canonical = min(kmer, reverse_complement(kmer))
                rows.append((sum(BASES.index(base) * 4 ** (k - 1 - at) for at, base in enumerate(canonical)), owner))
    return rows


@given(sequences, st.integers(1, 9))
@settings(deadline=None)
def test_canonical_kmers_are_those_of_a_plain_loop(texts, k):
    kmers, owners = canonical_kmers(*encode(texts), k)
    assert list(zip(kmers.tolist(), owners.tolist(), strict=True)) == expected_kmers(texts, k)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_all_canonical_kmers(k):
    words = ["".join(letters) for letters in product(BASES, repeat=k)]
    assert all_canonical_kmers(k).tolist() == sorted({number for number, _ in expected_kmers(words, k)})


def test_longest_kmer_fits():
    kmers, owners = canonical_kmers(*encode(["C" * 31, "T" * 31]), 31)
    assert kmers.tolist() == [int("1" * 31, 4), 0]
    assert owners.tolist() == [0, 1]


def test_encode_joins_sequences_and_marks_other_letters():
    codes, offsets = encode(["ACgt", "", "N-é"])
    assert codes.tolist() == [0, 1, 2, 3, 4, 4, 4]
    assert offsets.tolist() == [0, 4, 4, 7]


@given(sequences)
@settings(deadline=None)
def test_gc_counts(texts):
    assert gc_counts(texts).tolist() == [sum(text.upper().count(base) for base in "GC") for text in texts]
    assert gc_counts(texts).dtype == np.int64
