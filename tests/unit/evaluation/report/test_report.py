"""The report: the page is whole, safe and its own, and holds what the results hold."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from fake_findings import add_audit, add_comparison, check, comparison, probe
from fake_results import CERTIFICATE, add_manifest, add_run, distribution, run_of
from pages import checked, pages_of
from script_runs import run_script, start_script

from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import ReportSettings
from dnalm.errors import UserError
from dnalm.evaluation.report import charts, class_details, datacard, table_links, trust, views
from dnalm.evaluation.report.descriptions import DESCRIPTIONS
from dnalm.evaluation.report.page import render
from dnalm.evaluation.report.rendering import code
from dnalm.evaluation.report.results import read_dataset
from dnalm.files import write_json

REPEATS = {
    "kind": "repeats", "genome": "hg38", "catalogue": "arrays", "negatives": {"unique": 2.0, "shuffled": 1.0, "interspersed": 0.0},
    "balance": {"match": ["length", "gc"]}, "split": {"method": "grouped"}, "audit": {"shortcut_auroc": 0.6},
}  # fmt: skip
TABLE = {
    "kind": "table", "train": "a.csv", "validation": "b.csv", "test": "c.csv", "split": {"method": "grouped"},
    "audit": {"shortcut_auroc": 0.6},
}  # fmt: skip
LEDGER = [
    {"stage": "extract", "source": "vntrseek", "in": 3737, "kept": 3710, "dropped": {"shorter than min_length": 14, "duplicate": 13}},
    {"stage": "split_labels", "source": "unique", "in": 12, "kept": 12, "dropped": {}},
]  # fmt: skip
BASELINES = ("majority", "length_gc", "kmer", "boosting", "periodicity", "cnn", "trf")
FEW = "6.3 effective groups of records, at least 30 are needed"


def told(runs: list[SeededRun], datasets: dict) -> ReportSettings:
    config = {"datasets": datasets, "runs": [dict(run) for run in runs]}
    return ReportSettings(runs=runs, datasets=datasets, confidence=0.95, config=config)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Four data sets: a rich one, a table, three classes with one epoch, and one with a baseline alone."""
    results = tmp_path_factory.mktemp("results")
    runs = []

    def add(run: SeededRun, skill: float, **options) -> None:
        runs.append(run)
        add_run(results, run, skill, **options)

    for baseline in BASELINES:
        add(run_of("rich", "baseline", baseline), {"periodicity": 3, "trf": 5}.get(baseline, 0.5))
    for seed in (1, 2, 3):
        add(run_of("rich", "small", "scratch", seed), 0.8 + seed / 10)
    add(run_of("rich", "grover", "full"), 1.4, certificate=CERTIFICATE)
    add(run_of("table", "baseline", "kmer"), 0.5)
    add(run_of("table", "mistral", "as-is"), 2.5, method="none", epochs=0)
    add(run_of("three", "small", "scratch"), 1, classes=3, epochs=1)
    add(run_of("bare", "baseline", "kmer"), 1)
    compared = {"kept": distribution(80), "dropped": distribution(90), "ks": 0.0241}
    add_manifest(
        results, "rich", ["no repeat", "tandem repeat"], ledger=LEDGER, kept_vs_dropped={"gc": compared, "length": compared},
        warnings=["3 sequences occur in both train and test."],
    )  # fmt: skip
    add_manifest(results, "table", ["0", "1"])
    add_manifest(results, "three", ["none", "<script>alert(1)</script>", "donor & 'co'"])
    add_manifest(results, "bare", ["0", "1"])
    keys = list(dict.fromkeys(f"{run.model}/{run.recipe}" for run in runs if run.dataset == "rich"))
    others = [
        comparison("small", "scratch", "periodicity", 0.6, 0.9, p_holm=0.012),
        comparison("baseline", "trf", "periodicity", 0.91, 0.9, p_holm=0.31),
    ]
    add_comparison(results, "rich", keys, comparison("grover", "full", "periodicity", 0.7, 0.9), others)
    withheld = {"low": None, "high": None, "p": None, "significant": False, "detectable": None, "note": FEW}
    add_comparison(
        results,
        "table",
        ["baseline/kmer", "mistral/as-is"],
        comparison("mistral", "as-is", "kmer", 0.8, 0.2, **withheld),
    )
    add_comparison(results, "three", [])
    add_comparison(results, "bare", [], note="There is no model to compare.")
    checks = [
        check("classes", "Every class in every split"),
        check("shortcuts", "Shortcuts", "fail", "Set `balance.match`.", found="GC <alone> tells."),
        check("overlong", "Long records", "warn"),
    ]
    probes = [probe("length", 0.51), probe("gc", 0.83, "fail", "see `gc`"), probe("tokens/small", 0.41, "warn")]
    add_audit(results, "rich", checks, [*probes, probe("case", None, "pass", "upper case")])
    for name in ("table", "three", "bare"):
        add_audit(results, name)
    datasets = {"rich": REPEATS, "table": TABLE, "three": TABLE, "bare": TABLE}
    return results, told(runs, datasets)


