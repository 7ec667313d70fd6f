from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from dnalm.data.splits import cap, check_splits, split_grouped, split_random, strata, traits
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
    records = pd.DataFrame(rows, columns=["id", "group", "label", "positive"])
    return records.assign(sequence=[letters(n) for n in range(len(records))])


def letters(seed, length=20, gc=0.5):
    return "".join(np.where(np.random.default_rng(seed).random(length) < gc, "G", "A"))


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
    records = records.assign(group=records["id"], sequence=[letters(n) for n in range(300)])
    assigned = split_grouped(records, FRACTIONS, 1)
    for label, counts in {0: (120, 40, 40), 1: (54, 18, 18), 2: (6, 2, 2)}.items():
        here = assigned[records["label"] == label]
        assert tuple((here == split).sum() for split in SPLITS) == counts


def test_a_group_never_fills_more_than_half_of_a_small_split():
    records = records_of([30] + [2] * 85)
    for seed in range(8):
        assert set(split_grouped(records, FRACTIONS, seed)[records["group"] == "g000"]) == {"train"}


def families(number=400, seed=1):
    """Families of very different sizes, each with a GC and a length of its own; the largest has a tenth of all."""
    rng = np.random.default_rng(seed)
    rows = []
    for group, gc, length in zip(
        range(number), rng.normal(0.45, 0.12, number), rng.lognormal(3, 0.4, number), strict=True
    ):
        for member in range(max(1, round(number / 8 / (group + 1)))):
            for label in (0, 1):
                one = letters(rng.integers(2**32), max(8, int(length)), np.clip(gc + 0.05 * label, 0.05, 0.95))
                rows.append((f"{group:03d}-{member}-{label}", f"g{group:03d}", label, one))
    return pd.DataFrame(rows, columns=["id", "group", "label", "sequence"])


def apart(records, assigned):
    """Differences of the mean GC and the mean log length between train and test."""
    gc = (records["sequence"].str.count("G") / records["sequence"].str.len()).to_numpy()
    length = np.log(records["sequence"].str.len().to_numpy())
    train, test = assigned == "train", assigned == "test"
    return [one[train].mean() - one[test].mean() for one in (gc, length)]


def test_splits_of_families_have_alike_gc_and_lengths():
    """Closer than splits of single records by chance, though whole families move, for each of 30 seeds."""
    records = families()
    assignments = [split_grouped(records, FRACTIONS, seed) for seed in range(30)]
    found = np.array([apart(records, assigned) for assigned in assignments])
    rng = np.random.default_rng(1)
    chances = list(FRACTIONS.values())
    single = np.array([apart(records, rng.choice(SPLITS, len(records), p=chances)) for _ in range(200)])
    home = pd.Series(rng.choice(SPLITS, (200, records["group"].nunique()), p=chances).tolist())
    whole = np.array([apart(records, np.array(one)[pd.factorize(records["group"])[0]]) for one in home])
    assert (np.abs(found).mean(axis=0) < np.abs(single).mean(axis=0)).all()
    assert (np.abs(found).max(axis=0) < np.abs(whole).mean(axis=0)).all()
    assert (np.abs(found.mean(axis=0)) < np.abs(single).mean(axis=0)).all()  # no bias to one side
    for assigned in assignments:
        assert all(abs((assigned == split).mean() - part) < 0.01 for split, part in FRACTIONS.items())


def test_the_largest_family_is_in_each_split_for_some_seeds():
    records = families()
    largest = (records["group"] == "g000").to_numpy()
    assert 0.04 < largest.mean() < 0.1
    homes = Counter(split_grouped(records, FRACTIONS, seed)[largest][0] for seed in range(30))
    assert set(homes) == set(SPLITS) and homes.most_common(1)[0][1] < 27


def test_spreads_and_both_labels_are_balanced_too():
    records = families()
    records.loc[records["label"] == 1, "sequence"] = records["sequence"].str.repeat(2)
    found = traits(records, strata(records))
    assert np.abs(found).max() < 8 and np.abs(found.mean(axis=0)).max() < 1e-9
    for seed in range(5):
        assigned = split_grouped(records, FRACTIONS, seed)
        for label in (0, 1):
            test = (assigned == "test") & (records["label"] == label).to_numpy()
            assert np.abs(found[test].mean(axis=0)).max() < 3 / np.sqrt(test.sum())


def test_sequences_all_alike_are_split_too():
    records = records_of([1] * 50).assign(sequence="ACGT")
    assert Counter(split_grouped(records, FRACTIONS, 1)) == {"train": 60, "validation": 20, "test": 20}


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


