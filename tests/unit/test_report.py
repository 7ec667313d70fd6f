"""The report: what it says for hand-made results, and that the page is whole, safe and its own."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from fake_results import add_manifest, add_run, distribution
from hypothesis import given
from hypothesis import strategies as st

from dnalm.errors import UserError
from dnalm.evaluation import charts, datacard, views
from dnalm.evaluation.report import code, render
from dnalm.evaluation.results import Dataset, Group, Run, read_dataset
from dnalm.evaluation.text import as_yaml, decimal, listed, plural, signed
from dnalm.evaluation.verdict import verdict
from dnalm.files import write_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "report.py"
REPEATS = {
    "kind": "repeats", "genome": "hg38", "catalogue": "arrays", "negatives": {"unique": 2.0, "shuffled": 1.0, "interspersed": 0.0},
    "balance": {"match": ["length", "gc"]}, "split": {"method": "grouped"},
}  # fmt: skip
TABLE = {"kind": "table", "train": "a.csv", "validation": "b.csv", "test": "c.csv", "split": {"method": "grouped"}}
LEDGER = [
    {"stage": "extract", "source": "vntrseek", "in": 3737, "kept": 3710, "dropped": {"shorter than min_length": 14, "duplicate": 13}},
    {"stage": "split_labels", "source": "unique", "in": 12, "kept": 12, "dropped": {}},
]  # fmt: skip


def run_of(dataset: str, model: str, recipe: str, seed: int = 1) -> dict:
    return {"dataset": dataset, "model": model, "recipe": recipe, "seed": seed}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Four data sets: a rich one, a table, three classes with one epoch, and one with a baseline alone."""
    results = tmp_path_factory.mktemp("results")
    runs = []

    def add(run: dict, skill: float, **options) -> None:
        runs.append(run)
        add_run(results, run, skill, **options)

    add(run_of("rich", "baseline", "length_gc"), 0)
    add(run_of("rich", "baseline", "periodicity"), 3)
    for seed in (1, 2, 3):
        add(run_of("rich", "small", "scratch", seed), 0.8 + seed / 10)
    add(run_of("rich", "grover", "full"), 1.4)
    add(run_of("table", "baseline", "kmer"), 0.5)
    add(run_of("table", "mistral", "as-is"), 2.5, method="none", epochs=0)
    add(run_of("three", "small", "scratch"), 1, classes=3, epochs=1)
    add(run_of("bare", "baseline", "kmer"), 1)
    compared = {"kept": distribution(80), "dropped": distribution(90), "ks": 0.0241}
    add_manifest(
        results, "rich", ["no repeat", "tandem repeat"], ledger=LEDGER, kept_vs_dropped={"gc": compared, "length": compared},
        negatives_called_by_trf={"called": 192, "of": 2866, "fraction": 0.066992, "by_source": {}},
        warnings=["TRF calls 6.7% of the unique negatives."],
    )  # fmt: skip
    add_manifest(results, "table", ["0", "1"])
    add_manifest(results, "three", ["none", "<script>alert(1)</script>", "donor & 'co'"])
    add_manifest(results, "bare", ["0", "1"])
    datasets = {"rich": REPEATS, "table": TABLE, "three": TABLE, "bare": TABLE}
    return results, {"runs": runs, "datasets": datasets, "config": {"datasets": datasets, "runs": runs}}


@pytest.fixture(scope="module")
def page(tree):
    results, spec = tree
    datasets = [read_dataset(results, name, config, spec["runs"]) for name, config in spec["datasets"].items()]
    return render(datasets, spec["config"])


