"""Single k-mers that mark a class: every plant is found, composition is not mistaken for one, counts are by group."""

import numpy as np
import pandas as pd
import pytest
from audited import divided, leakage, letters, numbered, records, subject
from closeness import close
from planted import PLANTS, WORD, simulate, word_at
from scipy.stats import fisher_exact

from dnalm.evaluation.audit.family import correct
from dnalm.evaluation.audit.findings import audit
from dnalm.evaluation.audit.markers import ELSEWHERE, Marker, find_markers, markers


def judged(table, **more):
    (found,) = correct(find_markers(table))
    return markers(subject(**more), found)


@pytest.mark.parametrize(("share", "number"), [(1.0, 400), (0.2, 400), (0.1, 400), (0.05, 1000)])
def test_a_word_at_one_position_is_found_with_its_precision_and_recall(share, number):
    check = judged(simulate(number, 3, plant=word_at(40, share)))
    assert check["status"] == ("fail" if share >= 0.05 else "warn") and "at position 4" in check["found"]
    marker = check["details"]["markers"][0]
    assert marker["where"] == "start" and marker["word"] in WORD and marker["label"] == 1
    assert 40 <= marker["place"] <= 40 + len(WORD) - len(marker["word"])
    assert close(marker["recall"], share, 0.02, scale=1) and marker["precision"] > 0.9 > 0.5 < marker["precision_low"]
    assert close(marker["auroc"], 0.5 + share / 2, 0.02, scale=1)
    assert "position" in check["fix"]


@pytest.mark.parametrize("name", [name for name, (check, _, _) in PLANTS.items() if check == "markers"])
def test_every_kind_of_marker_is_found_at_1000_records(name):
    share_too_small_to_see = {"12-mer anywhere in 5 % of the positives"}
    table = simulate(2000 if name in share_too_small_to_see else 1000, 5, plant=PLANTS[name][1])
    assert judged(table)["status"] != "pass"


def test_the_end_and_the_other_class_are_named():
    check = judged(simulate(1000, 1, plant=word_at(20, 0.2, label=0, end=True)))
    assert "from the end marks label 0 (no)" in check["found"] and "(precision" in check["found"]


def test_sequences_of_one_length_have_their_positions_from_the_start_alone():
    found = find_markers(simulate(200, 1, spread=0))
    assert {one.where for one in found} == {"start", "anywhere"}


def test_relatives_count_once():
    """Of 40 families of 10 positives one has the word: a tenth of the records' word is one group's."""
    table = simulate(800, 2, family=10)
    one = table["group"] == table.loc[table["label"] == 1, "group"].iloc[0]
    table.loc[one, "sequence"] = [text[:40] + WORD + text[52:] for text in table.loc[one, "sequence"]]
    check = judged(table)
    assert check["status"] == "pass" and check["details"]["markers"] == []


def test_the_p_value_is_that_of_fisher_times_the_candidates():
    table = simulate(600, 4, plant=word_at(40, 0.3))
    found = max((one for one in find_markers(table) if one.where == "start"), key=lambda one: one.k)
    counts = [[found.marked, found.of - found.marked], [found.unmarked, found.of_others - found.unmarked]]
    assert close(found.p, fisher_exact(counts, "greater").pvalue * found.candidates, 1e-9)
    assert found.of + found.of_others == 600 and found.precision == found.marked / (found.marked + found.unmarked)


def test_composition_is_no_marker_of_a_position():
    """AT-rich positives: AAAA is frequent at every position of theirs, and so marks none."""
    rng = np.random.default_rng(1)
    labels = np.arange(600) % 2
    sequences = [letters(rng, 120, 0.6 if label == 0 else 0.1) for label in labels]
    table = pd.DataFrame({"sequence": sequences, "label": labels, "group": [f"g{row}" for row in range(600)]})
    found = find_markers(table)
    assert not [one for one in found if one.where == "start" and one.word], found
    assert ELSEWHERE > 1


def test_a_repeat_or_a_short_word_anywhere_warns_and_never_fails():
    plain = {"where": "anywhere", "p": 1e-9, "p_holm": 1e-8, "label": 1, "marked": 60, "of": 100, "of_others": 100}
    for word, kind, status in (
        ("ACGTTGCAAGCT", "table", "fail"), ("ACGTTGCAAGCT", "repeats", "warn"), ("CACACACACACA", "table", "warn"),
        ("ACGTTGCA", "table", "warn"),
    ):  # fmt: skip
        assert markers(subject(kind), [Marker(k=len(word), word=word, **plain)])["status"] == status


def test_targets_are_taken_by_their_median():
    table = numbered(1, 600)
    high = table["target"] > 1
    table.loc[high, "sequence"] = [text[:20] + WORD + text[32:] for text in table.loc[high, "sequence"]]
    check = judged(table, truth="target")
    assert check["status"] == "fail" and "marks targets above the median" in check["found"]
    assert "label" not in check["found"] + check["why"] + check["fix"]


def test_three_classes_and_too_few_records():
    check = judged(simulate(900, 1, classes=3, plant=word_at(30, 0.3)))
    assert check["status"] == "fail" and "marks label 1" in check["found"]
    few = judged(records(1, pairs=20))
    assert few["status"] == "pass" and few["found"].startswith("Not looked for: fewer than 30")


def test_the_audit_reports_a_marker_that_no_probe_sees():
    tables = divided(simulate(1000, 7, plant=word_at(40, 0.1)))
    result = audit(subject(), tables, leakage(tables), {})
    found = {check["name"]: check["status"] for check in result["checks"]}
    assert found["shortcuts"] == "pass" and found["markers"] == "fail" and result["status"] == "fail"
    assert all(probe["value"] < 0.6 for probe in result["shortcuts"])
