"""The model card: metadata that the hub reads, and the same numbers as the results."""

import subprocess
from pathlib import Path

import pytest
import yaml
from closeness import close
from fake_findings import add_audit, add_comparison, check, comparison
from fake_results import CERTIFICATE, add_manifest, add_run
from markdown_it import MarkdownIt
from script_runs import run_script

from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import ModelCardSettings
from dnalm.evaluation.report.descriptions import DESCRIPTIONS
from dnalm.evaluation.report.modelcard import model_card, plain
from dnalm.evaluation.report.results import read_dataset
from dnalm.files import read_json, write_json

RUN = SeededRun(dataset="d", model="grover", recipe="full", seed=2)
CONFIG = {
    "kind": "repeats", "genome": "hg38", "catalogue": "arrays", "negatives": {"unique": 1.0}, "balance": {"match": []},
    "split": {"method": "random"}, "audit": {"shortcut_auroc": 0.6},
}  # fmt: skip
HUB_METRICS = {metric.name: metric.hub for metric in DESCRIPTIONS["classification"].metrics}
SETTINGS = ModelCardSettings(run=RUN, dataset=CONFIG, checkpoint="PoetschLab/GROVER", confidence=0.95)


@pytest.fixture
def results(tmp_path):
    add_run(tmp_path, RUN, 1.5)
    add_manifest(tmp_path, "d", ["no repeat", "tandem|repeat"])
    add_audit(
        tmp_path, "d", [check("classes", "Classes"), check("shortcuts", "Shortcuts", "fail", found="GC *alone* tells.")]
    )
    others = [comparison("grover", "lora", "kmer", 0.5, 0.4)]
    add_comparison(tmp_path, "d", [], comparison("grover", "full", "kmer", 0.8, 0.4, seeds=3), others)
    return tmp_path


def written(results: Path, settings: ModelCardSettings) -> subprocess.CompletedProcess:
    output = results / "d/runs/grover/full/seed2/README.md"
    return run_script("model_card.py", "--results", results, "--output", output, spec=settings)


def parts(card: str) -> tuple[dict, str]:
    _, front, text = card.split("---\n", 2)
    return yaml.safe_load(front), text


def test_the_script_writes_a_card_with_the_numbers_of_the_results(results):
    done = written(results, SETTINGS)
    assert done.returncode == 0, done.stderr
    card = (results / "d/runs/grover/full/seed2/README.md").read_text()
    metadata, text = parts(card)
    metrics = read_json(results / "d/runs/grover/full/seed2/metrics.json")
    assert metadata["base_model"] == "PoetschLab/GROVER" and metadata["library_name"] == "transformers"
    (entry,) = metadata["model-index"]
    (result,) = entry["results"]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {
        hub: round(metrics[name], 6) for name, hub in HUB_METRICS.items()
    }
    bounds = metrics["intervals"]["mcc"]
    row = f"| MCC | {metrics['mcc']:.3f} | {bounds['low']:.3f}–{bounds['high']:.3f} | {metrics['validation']['mcc']:.3f} |"
    assert row in text
    for said in (
        "0123456789abcdef" * 4, "ab" * 32, "1 of 2 checks failed (shortcuts)", "GC \\*alone\\* tells.", "*tandem\\|repeat*",
        "grover · full (mean of 3 seeds) beats a k-mer logistic regression on this test set (MCC 0.800 against 0.400).",
        'pipeline("text-classification", model="model", top\\_k=None)'.replace("\\", ""), "Precision: ", "at most 512 tokens",
    ):  # fmt: skip
        assert said in text, said
    assert "0.500 against" not in text and str(results) not in card


def test_the_hub_library_reads_the_card(results):
    import huggingface_hub as hub

    dataset = read_dataset(results, "d", CONFIG, [RUN])
    data = hub.ModelCard(model_card(dataset, "PoetschLab/GROVER", 0.95)).data
    assert data.model_name == "d-grover-full-seed2" and len(data.eval_results) == len(HUB_METRICS)
    assert close(data.eval_results[0].metric_value, dataset.members[0][1].metrics["mcc"], 1e-5)


