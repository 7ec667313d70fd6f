from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.sequence.shuffle import dinucleotide_shuffle, distinct_shuffles


def dinucleotides(sequence):
    return Counter(pairwise(sequence))


@given(st.text("ACGT", max_size=60), st.integers(0, 5))
@settings(deadline=None)
def test_keeps_dinucleotides_and_ends(sequence, seed):
    shuffled = dinucleotide_shuffle(sequence, np.random.default_rng(seed))
    assert dinucleotides(shuffled) == dinucleotides(sequence)
    assert shuffled[:1] == sequence[:1]
    assert shuffled[-1:] == sequence[-1:]


@given(st.text("AC", min_size=1, max_size=5), st.integers(2, 30), st.integers(0, 5))
@settings(deadline=None)
def test_keeps_dinucleotides_of_arrays(motif, copies, seed):
    sequence = motif * copies + "G"
    shuffled = dinucleotide_shuffle(sequence, np.random.default_rng(seed))
    assert dinucleotides(shuffled) == dinucleotides(sequence)


@pytest.mark.parametrize("sequence", ["ACAGATACA", "AACCAACGA", "ACGTACCA"])
def test_every_sequence_with_these_dinucleotides_is_equally_likely(sequence):
    alike = {
        "".join(letters)
        for letters in product("ACGT", repeat=len(sequence))
        if letters[0] == sequence[0]
        and letters[-1] == sequence[-1]
        and dinucleotides(letters) == dinucleotides(sequence)
    }
    rng = np.random.default_rng(1)
    draws = 4000
    seen = Counter(dinucleotide_shuffle(sequence, rng) for _ in range(draws))
    assert set(seen) == alike
    expected = draws / len(alike)
    chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi_square < len(alike) + 5 * np.sqrt(2 * len(alike))


def test_distinct_shuffles():
    rng = np.random.default_rng(1)
    sequence = "ACGGTCATTGACCATGACTG"
    found = distinct_shuffles(sequence, 5, {sequence}, rng)
    assert found is not None
    assert len(set(found)) == 5
    assert sequence not in found


def test_an_array_without_another_order_has_no_shuffle():
    assert distinct_shuffles("A" * 3000, 1, {"A" * 3000}, np.random.default_rng(1)) is None
    assert distinct_shuffles("AC" * 50, 1, {"AC" * 50}, np.random.default_rng(1)) is None
