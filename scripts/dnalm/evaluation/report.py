"""The report: one self-contained page, verdict first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dnalm.evaluation import datacard, views
from dnalm.evaluation.results import Dataset
from dnalm.evaluation.text import as_yaml, listed, plural
from dnalm.evaluation.verdict import verdict

TEMPLATES = Path(__file__).parent / "templates"


def render(datasets: Sequence[Dataset], config: dict[str, Any]) -> str:
    """The report's HTML: a section for each data set, then the whole config.

    The same results give the same page, run times and devices among them. All text is escaped; only our own SVG and CSS goes in as it is.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["code"] = code
    models = sum(len(group.runs) for dataset in datasets for group in dataset.models)
    baselines = sum(len(dataset.baselines) for dataset in datasets)
    counts = [plural(len(datasets), "data set"), plural(models, "model run"), plural(baselines, "baseline")]
    return environment.get_template("report.html.j2").render(
        title="DNA language model fine-tuning",
        subtitle=f"{listed(counts)}: what was learnt, and how it compares with simple rules.",
        css=Markup((TEMPLATES / "report.css").read_text()),  # noqa: S704  (ours)
        datasets=[_context(dataset) for dataset in datasets],
        config=as_yaml(config),
    )


def code(text: str) -> Markup:
    """Text with what stands between backticks as code; the rest is escaped."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _context(dataset: Dataset) -> dict[str, Any]:
    labels = datacard.label_names(dataset)
    return {
        "key": f"data-{dataset.name}",
        "name": dataset.name,
        "about": datacard.about(dataset),
        "verdict": verdict(dataset),
        "cautions": datacard.cautions(dataset),
        "labels": labels,
        "strip": views.strip(dataset.groups),
        "board": views.leaderboard(dataset.groups),
        "training": views.training(dataset),
        "curves": views.curves(dataset),
        "confusions": views.confusions(dataset, labels),
        "tables": datacard.tables(dataset),
        "records": views.records(dataset),
        "hashes": datacard.hashes(dataset),
    }
