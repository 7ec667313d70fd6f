"""The audit of numbers to predict: each planted flaw is found, clean data pass, and no word is of classes."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from audited import divided, leakage, letters, numbered, subject
from closeness import close
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_models import call

from dnalm.config.audits import Audit, Check
from dnalm.data.contradictions import conflicting_targets
from dnalm.errors import UserError
from dnalm.evaluation.audit.family import correct
from dnalm.evaluation.audit.findings import audit, check_tables
from dnalm.evaluation.audit.measures import MEASURES
from dnalm.evaluation.audit.probes import _folds, judge, measure_probes
from dnalm.evaluation.audit.properties import title
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.statistics.rank_correlation import clustered_spearman, rank_correlation
from dnalm.names import SPLITS, TARGET

LIMITS = Audit().model_dump()
OF_CORPORA = {"overlapping_windows", "shared_kmers"}
ABSENT = {*OF_CORPORA, "pretraining", "origin", "classes", "conflicting_labels", "locus_overlap", "motif_families", "negatives_in_catalogue", "negatives_called_by_trf"}  # fmt: skip


def judged(tables, facts=None, tokens=None, **limits):
    result = audit(subject(truth="target", **limits), tables, facts or leakage(tables), tokens or {})
    return {check["name"]: check for check in result["checks"]}, result


def found(table, tokens=None):
    (measured,) = correct(measure_probes(table, tokens or {}, LIMITS))
    return {probe.name: probe for probe in judge(measured, TARGET, LIMITS, "table")}


@pytest.fixture(scope="module")
def clean():
    return divided(numbered(1, 400))


def test_a_clean_set_passes_what_applies_and_nothing_speaks_of_classes(clean):
    facts = leakage(clean)
    for pair in facts["across"].values():
        pair["locus"] |= {"located_left": 0, "located_right": 0}
    tokens = {"m": TokenCounts(np.concatenate([t["sequence"].str.len() // 4 for t in clean.values()]), 0, 512)}
    checks, result = judged(clean, facts, tokens, fail_on=["all"])
    assert list(checks) == [name for name in Check.__args__ if name not in ABSENT]
    assert {check["status"] for check in checks.values()} == {"pass"} and result["stops"] == []
    assert {probe["metric"] for probe in result["shortcuts"]} == {"spearman"}
    assert not re.search(r"\b(class|label|negative)", json.dumps(result, allow_nan=False).replace("label_column", ""))


FLAWS = {
    "length": lambda s: len(s) / 30,
    "gc": lambda s: 8 * (s.count("G") + s.count("C")) / len(s),
    "ambiguity": lambda s: 0.0,
    "first_kmer": lambda s: 3.0 * (s[:3] < "G"),
    "last_kmer": lambda s: 3.0 * (s[-3:] < "G"),
}
KIN = {
    "length": {"length_gc", "periodicity"},
    "gc": {"length_gc", "first_kmer", "last_kmer", "periodicity", "homopolymer"},
    "first_kmer": {"positions"},
    "last_kmer": {"positions"},
}
"""What else may fail with a property: chance agreement is higher in short or uneven sequences."""


@pytest.mark.parametrize("name", [name for name in FLAWS if name != "ambiguity"])
def test_a_planted_shortcut_is_found_and_nothing_else(name):
    probes = found(numbered(2, of=FLAWS[name]))
    failed = {probe.name for probe in probes.values() if probe.status == "fail"}
    assert name in failed and failed <= {name, *KIN.get(name, set())}, failed
    assert probes[name].found.low > 0.3 and probes[name].note == f"A shortcut: the target can be predicted from {title(name)} alone."  # fmt: skip


def test_letters_tokens_and_soft_masking_that_follow_the_target_are_found():
    table = numbered(3)
    high = (table["target"] > 0).to_numpy()
    table["sequence"] = [s[:9] + "N" * int(many) + s[9:] for s, many in zip(table["sequence"], high * 4, strict=True)]
    table["soft_masked"] = np.where(high, 0.9, 0.1)
    tokens = {"m": TokenCounts(20 + 5 * high + np.arange(len(table)) % 3, 0, None)}
    probes = found(table, tokens)
    failed = {name for name, probe in probes.items() if probe.status == "fail"}
    assert failed == {"ambiguity", "case", "tokens/m", "positions"}  # the place of the N is fixed


def test_both_extremes_of_a_number_are_found():
    rng = np.random.default_rng(4)
    table = numbered(4, of=lambda s: abs(len(s) - 100) / 10)
    table["target"] += rng.normal(size=len(table)) / 10
    assert found(table)["length"].status == "fail"


def test_a_shortcut_fails_the_check_and_says_what_to_do(clean):
    tables = divided(numbered(5, of=FLAWS["length"]))
    checks, result = judged(tables, fail_on=["shortcuts"])
    check = checks["shortcuts"]
    assert check["status"] == "fail" and check["value"] > check["threshold"] == 0.3 and result["stops"] == ["shortcuts"]
    assert check["found"].startswith("The target can be predicted from length (Spearman correlation 0.")
    assert "compare with the baseline `length_gc`" in check["fix"]
    assert judged(tables, shortcut_spearman=0.99)[0]["shortcuts"]["status"] == "warn"
    assert judged(clean)[0]["shortcuts"]["found"] == "No simple property predicts the target."


def test_records_of_a_group_tell_no_shortcut_of_their_own():
    """Targets that are one a group, and lengths too: without whole groups in a fold, length would tell the group."""
    table = numbered(6, 300, per_group=10)
    rng = np.random.default_rng(6)
    groups = np.arange(300) // 10
    lengths, targets = rng.integers(40, 160, 30), rng.normal(size=30)
    table["sequence"] = [letters(rng, int(lengths[group])) for group in groups]
    table["target"] = targets[groups]
    assert found(table)["length"].status != "fail"


def test_splits_without_enough_targets(clean):
    tables = dict(clean, test=clean["test"].head(0))
    checks, result = judged(tables)
    assert checks["sizes"]["status"] == "fail" and checks["sizes"]["found"] == "Test has no records."
    assert result["stops"] == ["sizes"]
    constant = judged(dict(clean, validation=clean["validation"].assign(target=2.5)))[0]["sizes"]
    assert constant["status"] == "fail" and constant["found"] == "Every target of validation is the same."
    few = judged(dict(clean, test=clean["test"].assign(target=np.arange(len(clean["test"])) % 3.0)))[0]["sizes"]
    assert few["status"] == "warn" and few["found"] == "Test has only 3 different targets."


def test_a_split_with_other_targets_is_found(clean):
    shifted = dict(clean, test=clean["test"].assign(target=clean["test"]["target"] + 1))
    check = judged(shifted)[0]["target_distributions"]
    distance = stats.ks_2samp(clean["train"]["target"], shifted["test"]["target"]).statistic
    assert check["status"] == "warn" and check["details"]["distances"]["train/test"] == pytest.approx(
        distance, abs=1e-6
    )
    assert "The targets of train and test differ (distance 0." in check["found"]
    related = {
        split: table.assign(group=[f"g{row % 4}" for row in range(len(table))]) for split, table in shifted.items()
    }
    assert judged(related)[0]["target_distributions"]["status"] == "pass"  # four groups a split: may be chance


def test_conflicting_targets_are_judged(clean):
    facts = leakage(clean)
    facts["conflicting_targets"] |= {
        "same": {"sequences": 2, "records": 5},
        "near": {"records": 7, "with_relatives": 9},
    }
    check = judged(clean, facts)[0]["conflicting_targets"]
    assert check["status"] == "fail" and check["value"] == 5 / 400
    assert check["found"].startswith("2 sequences (5 records, 1.2 %), either strand, with targets more than 0.5 apart")
    assert "7 more records (1.8 %) have a similar sequence" in check["found"]
    facts["conflicting_targets"]["same"] = {"sequences": 0, "records": 0}
    check = judged(clean, facts)[0]["conflicting_targets"]
    assert check["status"] == "warn" and check["found"].startswith("7 records (1.8 %) have a similar sequence")


def test_same_and_near_identical_sequences_with_targets_far_apart():
    rng = np.random.default_rng(7)
    form_of = np.array([*range(42), 0, 0, 1])
    targets = rng.uniform(-0.1, 0.1, len(form_of))
    targets[[20, 21]] = 8, -8  # a deviation of about 1.7
    targets[42] = targets[0] + 3  # the same sequence, far apart
    targets[44] = targets[1] + 0.1  # the same, near
    targets[40] = targets[3] - 3  # near-identical, far apart; 41 is near-identical to 5, and near
    left, right = np.array([3, 5]), np.array([40, 41])
    facts, examples = conflicting_targets(form_of, left, right, targets)
    assert facts["apart"] == pytest.approx(targets.std() / 2)
    assert facts["same"] == {"sequences": 1, "records": 3} and facts["near"] == {"records": 2, "with_relatives": 4}
    assert examples == [(0, 42) if targets[0] < targets[43] else (42, 43), (3, 40)]
    nothing = np.zeros(0, int)
    assert conflicting_targets(nothing, nothing, nothing, np.zeros(0))[0]["same"] == {"sequences": 0, "records": 0}


def test_tables_of_targets_that_cannot_be_audited(clean):
    def wrong(tables, message):
        with pytest.raises(UserError, match=message):
            check_tables(tables, {split: f"{split}.parquet" for split in SPLITS})

    test = clean["test"]
    check_tables(clean, dict.fromkeys(SPLITS, ""))
    wrong(dict(clean, test=test.rename(columns={"target": "label"})), "^test.parquet: no column 'target'")
    wrong(dict(clean, test=test.assign(target=[np.nan, *test["target"][1:]])), f"record '{test['id'][0]}': no target")
    wrong(dict(clean, test=test.assign(target=[np.inf, *test["target"][1:]])), "targets have to be finite numbers")


def test_the_script_tells_targets_by_their_column(clean, tmp_path, monkeypatch):
    for split, table in clean.items():
        table.to_parquet(tmp_path / f"{split}.parquet")
    (tmp_path / "leakage.json").write_text(json.dumps(leakage(clean)))
    spec = {"dataset": "d", "kind": "table", "audit": LIMITS, "labels": None, "models": {}}
    options = ["--data", tmp_path, "--leakage", tmp_path / "leakage.json", "--output", tmp_path / "audit.json"]
    assert call(monkeypatch, "audit.py", *options, spec=spec) == 0
    checks = [check["name"] for check in json.loads((tmp_path / "audit.json").read_text())["checks"]]
    assert checks[:2] == ["sizes", "target_distributions"] and "conflicting_targets" in checks


columns = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=40)


@given(columns)
@settings(max_examples=60, deadline=None)
def test_the_correlation_is_that_of_scipy_and_its_influence_is_its_derivative(rows):
    one, other = (np.array(column, float) for column in zip(*rows, strict=True))
    if not np.ptp(one) or not np.ptp(other):
        assert rank_correlation(one, other)[0] == 0
        return
    value, influence = rank_correlation(one, other)
    assert close(value, stats.spearmanr(one, other).statistic, 1e-12, scale=1)
    times = 4000  # one record more among so many copies of all
    bigger = rank_correlation(np.append(np.tile(one, times), one[0]), np.append(np.tile(other, times), other[0]))[0]
    assert close((bigger - value) * (times * len(one)), influence[0], 2e-3, scale=1 + abs(influence[0]))
    assert close(influence.sum(), 0, 1e-9, scale=1)


def test_only_records_of_one_fold_are_correlated():
    score, target, records = [1.0, 2, 0, 1], [0.0, 1, 8, 9], np.arange(4)
    assert clustered_spearman(np.array(score), np.array(target), np.zeros(4, int), records).value < 0
    assert clustered_spearman(np.array(score), np.array(target), np.array([0, 0, 1, 1]), records).value == 1
    assert clustered_spearman(np.array(score), np.array(target), records, records).value is None


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_the_interval_of_out_of_fold_predictions_covers(effect):
    """100 data sets of 100 groups of two; the number that is known correlates with the target by a known Spearman."""
    rng, covered = np.random.default_rng(8), 0
    codes = np.repeat(np.arange(100), 2)
    noise = np.sqrt(1 - effect**2)
    truth = 6 / np.pi * np.arcsin(effect / 2)  # of a bivariate normal distribution (Pearson 1907)
    for _ in range(100):
        value, error = (
            np.sqrt(0.36) * rng.normal(size=100)[codes] + np.sqrt(0.64) * rng.normal(size=200) for _ in range(2)
        )
        result = MEASURES["target"].cross_validated(
            value[:, None], effect * value + noise * error, codes, _folds(codes)
        )
        covered += result.low <= truth <= result.high
    assert covered >= 90, covered


def test_clean_sets_pass():
    rng, failed = np.random.default_rng(16), 0
    for seed in range(20):
        table = numbered(100 + seed, int(rng.integers(100, 300)), per_group=1 + seed % 2)
        table["soft_masked"] = rng.random(len(table))
        tables = divided(table)
        tokens = {"m": TokenCounts(np.concatenate([t["sequence"].str.len() // 4 for t in tables.values()]), 0, 512)}
        failed += judged(tables, tokens=tokens)[1]["status"] == "fail"
    assert failed == 0


def test_a_property_that_never_varies_tells_nothing():
    table = numbered(11, 333)
    table["sequence"] = table["sequence"].str[:40]
    probe = found(table)["length"].found
    assert (probe.value, probe.low, probe.high) == (0.0, 0.0, 0.0)


def test_checks_of_tokens_are_absent_where_no_model_is_run(clean):
    assert not {"overlong", "unknown_tokens"} & set(judged(clean)[0])


def test_too_few_groups_are_said():
    table = numbered(9).assign(group=lambda t: [f"g{row % 3}" for row in range(len(t))])
    probe = found(table)["gc"]
    assert probe.found.value is not None and probe.found.low is None
    assert probe.note.startswith("Interval not given: 3.0 effective groups, too few")


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_hardly_any_records(rows):
    probes = found(pd.DataFrame(numbered(10).head(rows)))
    assert {probe.status for probe in probes.values()} <= {"pass", "warn"}
