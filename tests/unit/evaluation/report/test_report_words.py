"""What the report says: verdicts, the ladder, axes, and numbers as text."""

import re

import pandas as pd
import pytest
import yaml
from fake_findings import PLAN, check, comparison
from hypothesis import given
from hypothesis import strategies as st

from dnalm.evaluation.report import charts, plans, seeds, views
from dnalm.evaluation.report.ladder import ladder
from dnalm.evaluation.report.pretraining import seen_before
from dnalm.evaluation.report.results import Dataset, Group, Run
from dnalm.evaluation.report.text import (
    MISSING,
    as_yaml,
    between,
    chance,
    decimal,
    duration,
    energy,
    listed,
    per_cent,
    plural,
    signed,
)
from dnalm.evaluation.report.verdict import audit_summary, verdict


def made(model: str, recipe: str, *mccs: float, validation: float | None = None, width: float = 0.05) -> Group:
    """A group with these test MCCs and nothing else of interest."""
    runs = []
    for seed, mcc in enumerate(mccs):
        values = {"mcc": mcc, "accuracy": (1 + mcc) / 2, "n": 100, "n_per_class": {"0": 50, "1": 50}}
        values |= {"groups": {"number": 40, "effective": 31.2}, "intervals_note": ""}
        values["intervals"] = {"mcc": {"low": mcc - width, "high": mcc + width}} if width else {}
        values["validation"] = {"mcc": mcc if validation is None else validation}
        runs.append(Run(model, recipe, seed, values, {}, {}, None))
    return Group(runs)


def dataset_of(groups: list[Group], primary: dict | None = None, status: str = "pass", name: str = "d") -> Dataset:
    checks = [check("shortcuts", "Shortcuts", status), check("classes", "TRF and classes")]
    audit = {"checks": checks, "shortcuts": [], "status": status}
    found = {
        "primary": primary,
        "others": [],
        "twins": [],
        "references": [],
        "rivals": [],
        "plan": PLAN,
        "strata": [],
        "note": "",
    }
    return Dataset(name, {}, {}, audit, found, groups)


WITHHELD = {
    "low": None,
    "high": None,
    "p": None,
    "significant": False,
    "note": "6.3 effective groups, at least 30 are needed",
}


@pytest.mark.parametrize(
    ("found", "tone", "headline", "meaning"),
    [
        ({"value": 0.497}, "below", "The model does worse than one periodicity number on this test set (MCC 0.497 against 0.930).", "The difference in MCC is −0.433 (95 % interval −0.453 to −0.413, p < 0.001): chance does not explain it."),
        ({"value": 0.96}, "above", "The model beats one periodicity number on this test set (MCC 0.960 against 0.930).", "The difference in MCC is +0.030 (95 % interval 0.010–0.050, p < 0.001): more than chance explains."),
        ({"value": 0.94}, "level", "The model is not shown to differ from one periodicity number on this test set (MCC 0.940 against 0.930).", "The difference in MCC is +0.010 (95 % interval −0.010 to 0.030, p = 0.310): it may be chance. Four times of five, this test set shows a difference of 0.028 or more."),
        ({"value": 0.98, **WITHHELD}, "level", "The model scores better than one periodicity number on this test set (MCC 0.980 against 0.930), and no more can be said.", "The difference in MCC is +0.050. Its interval is withheld: 6.3 effective groups, at least 30 are needed."),
    ],
)  # fmt: skip
def test_verdicts_follow_the_primary_comparison(found, tone, headline, meaning):
    groups = [
        made("baseline", "periodicity", 0.93),
        made("baseline", "trf", 0.99),
        made("small", "x", 0.9, validation=0.3),
    ]
    said = verdict(dataset_of(groups, comparison("small", "x", "periodicity", against_value=0.93, **found)), 0.95)
    assert (said.tone, said.headline, said.details[0]) == (tone, headline, meaning)
    assert said.details[1] == "The best model by validation MCC (0.300) is small · x: test MCC 0.900, accuracy 0.950."
    assert "50.0 % of the 100 test records, which lie in 40 independent groups (worth 31 equal ones)" in said.caveat
    assert (said.audit_status, said.audit) == ("pass", "All 2 checks of the data passed.")


