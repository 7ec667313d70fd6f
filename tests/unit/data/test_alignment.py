import numpy as np

from dnalm.data.alignment import align, expected_by_chance, longest_at
from dnalm.sequence.alphabet import reverse_complement


def aligned(left, right, turned=False):
    return [int(one[0]) for one in align([left], [right], np.array([turned]))]


def test_matches_gaps_and_ambiguous_letters_by_hand():
    one = "ACGTTGCAGGCATTACGAGTCCATGACCTA"
    assert aligned(one, one) == [30, 30, 30]
    assert aligned(one, reverse_complement(one), turned=True) == [30, 30, 30]
    assert aligned(one, one[:14] + "C" + one[15:]) == [28, 29, 30]
    assert aligned(one, one[:15] + one[17:]) == [28 - 4, 28, 30]  # a gap of two costs 2 + 2
    assert aligned(one, one[:14] + "N" + one[15:]) == aligned(one, one[:14] + "R" + one[15:]) == [28, 29, 30]
    assert aligned("N" * 30, "N" * 30)[0] == 0
    assert aligned(one[:10] + "X" * 10 + one[20:], one[:10] + "XXXACGTXXX" + one[20:])[0] == 20


def test_the_longest_part_of_an_alignment_at_an_identity():
    rng = np.random.default_rng(1)
    good, poor = ("".join(rng.choice(list("ACGT"), 60)) for _ in range(2))
    worse = "".join("ACGT"["ACGT".index(base) - 1] if at % 3 == 0 else base for at, base in enumerate(poor))
    left, right = good + poor, good + worse
    _, matches, columns = aligned(left, right)
    assert columns > 100 and matches / columns < 0.9
    assert 60 <= longest_at(left, right, False, 0.9) < columns
    assert longest_at(left, reverse_complement(right), True, 0.9) == longest_at(left, right, False, 0.9)
    assert longest_at(left, right, False, 0.6) == columns
    assert longest_at(good, "A", False, 1.0) == 1


def test_scores_of_unrelated_sequences_are_as_rare_as_expected():
    """The expectation is an upper bound in the order of what is seen, at the scores that matter."""
    rng = np.random.default_rng(1)
    one, other = (["".join(row) for row in rng.choice(list("ACGT"), (20_000, 100))] for _ in range(2))
    score = align(one, other, np.zeros(20_000, bool))[0]
    lengths = np.full(1, 100)
    for limit in (13, 14, 15):
        expected = 20_000 * expected_by_chance(np.array([limit]), lengths, lengths, 1)[0]
        seen = int((score >= limit).sum())
        assert expected / 8 < seen < 2 * expected + 10, (limit, seen, expected)
    assert np.all(np.diff(expected_by_chance(np.arange(10, 60), lengths, lengths, 10)) < 0)
