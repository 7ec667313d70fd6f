import numpy as np
import pytest

from dnalm.data.similarity import near_identical
from dnalm.sequence.alphabet import BASES, reverse_complement


def random_sequences(count, length, seed=1):
    return ["".join(row) for row in np.random.default_rng(seed).choice(list(BASES), (count, length))]


def mutate(sequence, places):
    return "".join(BASES[(BASES.index(base) + 1) % 4] if at in places else base for at, base in enumerate(sequence))


@pytest.mark.parametrize("length", [34, 67, 101, 300, 2000])
def test_97_percent_identity_is_linked_wherever_the_changes_fall(length):
    originals = random_sequences(50, length)
    changes = length * 3 // 100
    spread = set(np.linspace(0, length, changes + 2)[1:-1].astype(int).tolist())
    copies = [reverse_complement(mutate(original, spread)) for original in originals]
    assert near_identical(originals + copies).tolist() == list(range(50)) * 2


def test_90_percent_identity_is_not():
    originals = random_sequences(50, 300)
    copies = [mutate(original, set(range(5, 300, 10))) for original in originals]
    assert near_identical(originals + copies).tolist() == list(range(100))


def test_it_is_about_the_whole_length():
    short, long = random_sequences(1, 100)[0], random_sequences(1, 300, seed=2)[0]
    assert near_identical([short, short + long]).tolist() == [0, 1]
    assert near_identical(["ACGTC" * 10, "ACGTC" * 30]).tolist() == [0, 1]
    assert near_identical([long[:200], long[60:260]]).tolist() == [0, 0]  # windows of one locus


def test_sequences_shorter_than_a_kmer_or_with_other_letters():
    assert near_identical(["ACG", "CGT", "ACG", "", "NNNNNNNNNNNN", "NNNNNNNNNNNN"]).tolist() == [0, 0, 0, 3, 4, 4]
    assert near_identical([]).tolist() == []
