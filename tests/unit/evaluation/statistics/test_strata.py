"""Strata of the test split, small enough to count."""

import numpy as np
import pandas as pd
import pytest

from dnalm.errors import UserError
from dnalm.evaluation.statistics.strata import strata
from dnalm.tables.predictions import ClassPredictions

PAIRS = 80


def table(**changes) -> pd.DataFrame:
    """80 positives p0 .. p79, each with its twin n0 .. n79; motif lengths 1, 2, 3 and 4 by quarters."""
    number = np.arange(PAIRS)
    quarter = number * 4 // PAIRS
    positives = {
        "id": [f"p{n}" for n in number],
        "sequence": ["ACGT" * (5 + q) for q in quarter],
        "label": 1,
        "group": [f"g{n}" for n in number],
        "source": "trf",
        "motif_length": quarter + 1,
        "copies": 20.5,
        "divergence": quarter / 10,
        "positive": [f"p{n}" for n in number],
    }
    negatives = {
        **positives,
        "id": [f"n{n}" for n in number],
        "sequence": ["AATT" * (5 + q) for q in quarter],
        "label": 0,
        "source": ["unique" if n % 4 else "shuffled" for n in number],
        "motif_length": None,
        "copies": None,
        "divergence": None,
    }
    both = pd.concat([pd.DataFrame(positives), pd.DataFrame(negatives)], ignore_index=True)
    both = both.astype({"motif_length": "Int64", "copies": "float64", "divergence": "float64"})
    return both.assign(
        start=pd.array([None] * len(both), "Int64"), end=pd.array([None] * len(both), "Int64"), **changes
    )


def guesses(records: pd.DataFrame, wrong) -> ClassPredictions:
    """Right but where `wrong` (n,)."""
    labels = records["label"].to_numpy()
    score = np.where(np.asarray(wrong) ^ (labels == 1), 0.9, 0.1)
    return ClassPredictions(records["id"].to_numpy(object), labels, np.column_stack((1 - score, score)))


def by_axis(groups, records, kind="repeats"):
    return {axis["axis"]: axis for axis in strata(groups, records, kind)}


def test_a_bin_holds_its_positives_and_their_twins():
    records = table()
    wrong = ((records["label"] == 0) & (records.index % PAIRS < 20)).to_numpy(copy=True)  # twins of motif length 1
    wrong[60:64] = True  # 4 of the 20 positives of motif length 4
    found = by_axis({"m/r": [guesses(records, wrong)]}, records)
    axis = found["motif_length"]
    assert [part["label"] for part in axis["bins"]] == ["1", "2", "3", "4"] and axis["title"] == "Motif length (bases)"
    assert [(part["n"], part["groups_effective"]) for part in axis["bins"]] == [(40, 20.0)] * 4
    values = [part["values"]["m/r"] for part in axis["bins"]]
    assert values == [0.0, 1.0, 1.0, pytest.approx((16 * 20) / (16 * 24 * 20 * 20) ** 0.5)]
    assert axis["note"] == "each bin holds its positives and the negatives drawn for them"
    assert [part["label"] for part in found["divergence"]["bins"]] == ["0", "10", "20", "30"]
    assert "copies" not in found  # all the same


def test_the_sources_of_negatives_with_the_positives_they_were_drawn_for():
    records = table()
    wrong = (records["source"] == "shuffled").to_numpy()
    parts = {part["label"]: part for part in by_axis({"m/r": [guesses(records, wrong)]}, records)["source"]["bins"]}
    assert {label: part["n"] for label, part in parts.items()} == {"shuffled": 40, "unique": 120}
    assert parts["shuffled"]["values"]["m/r"] == 0 and parts["unique"]["values"]["m/r"] == 1


@pytest.mark.parametrize("split_up", [False, True])
def test_without_twins_a_bin_holds_all_negatives(split_up):
    records = table().drop(columns="positive")
    if split_up:  # the negatives' positives are in another split
        records = records.assign(positive=["x"] * len(records))
    found = by_axis({"m/r": [guesses(records, np.zeros(len(records), bool))]}, records)
    assert [part["n"] for part in found["motif_length"]["bins"]] == [20 + PAIRS] * 4
    assert "all negatives, as negatives are not paired" in found["motif_length"]["note"]
    assert [part["n"] for part in found["source"]["bins"]] == [PAIRS + 20, PAIRS + 60]


