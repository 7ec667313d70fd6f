"""Relatives that are planted are found, at rates; what is unrelated is not."""

import numpy as np
import pytest
from simulated_splits import random_sequences

from dnalm.config.datasets import Related
from dnalm.data.homology import either_strand, similar_sequences
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import encode

PLANTS = 200


def substituted(rng, sequence, rate):
    return "".join(
        "ACGT"[("ACGT".index(base) + rng.integers(1, 4)) % 4] if rng.random() < rate else base for base in sequence
    )


def with_indels(rng, sequence, rate):
    letters = []
    for base in sequence:
        if rng.random() >= rate:
            letters.append(base)
        elif rng.random() < 0.5:
            letters += [base, rng.choice(list("ACGT"))]
    return "".join(letters)


def random(rng, length):
    return random_sequences(rng, [length])[0]


KINDS = {
    "identity 98 %": (lambda rng, s: substituted(rng, s, 0.02), 1.0),
    "identity 95 %": (lambda rng, s: substituted(rng, s, 0.05), 1.0),
    "identity 90 %": (lambda rng, s: substituted(rng, s, 0.1), 1.0),
    "identity 85 %": (lambda rng, s: substituted(rng, s, 0.15), 0.98),
    "identity 80 %": (lambda rng, s: substituted(rng, s, 0.2), 0.9),
    "other strand, 90 %": (lambda rng, s: reverse_complement(substituted(rng, s, 0.1)), 1.0),
    "indels 5 %": (lambda rng, s: with_indels(rng, s, 0.05), 1.0),
    "indels 10 %": (lambda rng, s: with_indels(rng, s, 0.1), 1.0),
    "60 bases inside": (lambda rng, s: random(rng, 70) + s[50:110] + random(rng, 70), 1.0),
    "120 bases inside, 90 %": (
        lambda rng, s: random(rng, 40) + substituted(rng, s[40:160], 0.1) + random(rng, 40),
        0.98,
    ),
    "overlap of 50 %": (lambda rng, s: s[100:] + random(rng, 100), 1.0),
    "overlap of 30 bases": (lambda rng, s: s[170:] + random(rng, 170), 1.0),
    "N at every ninth base": (lambda rng, s: "".join("N" if at % 9 == 8 else b for at, b in enumerate(s)), 1.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_planted_relatives_are_found(kind):
    change, rate = KINDS[kind]
    rng = np.random.default_rng(3)
    originals = random_sequences(rng, [200] * PLANTS)
    copies = [change(rng, one) for one in originals]
    left, right, identity = similar_sequences([*random_sequences(rng, [200] * 400), *originals, *copies], Related())
    found = set(zip(left.tolist(), right.tolist(), strict=True))
    planted = {(400 + row, 400 + PLANTS + row) for row in range(PLANTS)}
    assert len(found & planted) >= rate * PLANTS - 1
    assert not found - planted
    assert ((identity > 0.3) & (identity <= 1)).all()


def test_unrelated_sequences_are_not_similar_in_many_data_sets():
    rng = np.random.default_rng(1)
    alarms = 0
    for length in (30, 40, 70, 130, 300):
        for _ in range(8):
            alarms += bool(len(similar_sequences(random_sequences(rng, [length] * 1000), Related())[0]))
    assert alarms <= 2  # of 40: five times what is expected


def test_the_settings_decide():
    rng = np.random.default_rng(2)
    one = random(rng, 200)
    pairs = [one, random(rng, 70) + one[50:110] + random(rng, 70), random(rng, 160) + one[:40]]

    def found(**settings):
        left, right, _ = similar_sequences(pairs, Related(**settings))
        return set(zip(left.tolist(), right.tolist(), strict=True))

    assert found() == {(0, 1), (0, 2)}
    assert found(exact=50) == {(0, 1)} and found(exact=64) == set()
    assert found(exact=64, coverage=0.25) == {(0, 1)} and found(exact=64, coverage=0.2) == {(0, 1), (0, 2)}
    near = [one, "".join("ACGT"["ACGT".index(b) - 1] if at % 9 == 4 else b for at, b in enumerate(one))]
    assert (
        len(similar_sequences(near, Related(identity=0.98, exact=64))[0])
        == 0
        < len(similar_sequences(near, Related())[0])
    )


def test_low_complexity_alone_relates_nothing():
    """Sequences that share simple repeats and poly-A, and are otherwise unrelated."""
    rng = np.random.default_rng(4)
    simple = ["A" * 40, "CA" * 25, "GGAA" * 12, "AT" * 30, "CTT" * 15]
    sequences = [
        random(rng, 70) + simple[row % 5] + substituted(rng, simple[row // 5 % 5], 0.05) + random(rng, 70)
        for row in range(300)
    ]
    assert len(similar_sequences(sequences, Related())[0]) == 0


def test_a_large_family_is_one_whatever_the_bounds_on_comparisons():
    rng = np.random.default_rng(5)
    parent = random(rng, 150)
    family = [substituted(rng, parent, 0.06) for _ in range(400)]
    left, right, _ = similar_sequences([*random_sequences(rng, [150] * 100), *family], Related())
    assert set(left.tolist()) | set(right.tolist()) == set(range(100, 500))
    assert np.bincount(np.concatenate((left, right)), minlength=500)[100:].min() >= 20  # not a mere chain


def test_short_and_odd_sequences():
    for sequences in ([], ["ACG"], ["", "A", "N" * 50, "N" * 60], ["ACGT" * 3, "TTTT"]):
        assert [len(one) for one in similar_sequences(sequences, Related())] == [0, 0, 0]
    rng = np.random.default_rng(6)
    short = random_sequences(rng, [26] * 300)
    places = rng.integers(3, 23, 300)
    copies = [s[:at] + "ACGT"["ACGT".index(s[at]) - 1] + s[at + 1 :] for s, at in zip(short, places, strict=True)]
    left, right, _ = similar_sequences(short + copies, Related())
    assert (right - left == 300).all() and len(left) >= 240


def test_either_strand_is_one_form():
    forms, form = either_strand(["AACC", "GGTT", "ACGT", "AACC"])
    assert forms == ["AACC", "ACGT"] and form.tolist() == [0, 0, 1, 0]


def test_the_other_strand_of_everything_gives_the_same_pairs():
    rng = np.random.default_rng(7)
    originals = random_sequences(rng, [120] * 60)
    sequences = originals + [substituted(rng, one, 0.12) for one in originals]
    pairs = set(zip(*map(np.ndarray.tolist, similar_sequences(sequences, Related())[:2]), strict=True))
    turned = [reverse_complement(s) if row % 2 else s for row, s in enumerate(sequences)]
    assert pairs == set(zip(*map(np.ndarray.tolist, similar_sequences(turned, Related())[:2]), strict=True))
    assert len(pairs) == 60 and encode(sequences)[1][-1] == 14400
