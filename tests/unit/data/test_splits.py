from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.splits import cap, check_splits, split_grouped, split_random
from dnalm.errors import UserError
from dnalm.names import SPLITS

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def records_of(sizes, ratio=1):
    """Groups of so many positives, each positive with `ratio` negatives."""
    rows = []
    for group, size in enumerate(sizes):
        for member in range(size):
            name = f"g{group:03d}-{member:03d}"
            rows.append((name, f"g{group:03d}", 1, name))
            rows += [(f"{name}:{n}", f"g{group:03d}", 0, name) for n in range(ratio)]
    return pd.DataFrame(rows, columns=["id", "group", "label", "positive"])


fractions = st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)).map(
    lambda parts: dict(zip(SPLITS, (part / sum(parts) for part in parts), strict=True))
)
group_sizes = st.lists(st.integers(1, 12), min_size=1, max_size=60)


@given(group_sizes, fractions, st.integers(1, 3), st.integers(0, 3))
@settings(deadline=None)
def test_whole_groups_within_the_largest_groups_share(sizes, parts, ratio, seed):
    records = records_of(sizes, ratio)
    assigned = split_grouped(records, parts, seed)
    assert set(assigned) <= set(SPLITS)
    assert (pd.Series(assigned).groupby(records["group"]).nunique() == 1).all()
    for label, members in records.groupby("label").groups.items():
        largest = max(sizes) * (ratio if label == 0 else 1)
        for split in SPLITS:
            share = parts[split] * len(members)
            assert abs((assigned[members] == split).sum() - share) < 2 * largest + 1e-6


@given(group_sizes, st.integers(0, 3), st.randoms())
@settings(deadline=None)
def test_row_order_plays_no_part(sizes, seed, random):
    records = records_of(sizes)
    order = random.sample(range(len(records)), len(records))
    caps = {"train": 20, "validation": None, "test": 3}
    for method in (split_grouped, split_random):
        assigned, other = method(records, FRACTIONS, seed), method(records.iloc[order], FRACTIONS, seed)
        assert assigned[order].tolist() == other.tolist()
        keep = cap(records, assigned, caps, seed)
        assert keep[order].tolist() == cap(records.iloc[order], other, caps, seed).tolist()


def test_small_groups_give_the_fractions_exactly():
    assigned = split_grouped(records_of([12, 7, 5, 3, 2] + [1] * 71), FRACTIONS, 42)
    assert Counter(assigned) == {"train": 120, "validation": 40, "test": 40}


def test_groups_of_a_label_of_their_own():
    records = pd.DataFrame({"id": [f"{n:03d}" for n in range(300)], "label": [0] * 200 + [1] * 90 + [2] * 10})
    assigned = split_grouped(records.assign(group=records["id"]), FRACTIONS, 1)
    for label, counts in {0: (120, 40, 40), 1: (54, 18, 18), 2: (6, 2, 2)}.items():
        here = assigned[records["label"] == label]
        assert tuple((here == split).sum() for split in SPLITS) == counts


def test_a_large_group_does_not_take_a_small_split():
    records = records_of([30] + [2] * 85)
    for seed in range(8):
        assert set(split_grouped(records, FRACTIONS, seed)[records["group"] == "g000"]) == {"train"}


def test_three_groups_are_enough_for_three_splits():
    assert set(split_grouped(records_of([5, 5, 5]), FRACTIONS, 1)) == set(SPLITS)


def test_the_seed_moves_more_than_ties():
    records = records_of([3, 2] * 40)
    assert split_grouped(records, FRACTIONS, 1).tolist() != split_grouped(records, FRACTIONS, 2).tolist()


@given(st.lists(st.integers(0, 2), min_size=1, max_size=50), fractions, st.integers(0, 3))
@settings(deadline=None)
def test_random_keeps_the_fractions_of_each_label(labels, parts, seed):
    records = pd.DataFrame({"id": [f"{n:02d}" for n in range(len(labels))], "label": labels})
    assigned = split_random(records, parts, seed)
    for label, count in Counter(labels).items():
        here = assigned[records["label"] == label]
        for split in SPLITS:
            assert abs((here == split).sum() - parts[split] * count) < 1 + 1e-6


@given(group_sizes, st.integers(1, 3), st.integers(1, 40), st.integers(0, 3))
@settings(deadline=None)
def test_a_cap_takes_whole_twins(sizes, ratio, limit, seed):
    records = records_of(sizes, ratio)
    assigned = split_grouped(records, FRACTIONS, seed)
    keep = cap(records, assigned, {"train": limit}, seed)
    train = records[(assigned == "train") & keep]
    before = int((assigned == "train").sum())
    assert keep[assigned != "train"].all()
    assert len(train) == before if before <= limit else limit - ratio <= len(train) <= limit
    assert (train.groupby("positive").size() == ratio + 1).all()


def test_a_cap_keeps_the_proportions_of_labels():
    records = pd.DataFrame({"id": [f"{n:03d}" for n in range(100)], "label": [0] * 80 + [1] * 20})
    keep = cap(records, np.full(100, "test", object), {"test": 10}, 1)
    assert Counter(records["label"][keep]) == {0: 8, 1: 2}


def test_what_a_split_must_not_be():
    labels = pd.Series([0, 1, 0, 1, 1, 1])
    good = np.array(["train", "train", "validation", "validation", "test", "test"], object)
    with pytest.raises(
        UserError, match=r"split \(grouped\): test would hold label 1 only \(2 records of label 1\); there are 2 rec"
    ):
        check_splits(labels, good, "grouped")
    good[4:] = "train"
    with pytest.raises(UserError, match=r"split \(chromosome\): test would be empty.*split.chromosomes"):
        check_splits(labels, good, "chromosome")
    check_splits(pd.Series([0, 1] * 3), np.repeat(np.array(SPLITS, object), 2), "given")


def test_a_label_that_train_lacks_is_refused():
    labels = pd.Series([0, 1, 0, 1, 2, 0, 1])
    assigned = np.array(["train", "train", "test", "test", "test", "validation", "validation"], object)
    with pytest.raises(UserError, match=r"split \(given\): train would hold no record of label 2; mend its table"):
        check_splits(labels, assigned, "given")
