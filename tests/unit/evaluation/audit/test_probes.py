"""AUROC with groups against plain counts, and probes that find what was planted and nothing else."""

import numpy as np
import pandas as pd
import pytest
from audited import divided, leakage, letters, planted, records, subject
from closeness import close
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from dnalm.config.audits import Audit
from dnalm.evaluation.audit import composition
from dnalm.evaluation.audit.family import correct
from dnalm.evaluation.audit.findings import audit
from dnalm.evaluation.audit.measures import MEASURES
from dnalm.evaluation.audit.probes import Probe, _folds, judge, measure_probes
from dnalm.evaluation.audit.properties import CONTROL, title, triplets
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.statistics.auroc import clustered_auroc, weakest_class
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import LABEL

LIMITS = Audit().model_dump()


def two_columns(score):
    return np.column_stack([1 - np.asarray(score, float), score])


def found(table, kind="table", tokens=None) -> dict[str, Probe]:
    (measured,) = correct(measure_probes(table, tokens or {}, LIMITS))
    return {probe.name: probe for probe in judge(measured, LABEL, LIMITS, kind)}


def area(score, labels, codes=None, strata=None):
    n = len(labels)
    codes = np.arange(n) if codes is None else np.asarray(codes)
    strata = np.zeros(n, int) if strata is None else np.asarray(strata)
    return clustered_auroc(two_columns(score), np.asarray(labels), strata, codes)


def test_groups_by_hand():
    groups = Groups.of(np.array([0, 0, 0, 1, 2]))
    assert (groups.number, groups.largest, groups.records) == (3, 3, 5)
    assert groups.effective == pytest.approx(25 / 11) and groups.largest_fraction == 0.6
    assert Groups.of(np.zeros(0, int)) == Groups(0, 0, 0, 0)
    assert weakest_class(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3])) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_area_is_that_of_scikit_learn(rows):
    score, labels = (np.array(column) for column in zip(*rows, strict=True))
    value = area(score / 5, labels.astype(int)).value
    if len(set(labels)) < 2:
        assert value is None
    else:
        assert close(value, roc_auc_score(labels, score), 1e-12, scale=1)


def test_only_records_of_one_fold_are_compared():
    score, labels = [0.1, 0.2, 0.8, 0.9], [0, 1, 0, 1]
    assert area(score, labels).value == 0.75
    assert area(score, labels, strata=[0, 0, 1, 1]).value == 1
    assert area(score, labels, strata=[0, 1, 2, 3]).value is None


def test_single_records_have_the_variance_of_delong():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [300, 200])
    score = stats.norm.cdf(rng.normal(size=500) + labels)
    x, y = score[labels == 1], score[labels == 0]
    above = (x[:, None] > y).astype(float)
    variance = above.mean(axis=1).var(ddof=1) / len(x) + above.mean(axis=0).var(ddof=1) / len(y)
    result = area(score, labels)
    value = above.mean()
    margin = stats.t.ppf(0.975, 199) * np.sqrt(variance) / (value * (1 - value))
    expected = 1 / (1 + np.exp(-(np.log(value / (1 - value)) + np.array([-margin, margin]))))
    assert close([result.low, result.high], expected, 3e-4)  # another estimator of the same variance


def test_records_of_a_group_count_as_one():
    rng = np.random.default_rng(2)
    labels = np.tile([0, 1], 100)
    score = stats.norm.cdf(rng.normal(size=200) + 1.5 * labels)
    codes = np.repeat(np.arange(100), 2)
    once = area(score, labels, codes)
    tenfold = area(np.tile(score, 10), np.tile(labels, 10), np.tile(codes, 10))
    assert tenfold.value == pytest.approx(once.value)
    assert close([tenfold.low, tenfold.high], [once.low, once.high], 1e-12)
    unheeded = area(np.tile(score, 10), np.tile(labels, 10))
    assert unheeded.high - unheeded.low < 0.5 * (once.high - once.low)