def test_a_victory_on_data_that_failed_its_audit_says_so_at_once():
    groups = [made("baseline", "kmer", 0.5), made("small", "x", 0.7), made("small", "y", 0.6)]
    said = verdict(dataset_of(groups, comparison("small", "x", "kmer", 0.7, 0.5), status="fail"), 0.95)
    victory = "The best model beats a k-mer logistic regression on this test set (MCC 0.700 against 0.500)"
    assert said.headline == f"{victory}, but the audit of the data failed."
    assert said.audit == "1 of 2 checks failed (shortcuts)."


def test_without_a_rival_or_a_model_the_verdict_claims_nothing():
    alone = verdict(dataset_of([made("small", "x", 0.5), made("baseline", "trf", 0.99)]), 0.95)
    assert alone.tone == "none" and alone.headline.startswith("small · x has a test MCC of 0.500; no baseline was run")
    bare = verdict(dataset_of([made("baseline", "trf", 0.99), made("baseline", "kmer", 0.4)]), 0.95)
    assert bare.headline.endswith("The best baseline, a k-mer logistic regression, has a test MCC of 0.400.")
    assert verdict(dataset_of([]), 0.95).headline == "Nothing was run on this data set."


def test_seeds_are_averaged_and_their_range_is_told():
    groups = [made("baseline", "kmer", 0.5), made("small", "x", 0.4, 0.7, 0.7)]
    said = verdict(dataset_of(groups, comparison("small", "x", "kmer", 0.6, 0.5)), 0.95)
    assert "(from 0.400 to 0.700; mean of 3 seeds)" in said.details[1]
    assert groups[1].interval("mcc") == pytest.approx((0.55, 0.65))
    assert made("small", "x", 0.4, width=0).interval("mcc") is None


def test_a_caution_of_the_comparison_stands_under_the_verdict():
    primary = comparison("small", "x", "kmer", 0.7, 0.5, note="One group holds 9.0% of the records.")
    said = verdict(dataset_of([made("baseline", "kmer", 0.5), made("small", "x", 0.7)], primary), 0.95)
    assert said.caveat.endswith("One group holds 9.0% of the records.")


def test_what_the_audit_found_in_one_sentence():
    checks = [
        check("a", "TRF calls", "warn"),
        check("b", "Locus overlap", "fail"),
        check("c", "GC", "fail"),
        check("d", "Fine"),
    ]
    status, found = audit_summary({"status": "fail", "checks": checks})
    assert status == "fail"
    assert found == "2 of 4 checks failed (locus overlap; GC) and 1 of 4 checks gave a warning (TRF calls)."


def rungs(*values: dict[str, float]) -> list[Dataset]:
    names = ("original", "matched", "hard")
    return [
        dataset_of([made(*key.split("/"), mcc) for key, mcc in groups.items()], name=name)
        for name, groups in zip(names, values, strict=False)
    ]


def test_the_ladder_tells_what_is_left_on_each_rung():
    found = ladder(
        rungs(
            {"baseline/trf": 0.9, "baseline/kmer": 0.8, "m/x": 0.95},
            {"baseline/trf": 0.7, "m/x": 0.76, "m/y": 0.1},
            {"m/x": 0.38, "baseline/trf": 0.6},
        )
    )
    names = [column["name"] for column in found["columns"]]
    assert names == ["m · x", "m · y", "k-mer regression", "Tandem Repeats Finder"]
    assert found["summary"] == ["m · x: MCC 0.950 on original, 0.380 on hard, 40 % of it."]
    cells = [[cell["text"] for cell in row["cells"]] for row in found["rows"]]
    assert cells == [["0.950", "–", "0.800", "0.900"], ["0.760", "0.100", "–", "0.700"], ["0.380", "–", "–", "0.600"]]
    last = {"text": "0.380", "range": "0.330–0.430", "change": "−0.570", "collapsed": ""}
    assert found["rows"][2]["cells"][0] == last
    assert found["rows"][0]["cells"][0]["change"] == ""
    assert all(f">{name}<" in found["chart"] for name in ("original", "matched", "hard"))


