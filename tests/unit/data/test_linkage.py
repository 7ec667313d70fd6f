import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.linkage import components, first_members, link_similar, ranges, shared_members


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


def flatten(sets):
    owners = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    tokens = np.array([token for one in sets for token in sorted(one)], np.uint64)
    return tokens, owners


def at_least(threshold):
    return lambda shared, left, right: shared >= threshold * (left + right - shared)


sets = st.lists(st.sets(st.integers(0, 30), max_size=10), min_size=1, max_size=25)


@given(sets, st.sampled_from([0.4, 0.5, 0.8]))
@settings(max_examples=60, deadline=None)
def test_links_are_never_wrong_and_equal_sets_are_always_linked(sets, threshold):
    linked = link_similar(*flatten(sets), len(sets), at_least(threshold), threshold, "")
    edges = [
        (i, j)
        for i, a in enumerate(sets)
        for j, b in enumerate(sets)
        if i < j and a and b and len(a & b) / len(a | b) >= threshold
    ]
    truth = plain_components(len(sets), edges)
    for i, label in enumerate(linked.tolist()):
        assert truth[i] == truth[label]
        if sets[i]:
            assert label == linked[sets.index(sets[i])]
        else:
            assert label == i


def test_chains_at_scale_are_those_of_all_pairs():
    rng = np.random.default_rng(3)
    base = [set(rng.choice(5000, 30, replace=False).tolist()) for _ in range(150)]
    sets = []
    for one in base:
        for _ in range(4):  # each a step of Jaccard .58 to .88 away from the one before
            sets.append(one)
            gone = rng.permutation(sorted(one))[: rng.integers(2, 9)].tolist()
            one = (one - set(gone)) | set(rng.choice(5000, len(gone), replace=False).tolist())
    edges = [
        (i, j) for i in range(len(sets)) for j in range(i) if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.5
    ]
    truth = components(len(sets), *np.array(edges).T)
    assert len(set(truth.tolist())) < 300
    assert link_similar(*flatten(sets), len(sets), at_least(0.5), 0.5, "").tolist() == truth.tolist()


def test_shared_members_by_hand():
    tokens, owners = flatten([{1, 2, 3}, {2, 3, 4}, {1, 2, 3}, {9}])
    starts, counts = np.array([0, 3, 6, 9]), np.array([3, 3, 3, 1])
    assert shared_members(tokens, starts, counts, np.array([0, 0, 0]), np.array([1, 2, 3])).tolist() == [2, 3, 0]
    assert len(owners) == 10