@pytest.fixture(scope="module")
def pages(tree):
    results, settings = tree
    datasets = [read_dataset(results, name, config, settings.runs) for name, config in settings.datasets.items()]
    return render(datasets, settings)


@pytest.fixture(scope="module")
def page(pages):
    return pages["rich"]


def test_every_page_is_whole_and_needs_no_network(pages):
    assert list(pages) == ["index", "rich", "table", "three", "bare"]
    for name, page in pages.items():
        checker = checked(page)
        assert len(set(checker.ids)) == len(checker.ids)
        others = {reference for reference in checker.references if not reference.startswith("#")}
        assert others == ({f"{other}.html" for other in pages if other != name} if name == "index" else {"index.html"})
        assert {reference[1:] for reference in checker.references if reference.startswith("#")} <= set(checker.ids)
        assert set(re.findall(r"https?://[^\"'< ]*", page)) <= {"http://www.w3.org/2000/svg"}
        assert "@import" not in page and "url(http" not in page
    assert max(map(len, pages.values())) < 400_000 and len(pages["index"]) < 60_000


def test_what_is_not_the_verdict_is_folded(page):
    """The verdict, the scores and what the audit found are seen at once; the rest is opened by a click, or by print."""
    folded = "".join(re.findall('<details class="part".*?</details>', page, re.DOTALL))
    for seen in ("Runs side by side", "Against the baseline to beat", "GC &lt;alone&gt; tells."):
        assert seen in page and seen not in folded
    for title in (
        "The test set in detail",
        "Are the probabilities calibrated?",
        "Who is better where",
        "Training",
        "Data",
        "Every class in every split",
    ):
        assert f">{title}<" in folded
    assert "beforeprint" in page and ".part::details-content" in page


def test_the_page_forbids_itself_every_request_and_every_script_but_its_own(page):
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page


def test_the_details_of_a_run_show_the_certificate_of_its_checkpoint(page):
    details = re.findall("<details>.*?</details>", page, re.DOTALL)
    (shown,) = (part for part in details if "Certificate of the checkpoint" in part.split("<summary>")[-1])
    assert "grover" in shown.split("</summary>")[0]
    for name, result in (
        ("Two loads", "same outputs"),
        ("Bits per base", "1.877; a Markov chain of order 3 has 1.943"),
    ):
        assert f'<th scope="row">{name}</th><td class="text wrap">{result}</td>' in re.sub(r">\s+<", "><", shown)