def test_more_classes_are_averaged_one_against_the_rest():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 90)
    scores = rng.dirichlet(np.ones(3), 90)
    result = clustered_auroc(scores, labels, np.zeros(90, int), np.arange(90))
    expected = np.mean([roc_auc_score(labels == k, scores[:, k]) for k in range(3)])
    assert result.value == pytest.approx(expected) and result.low < result.value < result.high
    assert clustered_auroc(scores, labels, np.zeros(90, int), np.zeros(90, int)).low is None  # one group


@pytest.mark.parametrize("effect", [0, 0.4])
def test_the_interval_of_out_of_fold_scores_covers(effect):
    """100 data sets of 100 twins whose number is known to tell the classes apart at an AUROC of Phi(effect / sqrt 2)."""
    rng, truth, covered = np.random.default_rng(4), stats.norm.cdf(effect / np.sqrt(2)), 0
    labels, codes = np.tile([0, 1], 100), np.repeat(np.arange(100), 2)
    for _ in range(100):
        value = 0.6 * rng.normal(size=100)[codes] + 0.8 * rng.normal(size=200) + effect * labels
        result = MEASURES[LABEL].cross_validated(value[:, None], labels, codes, _folds(codes))
        covered += result.low <= truth <= result.high
    assert covered >= 90


def test_folds_never_part_a_group():
    codes = np.random.default_rng(5).integers(0, 60, 400)
    folds = _folds(codes)
    assert all(len(set(folds[codes == code])) == 1 for code in set(codes))
    assert np.bincount(folds).tolist() == pytest.approx([80] * 5, abs=5)
    assert _folds(np.zeros(5, int)).tolist() == [0] * 5 and len(_folds(np.zeros(0, int))) == 0


def test_triplets_by_hand():
    matrix = triplets(["ACGTTT", "AAN", ""]).toarray()
    assert matrix.shape == (3, 128) and np.flatnonzero(matrix[0]).tolist() == [6, 64 + 63]
    assert not matrix[1:].any()


def change(rng, sequence, start, word):
    return sequence[:start] + word + sequence[start + len(word) :] if rng.random() < 0.7 else sequence


