import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.linkage import components, first_members, ranges


def plain_components(size, edges):
    label = list(range(size))
    for _ in range(size):
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    return label


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
@settings(deadline=None)
def test_components_are_those_of_repeated_relabelling(case):
    size, edges = case
    left, right = np.array(edges, np.int64).reshape(-1, 2).T
    assert components(size, left, right).tolist() == plain_components(size, edges)


def test_components_join_what_was_found_before():
    before = components(5, np.array([0, 3]), np.array([1, 4]))
    assert components(5, np.array([4]), np.array([1]), before).tolist() == [0, 0, 2, 0, 0]


def test_first_members_rename_clusters():
    assert first_members(np.array([9, 2, 9, 2, 5])).tolist() == [0, 1, 0, 1, 4]


def test_ranges():
    assert ranges(np.array([5, 0, 7]), np.array([2, 0, 3])).tolist() == [5, 6, 7, 8, 9]
    assert ranges(np.array([], np.int64), np.array([], np.int64)).tolist() == []