def test_a_model_is_above_the_reference_only_where_the_interval_of_the_paired_difference_says_so():
    """The model scores higher on all three rungs, and shows it on one; on the last no comparison was possible."""
    datasets = rungs(*[{"baseline/trf": 0.7, "m/x": 0.76}] * 3)
    for rung, bounds in zip(datasets, [(0.02, 0.1), (-0.01, 0.13), (None, None)], strict=True):
        low, high = bounds
        rung.comparison["references"].append(comparison("m", "x", "trf", 0.76, 0.7, low=low, high=high))
    (said,) = ladder(datasets)["summary"]
    assert said.endswith("It scores above Tandem Repeats Finder on original, by the interval of the paired difference.")


def collapsing(*mccs: float) -> Group:
    """Runs of a model that answer one class where the MCC is 0."""
    group = made("m", "x", *mccs)
    for run in group.runs:
        right = 50 if run.metrics["mcc"] == 0 else 40
        run.metrics["confusion_matrix"] = [[right, 50 - right], [50, 0] if right == 50 else [10, 40]]
        run.metrics["collapsed"] = right == 50
    return group


def test_a_collapsed_run_is_named_with_its_seed_and_the_mean_without_it():
    group = collapsing(0.7, 0.74, 0.0)
    dataset = dataset_of([made("baseline", "kmer", 0.5), group], comparison("m", "x", "kmer", 0.48, 0.5))
    assert [run.seed for run in group.collapsed] == [2]
    (said,) = seeds.remarks(dataset)
    assert said == (
        "m · x: seed 2 collapsed: every test record gets the same label. The mean test MCC of all 3 seeds is 0.480, that"
        " of the other 2 of 3 seeds 0.720."
    )
    assert "mean of 3 seeds; seed 2 collapsed, 0.720 without it" in verdict(dataset, 0.95).details[1]
    (cell,) = (row["cells"][0] for row in ladder([dataset, dataset])["rows"][:1])
    assert cell["collapsed"] == "1 of 3 collapsed"
    assert seeds.brief(Group(group.collapsed), dataset.description) == "collapsed: one class only"
    assert seeds.remarks(dataset_of([collapsing(0.0, 0.0)]))[0].endswith("every test record gets the same label.")


def test_an_mcc_of_0_that_answers_both_classes_is_no_collapse():
    group = made("m", "x", 0.0)
    group.runs[0].metrics.update(confusion_matrix=[[25, 25], [25, 25]], collapsed=False)
    assert not group.collapsed
    constant = made("baseline", "majority", 0.0)
    constant.runs[0].metrics.update(confusion_matrix=[[50, 0], [50, 0]], collapsed=True)
    assert not constant.collapsed, "that is what this baseline does"


def test_seeds_that_differ_by_more_than_their_intervals_are_named():
    said = seeds.remarks(dataset_of([made("m", "x", 0.5, 0.58, 0.7), made("m", "y", 0.5, 0.58)]))
    assert said == [
        "m · x: seeds 0 and 2 differ by 0.200 in test MCC (0.500 and 0.700), and their intervals do not overlap: one seed"
        " tells little."
    ]


def beginning(model: str, checkpoint: str | None, initialisation: str = "pretrained") -> Group:
    group = made(model, "x", 0.6)
    group.runs[0].record["spec"] = {"checkpoint": checkpoint, "initialisation": initialisation}
    return group


def test_what_pretraining_may_have_seen_is_said_of_models_that_begin_from_a_checkpoint():
    random = beginning("g-random", "a/b@1", "random")
    assert seen_before(dataset_of([random, beginning("new", None), made("baseline", "kmer", 0.5)])) == ""
    said = seen_before(dataset_of([beginning("g", "a/b@1"), random, beginning("other", "c/d@1", "random")]))
    assert said.startswith("g begins from pre-trained weights, and what those were trained on is not known")
    assert said.endswith("Compare with g-random · x, the same architecture from random weights.")
    dataset = dataset_of([beginning("g", "a/b@1"), random])
    dataset.comparison["twins"].append(comparison("g", "x", "g-random", 0.7, 0.6))
    assert seen_before(dataset).endswith(
        "from the same architecture without the pre-training: g · x +0.100 (0.080–0.120)."
    )
    assert [row["tag"] for row in views.comparisons(dataset)] == ["random twin"]