PLANTED = {
    "length": lambda rng, s: s + letters(rng, 40),
    "gc": lambda rng, s: "".join("G" if base == "A" and rng.random() < 0.7 else base for base in s),
    "ambiguity": lambda rng, s: change(rng, s, 20, "N"),
    "first_kmer": lambda rng, s: change(rng, s, 0, "TGACTC"),
    "last_kmer": lambda rng, s: change(rng, s, len(s) - 6, "TGACTC"),
    "periodicity": lambda rng, s: (s[:10] * len(s))[: len(s)],
}
KIN = {
    "length": {"length_gc", "periodicity", "length_parity", "dinucleotide_entropy", "homopolymer", "positions"},
    "gc": {"length_gc", "first_kmer", "last_kmer", "periodicity", "dinucleotide_entropy", "homopolymer", "gc_skew"},
    "periodicity": {"dinucleotide_entropy", "homopolymer", "gc_skew"},
    "first_kmer": {"positions"},
    "last_kmer": {"positions"},
}
"""What else may fail with a property: chance agreement is higher in short or uneven sequences."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_is_caught(name):
    probes = found(planted(PLANTED[name]))
    failed = {probe.name for probe in probes.values() if probe.status == "fail"}
    assert name in failed and failed <= {name, *KIN.get(name, set())}, failed
    assert title(name) in probes[name].note and probes[name].found.low > 0.6


def test_both_extremes_of_a_number_are_caught():
    """Shortest and longest of one class: the mean length says nothing, its square does."""
    table = records(6)
    rng = np.random.default_rng(7)
    lengths = np.where(table["label"] == 0, 100, rng.choice([60, 140], len(table)))
    table["sequence"] = [letters(rng, int(length)) for length in lengths]
    assert found(table)["length"].status == "fail"


def test_soft_masking_and_tokens_are_looked_at_where_they_are_known():
    table = records(8)
    assert "case" not in found(table)
    table["soft_masked"] = (table["label"] == 1) | (np.arange(len(table)) % 3 == 0)
    tokens = {"m": TokenCounts(20 + 5 * table["label"].to_numpy() + np.arange(len(table)) % 3, 0, None)}
    probes = found(table, tokens=tokens)
    assert probes["case"].status == "fail" and probes["tokens/m"].status == "fail"
    assert title("tokens/m") == "the number of tokens of m" and probes["gc"].status == "pass"


def test_periodicity_is_what_repeats_mean():
    table = planted(PLANTED["periodicity"])
    probe = found(table, "repeats")["periodicity"]
    assert probe.status == "warn" and probe.excused and "what the label means" in probe.note
    assert found(table, "table")["periodicity"].status == "fail"


def test_composition_is_no_shortcut_of_the_ends():
    table = records(9)
    rng = np.random.default_rng(10)
    rich = np.array(list("AC")), np.array(list("GT"))  # of one GC, and not of one composition
    table["sequence"] = [
        "".join(rng.choice(rich[label], len(s))) for s, label in zip(table["sequence"], table["label"], strict=True)
    ]
    probes = found(table)
    assert probes["gc"].status == "pass" and probes[CONTROL].status == "pass" and probes[CONTROL].found.low > 0.6
    for name in ("first_kmer", "last_kmer"):
        assert probes[name].status == "warn" and probes[name].note.startswith("Composition, not the place")


def test_a_matched_number_has_an_area_of_a_half():
    probe = found(records(11))["length"]
    assert (probe.found.value, probe.found.low, probe.found.high) == (0.5, 0.5, 0.5)


def test_below_a_half_is_an_artifact_and_no_pass():
    """Twins in groups of their own: what is learnt of one, its twin contradicts."""
    table = records(12, pairs=200)
    step = np.arange(len(table)) // 2 % 5
    table["sequence"] = [letters(np.random.default_rng(i), 60 + 20 * int(s)) for i, s in enumerate(step)]
    table["group"] = [f"{(row // 2 + label) % 5}-{row}" for row, label in enumerate(table["label"])]
    codes = pd.factorize(table["group"], sort=True)[0]
    assert len(set(codes)) == len(table)
    from dnalm.evaluation.audit import probes as module

    # a fold holds one class of each length, the others the other one
    folds = (step + table["label"].to_numpy() * 2) % 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_folds", lambda codes: folds)
        probe = found(table)["length"]
    assert probe.found.high < 0.5 and probe.status == "warn" and probe.note.startswith("An artifact, not a pass")


def test_too_few_groups_are_said():
    table = records(13)
    table["group"] = [f"g{row // 2 % 3}" for row in range(len(table))]
    probe = found(table)["gc"]
    assert probe.found.value is not None and probe.found.low is None
    assert probe.note.startswith("Interval not given: 3.0 effective groups in the scarcest class")


@pytest.mark.parametrize("rows", [0, 3])
def test_hardly_any_records(rows):
    probes = found(records(14).head(rows))
    assert {probe.status for probe in probes.values()} <= {"pass", "warn"}
    assert all(probe.found.low is None for probe in probes.values())


def test_one_class_is_not_measured():
    table = records(15)
    probe = found(table[table["label"] == 1])["gc"]
    assert probe.found.value is None and probe.note.startswith("Not measured")


def test_nothing_depends_on_the_order_of_records():
    table = planted(PLANTED["gc"])
    shuffled = table.sample(frac=1, random_state=1)
    one, other = ({name: p.found.value for name, p in found(t).items()} for t in (table, shuffled))
    assert close(one, other, 2e-3)
    assert [p.as_json() for p in found(table).values()] == [p.as_json() for p in found(table).values()]


def test_clean_sets_hardly_ever_warn():
    """Of 16 clean sets of two or three classes, 60 to 150 twins, at most one warns: .05 each over all tests together."""
    rng, warned = np.random.default_rng(16), 0
    for seed in range(16):
        pairs, kind = int(rng.integers(60, 150)), ("table", "repeats")[seed % 2]
        table = records(seed, pairs=pairs, classes=2 + seed % 3 // 2, per_group=1 + seed % 2)
        table["soft_masked"] = rng.random(len(table))
        tables = divided(table)
        tokens = {"m": TokenCounts(np.concatenate([t["sequence"].str.len() // 4 for t in tables.values()]), 0, 512)}
        checks = audit(subject(kind), tables, leakage(tables, kind), tokens)["checks"]
        statuses = {check["name"]: check["status"] for check in checks}
        warned += {statuses[name] for name in ("shortcuts", "markers", "split_balance")} != {"pass"}
    assert warned <= 1


@pytest.mark.parametrize(("name", "change"), {
    "length_parity": lambda rng, s: s[: len(s) // 2 * 2],
    "gc_skew": lambda rng, s: "".join("G" if base == "C" and rng.random() < 0.5 else base for base in s),
    "homopolymer": lambda rng, s: change(rng, s, 20, "AAAAAAAAAA"),
    "dinucleotide_entropy": lambda rng, s: (s[:12] * 20)[: len(s)],
    "kmers": lambda rng, s: s.replace("GAT", "GTA").replace("CAT", "CTA"),
    "positions": lambda rng, s: change(rng, s, 30, "C"),
}.items())  # fmt: skip
def test_more_planted_properties_are_caught(name, change):
    probes = found(planted(change, pairs=250))
    assert probes[name].status == ("warn" if name == "kmers" else "fail"), probes[name]
    assert title(name) in probes[name].note or name == "kmers"


def test_new_properties_by_hand():
    assert close(composition.dinucleotide_entropy(["AAAA", "ACGTACGT", "N"]).ravel(), [0, 1.9502120649, 0], 1e-6)
    assert composition.gc_skew(["GGC", "AT", "CNC"]).ravel().tolist() == [1 / 3, 0, -1]
    assert composition.homopolymers(["AACCCAT", "", "NNNG"]).tolist() == [[2, 3, 0, 1], [0] * 4, [0, 0, 1, 0]]
    assert composition.homopolymers(["GA", "AA"]).tolist() == [[1, 0, 1, 0], [2, 0, 0, 0]]
    assert composition.length_remainders(["A" * 7, "A" * 12]).toarray().argmax(axis=1).tolist() == [1, 0]
    ends = composition.positions(["ACG", "TN"], most=2).toarray().reshape(2, 4, 4)
    assert ends[0].argmax(axis=1).tolist() == [0, 1, 2, 1] and ends[1].sum(axis=1).tolist() == [1, 0, 0, 1]
    same = composition.positions(["ACG", "TTT"], most=2).toarray().reshape(2, 4, 4)
    assert same[0].argmax(axis=1)[:3].tolist() == [0, 1, 2] and not same[:, 3].any()  # the fourth position
    assert sorted(composition.rotated(["ACGTTT"])[0]) == sorted("ACGTTT")


def test_one_large_family_hides_no_shortcut():
    """Its records are thinned: otherwise there would be too few effective groups to judge anything."""
    table = planted(lambda rng, sequence: "ACGTAC" + sequence, pairs=200)
    table.loc[table.index < 200, "group"] = "family"
    tables = divided(table.assign(split=["train"] * 200 + ["validation"] * 100 + ["test"] * 100))
    found = {check["name"]: check for check in audit(subject(), tables, leakage(tables), {})["checks"]}
    assert found["shortcuts"]["status"] == "fail" and "first 6 bases" in found["shortcuts"]["found"]
    few = table.assign(group=[f"g{row % 8}" for row in range(len(table))])
    tables = divided(few)
    found = {check["name"]: check for check in audit(subject(), tables, leakage(tables), {})["checks"]}
    assert found["shortcuts"]["status"] == "warn" and "too few groups" in found["shortcuts"]["found"]