def test_array_length_gc_and_group_size_take_every_record():
    records = table(group=["one"] * 40 + [f"g{n}" for n in range(2 * PAIRS - 40)])
    found = by_axis({"m/r": [guesses(records, np.zeros(len(records), bool))]}, records)
    assert [part["label"] for part in found["array_length"]["bins"]] == ["20", "24", "28", "32"]
    assert [part["n"] for part in found["array_length"]["bins"]] == [40] * 4
    low, high = found["gc"]["bins"]
    assert (low["label"], high["label"]) == ("0", "50") and low["values"]["m/r"] is None
    assert low["note"] == "one class only"
    single, large = found["group_size"]["bins"]
    assert (single["label"], single["n"], single["groups_effective"]) == ("1", 120, 120.0)
    assert (large["label"], large["n"], large["groups_effective"]) == ("40", 40, 1.0)


def test_flanks_are_no_part_of_an_array():
    records = table()
    length = records["sequence"].str.len()
    records["start"], records["end"] = (100 + 0 * length).astype("Int64"), (100 + length - 10).astype("Int64")
    found = by_axis({"m/r": [guesses(records, np.zeros(len(records), bool))]}, records)
    assert [part["label"] for part in found["array_length"]["bins"]] == ["10", "14", "18", "22"]


def test_a_table_has_length_gc_and_group_size():
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACGT"), 10 + n % 100)) for n in range(240)]
    records = pd.DataFrame({"id": [f"r{n}" for n in range(240)], "sequence": sequences, "label": np.arange(240) % 3})
    records["group"] = [f"g{n // 2 if n < 80 else n}" for n in range(240)]
    scores = np.eye(3)[records["label"]]
    perfect = ClassPredictions(records["id"].to_numpy(object), records["label"].to_numpy(), scores)
    found = by_axis({"m/r": [perfect]}, records, "table")
    assert list(found) == ["length", "gc", "group_size"]
    assert all(sum(part["n"] for part in axis["bins"]) == 240 for axis in found.values())
    assert {value for axis in found.values() for part in axis["bins"] for value in part["values"].values()} == {1.0}


def test_the_runs_of_a_group_are_averaged_in_any_row_order():
    records = table()
    right, wrong = (guesses(records, np.full(len(records), value)) for value in (False, True))
    turned = ClassPredictions(wrong.ids[::-1], wrong.labels[::-1], wrong.scores[::-1])
    found = by_axis({"a/r": [right, turned], "b/r": [turned]}, records)
    assert found["motif_length"]["bins"][0]["values"] == {"a/r": 0.0, "b/r": -1.0}
    assert strata({"a/r": [right]}, records, "repeats") == strata({"a/r": [right]}, records.iloc[::-1], "repeats")


def test_too_little_has_no_value_and_says_so():
    records = table().iloc[[*range(0, 80, 4), *range(80, 160, 4)]]
    found = by_axis({"m/r": [guesses(records, np.zeros(len(records), bool))]}, records)
    for part in found["motif_length"]["bins"]:
        assert part["n"] == 10 and part["values"] == {"m/r": None} and part["note"].startswith("too few records (")


def test_a_class_of_few_records_has_no_value():
    records = table().iloc[:84].assign(group="g", sequence=["AC" * (1 + n % 2) for n in range(84)])
    (axis,) = strata({"m/r": [guesses(records, np.zeros(84, bool))]}, records, "table")
    assert axis["axis"] == "length" and [part["n"] for part in axis["bins"]] == [42, 42]
    assert {part["note"] for part in axis["bins"]} == {"too few records of a class (fewer than 5)"}


def test_records_that_a_run_left_out_are_left_out_for_all():
    records = table()
    whole = guesses(records, np.zeros(len(records), bool))
    part = guesses(records.iloc[10:], np.zeros(len(records) - 10, bool))
    found = by_axis({"a/r": [whole], "b/r": [part]}, records)
    assert sum(part["n"] for part in found["array_length"]["bins"]) == 2 * PAIRS - 10


def test_values_that_are_missing_are_counted():
    records = table()
    records.loc[:9, "divergence"] = np.nan
    axis = by_axis({"m/r": [guesses(records, np.zeros(len(records), bool))]}, records)["divergence"]
    assert axis["note"].endswith("; 10 records without a value are left out")
    assert sum(part["n"] for part in axis["bins"]) == 2 * (PAIRS - 10)


def test_predictions_of_another_data_set_are_refused():
    records = table()
    alien = guesses(records.assign(id=[f"x{n}" for n in range(len(records))]), np.zeros(len(records), bool))
    with pytest.raises(UserError, match=r"^m/r: prediction 'x0' is not in the test split"):
        strata({"m/r": [alien]}, records, "repeats")
    halves = [guesses(records.iloc[part], np.zeros(PAIRS, bool)) for part in (slice(PAIRS), slice(PAIRS, None))]
    with pytest.raises(UserError, match="no test record in common"):
        strata({"m/r": halves}, records, "repeats")
