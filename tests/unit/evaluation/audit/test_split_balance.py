"""Splits that differ in length, GC, dinucleotides or classes are named; groups, not records, decide what is chance."""

import numpy as np
import pandas as pd
import pytest
from audited import divided, subject
from closeness import close
from planted import PLANTS, simulate
from scipy.stats import ttest_ind

from dnalm.evaluation.audit.balance import compare_splits, split_balance
from dnalm.evaluation.audit.family import beyond_chance, correct, one_of_each, sample_groups


def judged(table, **more):
    about = subject(**more)
    (found,) = correct(compare_splits(about, divided(table)))
    return split_balance(about, found), found


def test_a_gc_rich_test_split_is_named_with_its_numbers():
    check, _ = judged(simulate(1000, 1, plant=PLANTS["GC .50 in train, .55 in test"][1]))
    assert check["status"] == "warn" and "`datasets.d.split.seed`" in check["fix"]
    assert check["found"].startswith("GC 0.49") or check["found"].startswith("GC 0.50"), check["found"]
    assert " in train, 0.54" in check["found"] or " in train, 0.55" in check["found"], check["found"]


def test_shares_of_classes_are_compared():
    check, _ = judged(simulate(1000, 1, plant=PLANTS["half of the test negatives moved to train"][1]))
    assert check["status"] == "warn" and "hare of label 0 (no)" in check["found"] and "in test" in check["found"]


def test_single_records_give_the_t_test():
    table = simulate(800, 2)
    tables = divided(table)
    found = next(one for one in compare_splits(subject(), tables) if (one.property, one.split) == ("length", "test"))
    lengths = {split: part["sequence"].str.len() for split, part in tables.items()}
    expected = ttest_ind(lengths["test"], lengths["train"], equal_var=False)
    assert close(found.p, expected.pvalue, 0.02)
    assert close(found.effect, (lengths["test"].mean() - lengths["train"].mean()) / lengths["train"].std(ddof=0), 1e-9)


def test_records_of_a_group_count_as_one():
    table = simulate(400, 3)
    copies = pd.concat([table.assign(id=[f"{one}-{i}" for one in table["id"]]) for i in range(10)], ignore_index=True)
    once, tenfold = judged(table)[1], judged(copies)[1]
    assert close([one.p for one in once], [one.p for one in tenfold], 1e-6)


def test_too_few_groups_are_said():
    table = simulate(400, 4)
    table["group"] = [f"{split}{row % 4}" for row, split in enumerate(table["split"])]
    check, found = judged(table)
    assert check["status"] == "pass" and check["found"].startswith("Too few groups") and found[0].p is None


def test_targets_have_a_check_of_their_own():
    _, found = judged(simulate(400, 5, truth="target"), truth="target")
    assert {one.property for one in found} & {"length", "GC"} and not [one for one in found if "label" in one.property]


def test_the_family_is_corrected_together():
    one, other = judged(simulate(400, 6))[1], judged(simulate(400, 7))[1]
    apart, together = correct(one)[0], correct(one, other)
    assert [len(tests) for tests in together] == [len(one), len(other)]
    assert all(a.p_holm <= b.p_holm for a, b in zip(apart, together[0], strict=True))
    assert not any(beyond_chance(test) for tests in together for test in tests)


@pytest.mark.parametrize("most", [10, 100, 10_000])
def test_samples_are_of_whole_groups_or_of_one_record_each(most):
    rng = np.random.default_rng(1)
    codes, classes = rng.integers(0, 200, 1000), rng.integers(0, 2, 1000)
    rows = sample_groups(codes, most)
    assert len(rows) <= most and set(codes[rows]).isdisjoint(np.delete(codes, rows))
    rows = one_of_each(codes, classes, most)
    pairs = list(zip(codes[rows], classes[rows], strict=True))
    assert len(set(pairs)) == len(pairs) == min(most, len(set(zip(codes, classes, strict=True))))