@given(group_sizes, st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
@settings(deadline=None)
def test_what_a_lower_cap_keeps_a_higher_one_keeps_too(sizes, ratio, one, other, seed):
    records = records_of(sizes, ratio)
    records.loc[records.index % 7 == 0, "label"] = 2
    train = np.full(len(records), "train", object)
    low, high = (cap(records, train, {"train": limit}, seed) for limit in sorted((one, other)))
    assert (low <= high).all()


def test_a_cap_keeps_the_proportions_of_labels():
    records = pd.DataFrame({"id": [f"{n:03d}" for n in range(100)], "label": [0] * 80 + [1] * 20})
    keep = cap(records, np.full(100, "test", object), {"test": 10}, 1)
    assert Counter(records["label"][keep]) == {0: 8, 1: 2}


def test_what_a_split_must_not_be():
    records = pd.DataFrame({"label": [0, 1, 0, 1, 1, 1]})
    good = np.array(["train", "train", "validation", "validation", "test", "test"], object)
    with pytest.raises(
        UserError, match=r"split \(grouped\): test would hold label 1 only \(2 records of label 1\); there are 2 rec"
    ):
        check_splits(records, good, "grouped")
    good[4:] = "train"
    with pytest.raises(UserError, match=r"split \(chromosome\): test would be empty.*split.chromosomes"):
        check_splits(records, good, "chromosome")
    check_splits(pd.DataFrame({"label": [0, 1] * 3}), np.repeat(np.array(SPLITS, object), 2), "given")


def test_a_label_that_train_lacks_is_refused():
    records = pd.DataFrame({"label": [0, 1, 0, 1, 2, 0, 1]})
    assigned = np.array(["train", "train", "test", "test", "test", "validation", "validation"], object)
    with pytest.raises(UserError, match=r"split \(given\): train would hold no record of label 2; correct its table"):
        check_splits(records, assigned, "given")


def skewed(n=600, seed=0):
    """Records with skewed targets, of which a fifth are equal, in groups of one to four with alike targets."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n), rng.integers(1, 5, n))[:n]
    target = np.exp(rng.normal(size=n)[group] + 0.1 * rng.normal(size=n))
    target[group % 5 == 0] = 0.25
    columns = {"id": [f"{i:03d}" for i in range(n)], "group": [f"g{g:03d}" for g in group], "target": target}
    return pd.DataFrame(columns).assign(sequence=[letters(i) for i in range(n)])


def test_strata_of_targets_are_quantiles_and_equal_targets_share_one():
    records = skewed()
    counts = np.bincount(strata(records))
    assert (counts[2:] == 60).all() and len(counts) == 9  # the equal ones fill two of ten bins and more
    assert len(set(strata(records)[records["target"] == 0.25])) == 1
    assert (np.diff(strata(records.sort_values("target"))) >= 0).all()
    assert strata(records.head(60)).max() == 0 and strata(records.head(120)).max() == 1  # 50 records a bin at least
    assert strata(records.assign(target=1.5)).tolist() == [0] * 600


@pytest.mark.parametrize("method", [split_grouped, split_random])
def test_splits_have_alike_targets(method):
    """Their distributions differ less than those of nearly all divisions by chance."""
    records = skewed()
    assigned = method(records, FRACTIONS, 1)
    target = records["target"].to_numpy()
    for split in SPLITS:
        assert abs((assigned == split).sum() - FRACTIONS[split] * 600) <= 15
        assert ks_2samp(target[assigned == split], target[assigned != split]).statistic < 0.07
    if method is split_grouped:
        assert (pd.Series(assigned).groupby(records["group"]).nunique() == 1).all()
    order = np.random.default_rng(2).permutation(600)
    assert method(records.iloc[order], FRACTIONS, 1).tolist() == assigned[order].tolist()


def test_a_cap_keeps_the_proportions_of_targets():
    records = skewed()
    keep = cap(records, np.full(600, "test", object), {"test": 100}, 1)
    assert keep.sum() == 100
    assert ks_2samp(records["target"][keep], records["target"]).statistic < 0.05


def test_a_split_of_one_target_is_refused():
    records = pd.DataFrame({"target": [0.5, 1.5, 0.5, 1.5, 2.5, 2.5]})
    assigned = np.repeat(np.array(SPLITS, object), 2)
    message = (
        r"split \(random\): test would hold target 2.5 only \(2 records with 1 different target\); "
        "there are 6 records with 3"
    )
    with pytest.raises(UserError, match=message):
        check_splits(records, assigned, "random")
    check_splits(records.assign(target=np.arange(6.0)), assigned, "random")