def test_a_model_from_random_weights_has_no_base(results):
    path = results / "d/runs/grover/full/seed2/run.json"
    record = read_json(path)
    record["spec"] |= {"checkpoint": "PoetschLab/GROVER@abc", "initialisation": "random"}
    write_json(path, record)
    metadata, text = parts(model_card(read_dataset(results, "d", CONFIG, [RUN]), "PoetschLab/GROVER", 0.95))
    assert "base_model" not in metadata
    assert "with the architecture of PoetschLab/GROVER@abc, trained from random weights" in text


def test_the_card_shows_the_certificate_of_the_checkpoint(results):
    def card():
        return model_card(read_dataset(results, "d", CONFIG, [RUN]), None, 0.95)

    without = card()
    assert "Certificate" not in without
    path = results / "d/runs/grover/full/seed2/run.json"
    record = read_json(path)
    write_json(path, record | {"certificate": CERTIFICATE})
    rows = """Certificate of the checkpoint: Checked before training on 32 sequences (4,800 bases) of validation in d.

| Check | Result |
|---|---|
| Missing weights | 2, initialised at random: classifier.bias and classifier.weight |
| Two loads | same outputs |
| Language-model loss | 5.123 nats per masked token; a uniform guess has 6.410 |
| Bits per base | 1.877; a Markov chain of order 3 has 1.943 |
| Tokenizer round trip | 1 of 32 sequences changed |
| Unknown tokens | 5 of 1,234 |

"""
    assert card() == without.replace("| File | SHA-256 |", f"{rows}| File | SHA-256 |")
    tokenizer = CERTIFICATE["tokenizer"] | {"unknown_tokens": 0, "changed_by_round_trip": None}
    bare = {"missing": [], "language_model": None, "tokenizer": tokenizer}
    write_json(path, record | {"certificate": CERTIFICATE | bare})
    for said in (
        "| Missing weights | none |", "| Language-model loss | not measured: the checkpoint has no language-model head |",
        "| Tokenizer round trip | not measured: tokens overlap |", "| Unknown tokens | 0 of 1,234 |",
    ):  # fmt: skip
        assert said in card(), said
    assert "Markov" not in card()


def test_what_is_missing_is_an_error_and_leaves_nothing(results):
    (results / "d/audit.json").unlink()
    done = written(results, SETTINGS)
    assert (
        done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: ") and "Traceback" not in done.stderr
    )
    assert "audit.json" in done.stderr and not (results / "d/runs/grover/full/seed2/README.md").exists()


def test_a_model_with_code_of_its_own_says_so(results):
    path = results / "d/runs/grover/full/seed2/run.json"
    record = read_json(path)
    for trusted in (False, True):
        record["spec"]["trust_remote_code"] = trusted
        write_json(path, record)
        card = model_card(read_dataset(results, "d", CONFIG, [RUN]), None, 0.95)
        for said in ("It runs its own code", "scores.tsv --trust-remote-code", ", trust_remote_code=True)"):
            assert (said in card) == trusted, said


HOSTILE = (
    "<script>alert(1)</script>", "`<script>", "a`b`<img src=x onerror=alert(1)>`", "``<b>``", "x\n\n<b>", "[x](javascript:y)",
    "`a\n\n<i>`", "\\`<b>`", "&lt;b&gt;", "$(touch x)", "`[x](y)", "# a", "a | b",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_html_or_a_link(name):
    markdown = MarkdownIt("commonmark").enable("table")
    for text in (
        f"*{plain(name)}* and *{plain(name)}*",
        plain(f"{name} and {name}"),
        f"| a |\n|---|\n| {plain(name)} |",
    ):
        tokens = markdown.parse(text)
        kinds = {inner.type for token in tokens for inner in (token, *(token.children or []))}
        assert not kinds & {"html_inline", "html_block", "link_open", "image", "heading_open"}, text
        assert len([token for token in tokens if token.type in ("paragraph_open", "table_open")]) == 1


def test_names_cannot_break_the_markdown():
    assert plain("a|b *c* <d> `e_f|*` g_h") == "a\\|b \\*c\\* &lt;d&gt; `e_f|*` g\\_h"
