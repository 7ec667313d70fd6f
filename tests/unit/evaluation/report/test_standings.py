"""The index over several data sets: leaderboard, and published figures beside ours."""

import base64
from dataclasses import replace

import pandas as pd
import pytest
from fake_findings import add_audit, add_comparison
from fake_results import add_manifest, add_run, run_of
from pages import checked

from dnalm.config.evaluation import Published
from dnalm.config.stages.evaluation import ReportSettings
from dnalm.evaluation.report.page import render
from dnalm.evaluation.report.published import published
from dnalm.evaluation.report.results import read_dataset
from dnalm.evaluation.report.standings import with_clusters

TABLE = {
    "kind": "table", "train": "a.csv", "validation": "b.csv", "test": "c.csv", "split": {"method": "grouped"},
    "audit": {"shortcut_auroc": 0.6},
}  # fmt: skip
GROUPS = {"Sites & <all>": ["s.two.a"], "Marks": ["s.one.a", "s.one.b"]}
NAMES = ["s.one.a", "s.one.b", "s.two.a"]


def figure(**changes):
    return Published(**{"dataset": "s.one.a", "metric": "mcc", "value": 0.1, "model": "theirs", "source": "Table 4",
                        "comparable": True, "why": "same files"} | changes)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three data sets with a model of two seeds and two baselines; one baseline has not been run on the last."""
    results, runs = tmp_path_factory.mktemp("results"), []
    for i, name in enumerate(NAMES):
        made = [(run_of(name, "small", "scratch", seed), 1.5) for seed in (1, 2)]
        made += [(run_of(name, "baseline", "kmer"), 0.8)]
        made += [(run_of(name, "baseline", "boosting"), 0.3)] if i < 2 else []
        for run, skill in made:
            runs.append(run)
            add_run(results, run, skill, n=120)
        add_manifest(results, name, ["0", "1"])
        add_audit(results, name)
        add_comparison(results, name, [])
        rows = [{"id": f"test{k}", "label": k % 2, "group": f"group{k // 3}"} for k in range(120)]
        pd.DataFrame(rows).to_parquet(results / name / "data/test.parquet")
    return results, runs


def pages(tree, **settings):
    results, runs = tree
    told = ReportSettings(runs=runs, datasets=dict.fromkeys(NAMES, TABLE), confidence=0.95, config={}, leaderboard=list(GROUPS.items()),
                          replicates=300, **settings)  # fmt: skip
    datasets = [with_clusters(read_dataset(results, name, TABLE, runs), results) for name in NAMES]
    return render(datasets, told), datasets


def table(checker, name):
    text = base64.b64decode(checker.files[name].split(",", 1)[1]).decode()
    return pd.DataFrame([line.split("\t") for line in text.splitlines()[1:]], columns=text.splitlines()[0].split("\t"))


def test_the_index_has_the_leaderboard_and_names_what_is_missing(tree):
    made, datasets = pages(tree)
    index = checked(made["index"])
    text = " ".join(" ".join(index.text).split())
    assert 0 < text.index("Leaderboard") < text.index("Sites & <all>") < text.index("Marks")  # in the config's order
    assert "k-mer boosting: no result on s.two.a." in text
    assert "wins are over the 2 of 3 that all have" in text and "2 of 3" in text
    rows = table(index, "leaderboard.tsv").set_index("run_group")
    assert rows.index[0] == "small/scratch" and rows.loc["small/scratch", "wins"] == "2"
    assert rows.loc["baseline/boosting", "missing"] == "s.two.a" and rows.loc["baseline/boosting", "mean"] == "NA"
    assert float(rows.loc["baseline/boosting", "mean_rank"]) == 3
    marks = [dataset.group("baseline/kmer").mean("mcc") for dataset in datasets[:2]]
    assert float(rows.loc["baseline/kmer", "Marks"]) == pytest.approx(sum(marks) / 2, rel=1e-5)
    assert table(index, "leaderboard-by-data-set.tsv").set_index("dataset").loc["s.two.a", "baseline/boosting"] == "NA"
    assert "Leaderboard" not in " ".join(checked(made["s.one.a"]).text)
    assert pages(tree)[0] == made


def test_published_figures_stand_beside_ours_and_are_placed_only_if_comparable(tree):
    figures = [
        figure(),
        figure(value=0.99, model="best"),
        figure(dataset="s.two.a", comparable=False, why="other split"),
    ]
    made, datasets = pages(tree, published=figures)
    ours = datasets[0].group("small/scratch")
    low, high = ours.interval("mcc")
    assert low > 0.1 and high < 0.99
    index = " ".join(" ".join(checked(made["index"]).text).split())
    assert all(part in index for part in ("below our interval", "above our interval", "not comparable", "other split"))
    page = " ".join(checked(made["s.two.a"]).text)
    assert "not comparable" in page and "our interval." not in page.replace("against our interval", "")
    rows = published(datasets, [figure(value=(low + high) / 2)], 0.95).table.rows
    assert len(rows) == 1 and rows[0][7] == "inside our interval" and rows[0][4] == "small · scratch"
    bare = replace(datasets[0], groups=datasets[0].baselines)
    assert [row[3] for row in published([bare], [figure()], 0.95).table.rows] == ["k-mer regression", "k-mer boosting"]
    assert published([replace(bare, groups=[])], [figure()], 0.95).table.rows[0][6] == "no run of ours"
    assert published(datasets, [], 0.95) is None


def test_without_ranks_it_says_why(tree):
    results, runs = tree
    kept = [run for run in runs if run.recipe != "boosting" or run.dataset == "s.one.a"]
    settings = ReportSettings(
        runs=kept, datasets={}, confidence=0.95, config={}, leaderboard=list(GROUPS.items()), replicates=200
    )
    datasets = [with_clusters(read_dataset(results, name, TABLE, kept), results) for name in NAMES]
    text = " ".join(" ".join(checked(render(datasets, settings)["index"]).text).split())
    assert "No ranks: all run groups have 1 data set in common, and 2 are needed; k-mer boosting has 1 of 3." in text