def test_every_table_sorts_and_can_be_taken_along(page, pages, tree):
    assert set(re.findall("<table[^>]*>", page)) <= {
        '<table class="leaderboard sortable blocks wide">', '<table class="heat sortable">', '<table class="sortable">',
    }  # fmt: skip
    files = checked(page).files
    assert all(address.startswith("data:text/tab-separated-values;base64,") for address in files.values())
    names = ("metrics", "comparison", "strata", "audit", "shortcuts", "prevalence", "calibration")
    assert {f"rich-{name}.tsv" for name in names} <= set(files)
    assert {"rich-splits.tsv", "rich-ledger.tsv", "rich-confusion-matrices.tsv", "rich-decision-threshold.tsv"} <= set(
        files
    )
    assert "bare-comparison.tsv" not in checked(pages["bare"]).files
    (ledger,) = base64.b64decode(files["rich-ledger.tsv"].split(",")[1]).decode().splitlines()[1:2]
    assert ledger.split("\t")[2:4] == ["3737", "3710"]
    tables = {name: base64.b64decode(address.split(",")[1]).decode() for name, address in files.items()}
    for text in tables.values():
        assert len({line.count("\t") for line in text.splitlines()}) == 1
    lines = [line.split("\t") for line in tables["rich-metrics.tsv"].splitlines()]
    assert len(lines) == 1 + len(BASELINES) + 4
    results, settings = tree
    group = read_dataset(results, "rich", REPEATS, settings.runs).group("grover/full")
    row = dict(zip(lines[0], next(line for line in lines if line[1] == "grover"), strict=True))
    assert float(row["mcc"]) == pytest.approx(group.mean("mcc"), rel=1e-5)
    assert float(row["mcc_low"]) == pytest.approx(group.interval("mcc")[0], rel=1e-5)
    assert table_links._field("a\tb\nc") == "a b c" and table_links._field(None) == "NA"


def test_every_run_and_every_number_of_the_data_is_there(pages):
    text = " ".join(part for page in pages.values() for part in checked(page).text)
    for name in (
        "small · scratch", "seed 2", "mean of 3 seeds", "grover · full", "mistral · as-is", "periodicity", "length and GC",
        "Tandem Repeats Finder", "reference", "small CNN", "k-mer boosting", "commonest label",
    ):  # fmt: skip
        assert name in text
    for said in (
        "13 duplicate; 14 shorter than min_length", "Divide into splits", "0.024",
        "3 sequences occur in both train and test.", "Nothing was trained", "Epoch 4 of 6 was kept (highest validation MCC",
        "Tandem repeats of arrays against shuffled and unique sequence of hg38, matched by length and GC; 1,500 records",
        "Labelled table with 2 classes; 1,500 records, splits as published.", "456,194 parameters", "0123456789abcdef" * 4,
        "4 data sets, 6 model runs and 9 baselines", "packed (shown to give the same results as padded; 16.4 % padding)",
        "GC <alone> tells.", "failed", "warning", "not shown to differ", FEW, "grover · full − periodicity",
        "No figure for over 49 bp: one class only.", "Precision at 0.1 %", "Not measured: soft-masking (upper case).",
    ):  # fmt: skip
        assert said in text, said


def test_everything_is_escaped(pages):
    assert {page.count("<script>") for page in pages.values()} == {1}
    assert "&lt;script&gt;alert(1)" in pages["three"] and "donor &amp; &#39;co&#39;" in pages["three"]


def written(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in folder.iterdir()}


def test_the_same_results_give_the_same_bytes_through_the_script(tree, pages, tmp_path):
    results, settings = tree
    output = tmp_path / "report"
    # in a process of its own, which hashes strings in another order
    done = start_script("report.py", "--results", results, "--output", output, spec=settings)
    assert done.returncode == 0, done.stderr
    assert written(output) == pages


