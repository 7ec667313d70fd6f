import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.alignment import LONGEST, within


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


texts = st.text("ACN", max_size=14)


@given(st.lists(st.tuples(texts, texts, st.integers(0, 9)), max_size=12))
@settings(max_examples=200)
def test_it_is_the_edit_distance_that_is_compared(pairs):
    left, right, edits = ([pair[i] for pair in pairs] for i in range(3))
    expected = [edit_distance(a, b) <= most for a, b, most in pairs]
    assert within(left, right, np.array(edits, np.int64)).tolist() == expected


@pytest.mark.parametrize("length", [500, LONGEST])
def test_long_sequences_at_the_very_limit(length):
    rng = np.random.default_rng(1)
    letters = rng.choice(list("ACGT"), length)
    changed = letters.copy()
    places = np.sort(rng.choice(length - 40, 30, replace=False)) + 20
    changed[places[:20]] = [{"A": "C", "C": "G", "G": "T", "T": "A"}[letter] for letter in letters[places[:20]]]
    changed = np.delete(changed, places[20:])
    a, b = "".join(letters), "".join(changed)
    assert within([a, b, a], [b, a, a], np.array([30, 30, 0])).tolist() == [True, True, True]
    assert within([a], [a[5:] + a[:5]], np.array([10])).tolist() == [True]
    assert within([a, b], [b, a], np.array([24, 24])).tolist() == [False, False]


def test_many_pairs_are_worked_on_in_batches():
    rng = np.random.default_rng(2)
    left = ["".join(rng.choice(list("ACGT"), rng.integers(5, 60))) for _ in range(3000)]
    right = [text[:2] + text[3:] if number % 2 else text[::-1] for number, text in enumerate(left)]
    edits = rng.integers(0, 12, 3000)
    expected = [edit_distance(a, b) <= most for a, b, most in zip(left, right, edits, strict=True)]
    assert within(left, right, edits).tolist() == expected