class Checker(HTMLParser):
    """Collects ids, text and resources, and fails on a tag that is not closed in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert tag not in ("script", "link", "iframe", "img", "object", "use", "image")
        assert not any(name.startswith("on") for name in values)
        self.ids += [values["id"]] if "id" in values else []
        self.references += [values[name] for name in ("href", "src", "xlink:href") if name in values]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for value in values.values()))
        self.references += [f"#{key}" for key in (values.get("aria-labelledby") or "").split()]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style",):
            self.text.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_the_page_is_whole_and_needs_no_network(page):
    checker = checked(page)
    assert len(set(checker.ids)) == len(checker.ids)
    assert {reference for reference in checker.references if not reference.startswith("#")} == set()
    assert {reference[1:] for reference in checker.references} <= set(checker.ids)
    assert set(re.findall(r"https?://[^\"'< ]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page and "url(http" not in page
    assert len(page) < 1_000_000


def test_every_run_and_every_number_of_the_data_is_there(page):
    text = " ".join(checked(page).text)
    for name in (
        "small · scratch",
        "seed 2",
        "mean of 3 seeds",
        "grover · full",
        "mistral · as-is",
        "periodicity",
        "length and GC",
    ):
        assert name in text
    for said in (
        "13 duplicate; 14 shorter than min_length", "Divide into splits", "192 of 2,866, 6.7 %", "0.024",
        "TRF calls 6.7% of the unique negatives.", "Nothing was trained", "Epoch 4 of 6 was kept (highest validation MCC",
        "Tandem repeats of arrays against shuffled and unique sequence of hg38, matched by length and GC; 1,500 records",
        "Labelled table with 2 classes; 1,500 records, splits as published.", "456,194 parameters", "0123456789abcdef" * 4,
        "4 data sets, 6 model runs and 4 baselines",
    ):  # fmt: skip
        assert said in text, said


def test_everything_is_escaped(page):
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page and "donor &amp; &#39;co&#39;" in page


def test_the_same_results_give_the_same_bytes_through_the_script(tree, page, tmp_path):
    results, spec = tree
    output = tmp_path / "report" / "index.html"
    command = [sys.executable, SCRIPT, "--spec", "-", "--results", results, "--output", output]
    done = subprocess.run([*map(str, command)], input=json.dumps(spec), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert output.read_text() == page


def test_one_data_set_has_no_contents_list_and_missing_parts_vanish(tree):
    results, spec = tree
    page = render([read_dataset(results, "bare", TABLE, spec["runs"])], {})
    checked(page)
    assert "<nav" not in page and "Training</h3>" not in page and "Kept against dropped" not in page
    assert "No language model was run here. The best baseline, a k-mer logistic regression, has a test MCC of" in page
    nothing = render([read_dataset(results, "bare", TABLE, [])], {})
    checked(nothing)
    assert "Nothing was run on this data set." in nothing and "Runs side by side" not in nothing


def test_a_damaged_log_is_an_error_that_names_it(tmp_path):
    run = run_of("d", "small", "scratch")
    add_run(tmp_path, run, 1, n=20)
    add_manifest(tmp_path, "d", ["0", "1"])
    log = tmp_path / "d/runs/small/scratch/seed1/training_log.tsv"
    log.write_text("epoch\tstep\n")
    with pytest.raises(UserError, match=f"^{log}: "):
        read_dataset(tmp_path, "d", TABLE, [run])


def made(model: str, recipe: str, *mccs: float, validation: float | None = None, n: int = 100) -> Group:
    """A group with these test MCCs and nothing else of interest."""
    runs = []
    for seed, mcc in enumerate(mccs):
        values = {"mcc": mcc, "accuracy": (1 + mcc) / 2, "n": n, "n_per_class": {"0": n // 2, "1": n // 2}}
        values["validation"] = {"mcc": mcc if validation is None else validation}
        runs.append(Run(model, recipe, seed, values, {}, {}, None))
    return Group(runs)


@pytest.mark.parametrize(
    ("groups", "tone", "headline"),
    [
        (
            [made("baseline", "periodicity", 0.93), made("baseline", "kmer", 0.4), made("small", "x", 0.497)],
            "below",
            "On this test set the model does not beat one periodicity number (MCC 0.497 against 0.930).",
        ),
        ([made("baseline", "kmer", 0.70), made("small", "x", 0.715)], "level", "On this test set the model is level with a k-mer"),
        ([made("baseline", "kmer", 0.70), made("small", "x", 0.685)], "level", "On this test set the model is level with a k-mer"),
        ([made("baseline", "length_gc", 0.1), made("small", "x", 0.5)], "above", "On this test set the model scores higher than length and GC alone"),
        # Chosen on validation, not on test:
        ([made("baseline", "kmer", 0.5), made("a", "x", 0.9, validation=0.2), made("b", "x", 0.3, validation=0.4)], "below", "On this test set the best model does not beat a k-mer logistic regression (MCC 0.300 against 0.500)."),
        ([made("small", "x", 0.5)], "none", "small · x has a test MCC of 0.500; no baseline was run"),
        ([], "none", "Nothing was run on this data set."),
    ],
)  # fmt: skip
def test_verdicts(groups, tone, headline):
    found = verdict(Dataset("d", TABLE, {}, groups))
    assert found.tone == tone and found.headline.startswith(headline)
    assert not groups or ("confidence intervals" in found.caveat and "50.0 % of the 100 test records" in found.caveat)


def test_seeds_are_averaged_and_their_range_is_told():
    found = verdict(Dataset("d", TABLE, {}, [made("baseline", "kmer", 0.5), made("small", "x", 0.4, 0.7, 0.7)]))
    assert found.tone == "above" and "(mean of 3 seeds, 0.400 to 0.700)" in found.account
    assert "+0.100 MCC, though not with every seed" in found.account


def test_backticks_become_code_and_the_rest_is_escaped():
    assert code("a <b> `find: <trf>` to mask") == "a &lt;b&gt; <code>find: &lt;trf&gt;</code> to mask"


def test_runs_on_different_records_and_overlong_ones_are_cautioned(tmp_path):
    runs = [run_of("d", "baseline", "kmer"), run_of("d", "small", "scratch")]
    add_run(tmp_path, runs[0], 1, n=30)
    add_run(tmp_path, runs[1], 1, n=28)
    add_manifest(tmp_path, "d", ["0", "1"])
    path = tmp_path / "d/runs/small/scratch/seed1/run.json"
    record = json.loads(path.read_text())
    record["counts"]["train"] |= {"overlong": 30, "unknown_tokens": 1}
    write_json(path, record)
    compared = {"kept": distribution(0.51) | {"n": 2702}, "dropped": distribution(0.127) | {"n": 1014}, "ks": 0.594}
    add_manifest(tmp_path, "d", ["0", "1"], kept_vs_dropped={"gc": compared, "length": compared | {"ks": 0.1}})
    said = datacard.cautions(read_dataset(tmp_path, "d", TABLE, runs))
    assert said == [
        "1,014 positives found no matching negative and were dropped; they differ from the 2,702 kept (median GC fraction"
        " 0.127 against 0.510), so the scores say little about such arrays.",
        "The runs were not scored on the same test records (28 to 30 of them): compare with care.",
        "small · scratch: 30 of 1,800 train and validation records exceed its limit of 512 tokens (cut into windows, scores averaged).",
        "small · scratch: its tokenizer does not know 1 token of train and validation.",
    ]


def test_few_dropped_positives_are_no_warning(tmp_path):
    runs = [run_of("d", "baseline", "kmer")]
    add_run(tmp_path, runs[0], 1, n=30)
    compared = {"kept": distribution(0.51) | {"n": 990}, "dropped": distribution(0.127) | {"n": 10}, "ks": 0.594}
    add_manifest(tmp_path, "d", ["0", "1"], kept_vs_dropped={"gc": compared})
    assert datacard.cautions(read_dataset(tmp_path, "d", TABLE, runs)) == []


def test_the_best_of_a_column_is_marked_by_mean(tree):
    results, spec = tree
    board = views.leaderboard(read_dataset(results, "rich", REPEATS, spec["runs"]).groups)
    assert [row["name"] for row in board["rows"] if not row["is_seed"]] == [
        "periodicity",
        "grover · full",
        "small · scratch",
        "length and GC",
    ]
    marked = [row["name"] for row in board["rows"] for cell in row["cells"] if cell["best"]]
    assert set(marked) == {"periodicity"} and len(marked) == len(views.COLUMNS)


def test_models_never_look_like_baselines_and_ids_of_charts_do_not_clash():
    looks = [charts.model_style(i) for i in range(18)] + [
        charts.baseline_style(name) for name in charts.BASELINE_STYLES
    ]
    assert len({(look.colour, tuple(look.dash)) for look in looks}) == len(looks)
    svg = '<svg width="10" height="5" viewBox="0 0 10 5"><clipPath id="c0"/><g id="c01" clip-path="url(#c0)" x="1.23456"/></svg>'
    made_twice = [charts.accessible(svg, key, "<T>", "D") for key in ("a", "b")]
    assert 'id="a-0"' in made_twice[0] and 'id="a-1" clip-path="url(#a-0)" x="1.23"' in made_twice[0]
    assert not set(re.findall(r'id="([^"]*)"', made_twice[0])) & set(re.findall(r'id="([^"]*)"', made_twice[1]))
    assert "&lt;T&gt;</title>" in made_twice[0]


def test_numbers_and_words():
    assert [decimal(x) for x in (0.1234, -0.5, -0.0001, None)] == ["0.123", "−0.500", "0.000", "–"]
    assert [signed(x) for x in (0.1, -0.1, 0.0001)] == ["+0.100", "−0.100", "0.000"]
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