def test_the_pages_need_no_scikit_learn(tree, pages, tmp_path):
    results, settings = tree
    blocked = f"import runpy, sys; sys.modules['sklearn'] = None; runpy.run_path({str(ROOT / 'scripts/report.py')!r}, run_name='__main__')"
    command = [sys.executable, "-c", blocked, "--spec", "-", "--results", results, "--output", tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(
        [*map(str, command)], input=settings.model_dump_json(), text=True, capture_output=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == pages


def test_the_page_of_one_data_set_is_the_index_and_missing_parts_vanish(tree):
    results, settings = tree
    (page,) = pages_of([read_dataset(results, "bare", TABLE, settings.runs)]).values()
    checked(page)
    assert "All data sets" not in page and "The ladder" not in page and 'id="overview"' not in page
    assert ">Training<" not in page and "Kept against dropped" not in page and "Who is better where" not in page
    assert "No language model was run here. The best baseline, a k-mer logistic regression, has a test MCC of" in page
    nothing = pages_of([read_dataset(results, "bare", TABLE, [])])["index"]
    checked(nothing)
    assert "Nothing was run on this data set." in nothing and "Runs side by side" not in nothing


def test_only_what_the_config_declares_is_a_ladder(tmp_path):
    """Two data sets with the same models and baselines are an overview, with p values corrected over both."""
    runs = [run_of(name, *group) for name in ("first", "second") for group in (("baseline", "kmer"), ("small", "x"))]
    for run in runs:
        add_run(tmp_path, run, 1.5 if run.dataset == "first" else 0.6, n=60, epochs=1)
    datasets = []
    for name, p in (("first", 0.03), ("second", 0.04)):
        add_manifest(tmp_path, name, ["0", "1"])
        add_audit(tmp_path, name)
        add_comparison(tmp_path, name, [], comparison("small", "x", "kmer", 0.8, 0.5, p=p))
        datasets.append(read_dataset(tmp_path, name, TABLE, runs))
    plain = checked(pages_of(datasets)["index"])
    assert "ladder" not in plain.ids and "overview" in plain.ids and "of the first score" not in " ".join(plain.text)
    rows = base64.b64decode(plain.files["overview.tsv"].split(",")[1]).decode().splitlines()
    values = [dict(zip(rows[0].split("\t"), row.split("\t"), strict=True)) for row in rows[1:]]
    assert [(row["dataset"], row["p"], row["p_over_data_sets"]) for row in values] == [
        ("first", "0.03", "0.06"),
        ("second", "0.04", "0.06"),
    ]
    declared = checked(pages_of(datasets, ladder=["second", "first"])["index"])
    assert len(set(declared.ids)) == len(declared.ids) and {"ladder", "overview"} <= set(declared.ids)
    words = " ".join(declared.text)
    assert "2 data sets, from the top down" in words and words.index("on second") < words.index("on first")


def test_data_sets_come_in_the_order_of_the_runs(tmp_path):
    names = ("top", "middle", "bottom")
    runs = [run_of(name, *group) for name in names for group in (("baseline", "kmer"), ("small", "x"))]
    for run in runs:
        add_run(tmp_path, run, 1.5, n=60, epochs=1)
    for name in names:
        add_manifest(tmp_path, name, ["0", "1"])
        add_audit(tmp_path, name)
        add_comparison(tmp_path, name, [])
    datasets = dict.fromkeys(sorted(names), TABLE)
    settings = told(runs, datasets)
    output = tmp_path / "report"
    done = run_script("report.py", "--results", tmp_path, "--output", output, spec=settings)
    assert done.returncode == 0, done.stderr
    checker = checked((output / "index.html").read_text())
    assert checker.references[-3:] == [f"{name}.html" for name in names]


def small_tree(results: Path, runs: list[SeededRun], **manifest) -> None:
    add_manifest(results, "d", ["0", "1"], **manifest)
    add_audit(results, "d")
    add_comparison(results, "d", [])


def test_a_damaged_log_is_an_error_that_names_it(tmp_path):
    run = run_of("d", "small", "scratch")
    add_run(tmp_path, run, 1, n=20)
    small_tree(tmp_path, [run])
    log = tmp_path / "d/runs/small/scratch/seed1/training_log.tsv"
    log.write_text("epoch\tstep\n")
    with pytest.raises(UserError, match=f"^{log}: "):
        read_dataset(tmp_path, "d", TABLE, [run])


def test_backticks_become_code_and_the_rest_is_escaped():
    assert code("a <b> `find: <trf>` to mask") == "a &lt;b&gt; <code>find: &lt;trf&gt;</code> to mask"


def test_runs_on_different_records_and_overlong_ones_are_cautioned(tmp_path):
    runs = [run_of("d", "baseline", "kmer"), run_of("d", "small", "scratch")]
    add_run(tmp_path, runs[0], 1, n=30)
    add_run(tmp_path, runs[1], 1, n=28)
    path = tmp_path / "d/runs/small/scratch/seed1/run.json"
    record = json.loads(path.read_text())
    record["counts"]["train"] |= {"overlong": 30, "unknown_tokens": 1}
    write_json(path, record)
    compared = {"kept": distribution(0.51) | {"n": 2702}, "dropped": distribution(0.127) | {"n": 1014}, "ks": 0.594}
    small_tree(tmp_path, runs, kept_vs_dropped={"gc": compared, "length": compared | {"ks": 0.1}})
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
    small_tree(tmp_path, runs, kept_vs_dropped={"gc": compared})
    assert datacard.cautions(read_dataset(tmp_path, "d", TABLE, runs)) == []


def test_motifs_that_were_inferred_or_are_missing_are_told(tmp_path):
    groups = {"number": 5, "largest": 2, "largest_fraction": 0.4, "in_several_splits": 0, "definition": ["locus"]}
    small_tree(tmp_path, [], groups=groups | {"motifs_inferred": 1200, "motifs_missing": 3})
    rows = {row[0]: row[1] for table in datacard.tables(read_dataset(tmp_path, "d", TABLE, [])) for row in table.rows}
    assert rows["Motifs inferred from the array"].startswith("1,200: ")
    assert rows["Arrays without a motif"].startswith("3; ")


def test_the_best_of_a_column_is_marked_by_mean_and_never_the_reference(tree):
    results, settings = tree
    board = views.leaderboard(read_dataset(results, "rich", REPEATS, settings.runs))
    heads = [block[0] for block in board["blocks"]]
    assert [head["name"] for head in heads[:3]] == ["Tandem Repeats Finder", "periodicity", "grover · full"]
    assert [head["kind"] for head in heads[:3]] == ["reference", "baseline", "model"]
    marked = [row["name"] for block in board["blocks"] for row in block for cell in row["cells"] if cell["best"]]
    assert set(marked) == {"periodicity"} and len(marked) == len(DESCRIPTIONS["classification"].metrics)
    seeds = next(block for block in board["blocks"] if block[0]["name"] == "small · scratch")
    assert len(seeds) == 4 and seeds[0]["cells"][0]["of_seeds"] and not seeds[1]["cells"][0]["of_seeds"]


def test_probes_and_calibration_are_told_in_words(tree):
    results, settings = tree
    dataset = read_dataset(results, "rich", REPEATS, settings.runs)
    found = trust.probes(dataset.audit, {"shortcut_auroc": 0.6})
    assert [(row["name"], row["status"], row["range"]) for row in found["rows"]] == [
        ("Length", "pass", "0.480–0.540"),
        ("GC", "fail", "0.800–0.860"),
        ("The number of tokens of small", "warn", "0.380–0.440"),
    ]
    assert found["silent"] == ["soft-masking (upper case)"] and found["mark"] == "60.00"
    assert trust.probes({"shortcuts": []}, {"shortcut_auroc": 0.6}) is None
    table = class_details.calibration(dataset)
    assert [column.name for column in table.columns][-3:] == ["Temperature", "error with it", "Brier with it"]
    assert {len(row) for row in table.rows} == {len(table.columns)} and len(table.rows) == len(dataset.members)
    three = read_dataset(results, "three", TABLE, settings.runs)
    assert class_details.thresholds(three).rows == [] and class_details.prevalence(three).rows == []


def test_ids_of_charts_do_not_clash():
    svg = '<svg width="10" height="5" viewBox="0 0 10 5"><clipPath id="c0"/><g id="c01" clip-path="url(#c0)" x="1.23456"/></svg>'
    made_twice = [charts.accessible(svg, key, "<T>", "D") for key in ("a", "b")]
    assert 'id="a-0"' in made_twice[0] and 'id="a-1" clip-path="url(#a-0)" x="1.23"' in made_twice[0]
    assert not set(re.findall(r'id="([^"]*)"', made_twice[0])) & set(re.findall(r'id="([^"]*)"', made_twice[1]))
    assert "&lt;T&gt;</title>" in made_twice[0]


def test_how_many_settings_each_side_tried_is_said(tree):
    results, settings = tree
    dataset = read_dataset(results, "rich", REPEATS, settings.runs)
    for group in dataset.baselines:
        for run in group.runs:
            run.record["baseline"] = {"tried": [{}] * (5 if run.recipe == "kmer" else 1)}
    said = views.search(dataset)
    assert "k-mer regression 5" in said and "baseline_settings" in said and "length and GC" not in said