def test_a_verdict_on_few_seeds_is_one_on_the_trained_models():
    note = "The verdict is on these trained models (1 seed), not on the method."
    primary = comparison("m", "x", "kmer", 0.7, 0.5, about="models", about_note=note)
    said = verdict(dataset_of([made("baseline", "kmer", 0.5), made("m", "x", 0.7)], primary), 0.95)
    assert said.headline.startswith("The model as trained here beats a k-mer") and said.details[0].endswith(note)


def test_earlier_looks_at_the_test_split_are_counted():
    dataset = dataset_of([made("m", "x", 0.7)])
    assert plans.looks(dataset) == [] and "SHA-256 cdcdcdcdcdcd…" in plans.declared(dataset)
    earlier = [{"sha256": "1" * 64, "changed": ""}, {"sha256": "2" * 64, "changed": "1 run more."}]
    dataset.comparison["plan"] = PLAN | {"looks": 3, "earlier": earlier, "changed": "another recipe"}
    (said,) = plans.looks(dataset)
    assert "under 2 other plans" in said and said.endswith("Since then: 1 run more; then another recipe.")


def test_a_scale_has_round_ticks_and_shows_close_values_apart():
    def ticks(*values: float) -> list[str]:
        return [text for _, text in views.Scale(values).ticks]

    assert ticks(0.2, 0.9) == ticks(0.5) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert ticks(0.9312, 0.9344) == ["0.924", "0.926", "0.928", "0.930", "0.932", "0.934", "0.936"]
    assert views.Scale([0.93, 0.97]).place(0.2) == "0.00"


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_values_lie_on_their_scale_in_order(values):
    scale = views.Scale(values)
    edge = 1e-9 * (scale.high - scale.low)
    assert scale.low <= min(values) + edge and scale.high >= max(values) - edge
    assert 2 <= len(scale.ticks) <= 9 and len({text for _, text in scale.ticks}) == len(scale.ticks)
    places = [float(scale.place(value)) for value in sorted(values)]
    assert places == sorted(places)


def test_close_values_get_axes_with_enough_decimals():
    log = pd.DataFrame({"epoch": [1.0, 2.0, 3.0], "mcc": [0.94312, 0.94318, 0.94325]})
    chart = charts.log_chart([(log, 2.0)], {"mcc": ("validation", "#000")}, "MCC", "k")
    ticks = re.findall(r">(0\.943\d*)<", chart)
    assert len(ticks) >= 3 and len(set(ticks)) == len(ticks)


def test_models_never_look_like_baselines():
    looks = [charts.model_style(i) for i in range(18)] + list(map(charts.baseline_style, charts.BASELINE_STYLES))
    assert len({(look.colour, tuple(look.dash)) for look in looks}) == len(looks)


def test_numbers_and_words():
    assert [decimal(x) for x in (0.1234, -0.5, -0.0001, None)] == ["0.123", "−0.500", "0.000", "–"]
    assert [signed(x) for x in (0.1, -0.1, 0.0001)] == ["+0.100", "−0.100", "0.000"]
    assert (between(0.1, 0.25), between(-0.1, 0.3, 1)) == ("0.100–0.250", "−0.1 to 0.3")
    assert [chance(p) for p in (0.0004, 0.03)] == ["p < 0.001", "p = 0.030"]
    assert [per_cent(x) for x in (0.95, 0.001, 0.5)] == ["95 %", "0.1 %", "50 %"]
    assert [duration(x) for x in (1.23, 163.4, 3725)] == ["1.2 s", "2 min 43 s", "1 h 2 min"]
    assert [energy(x) for x in (None, 3600, 45e3, 7.2e7)] == [MISSING, "1 Wh", "12.5 Wh", "20 kWh"]
    assert (plural(1, "class"), plural(2, "class"), plural(1200, "run")) == ("1 class", "2 classes", "1,200 runs")
    assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_categories=["Cc"]), max_size=10)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(TEXT, VALUE, min_size=1, max_size=4))
def test_settings_read_back_from_their_text(value):
    assert yaml.safe_load(as_yaml(value)) == value
