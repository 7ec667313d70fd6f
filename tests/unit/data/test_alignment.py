import numpy as np

from dnalm.data.alignment import within


def test_substitutions_insertions_and_deletions_count_one_each():
    left = ["ACGTACGT", "ACGTACGT", "ACGTACGT", "ACGTNACG", "", "ACGT"]
    right = ["ACGAACGT", "CGTACGTA", "ACGTTACG", "ACGTAACG", "", ""]
    edits = np.array([1, 2, 2, 1, 0, 4])
    assert within(left, right, edits).tolist() == [True] * 6
    assert within(left[:4] + left[5:], right[:4] + right[5:], np.delete(edits, 4) - 1).tolist() == [False] * 5
    assert within([], [], np.array([], np.int64)).tolist() == []
