"""The report: one self-contained page, verdict first."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dnalm.evaluation.report import datacard, origins, plots, trust, views
from dnalm.evaluation.report.class_details import of_classes
from dnalm.evaluation.report.ladder import ladder
from dnalm.evaluation.report.number_details import of_numbers, targets
from dnalm.evaluation.report.results import Dataset
from dnalm.evaluation.report.table_links import downloads
from dnalm.evaluation.report.text import as_yaml, listed, per_cent, plural
from dnalm.evaluation.report.verdict import verdict

_DETAILS = {"classification": of_classes, "regression": of_numbers}
TEMPLATES = Path(__file__).parent / "templates"


def render(datasets: Sequence[Dataset], config: dict[str, Any]) -> str:
    """The report's HTML: the ladder, a section for each data set, then the whole config (only `evaluation` is used).

    The same results give the same page. All text is escaped except our own SVG, CSS and script, and the page's security
    policy forbids every request.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["code"] = code
    models = sum(len(group.runs) for dataset in datasets for group in dataset.models)
    baselines = sum(len(dataset.baselines) for dataset in datasets)
    counts = [plural(len(datasets), "data set"), plural(models, "model run"), plural(baselines, "baseline")]
    script = (TEMPLATES / "report.js").read_text()
    confidence = config["evaluation"]["confidence"]
    return environment.get_template("report.html.j2").render(
        title="DNA language model fine-tuning",
        subtitle=f"{listed(counts)}: how well models do, and how they compare with simple rules.",
        css=Markup((TEMPLATES / "report.css").read_text()),  # noqa: S704  (ours)
        script=Markup(script),  # noqa: S704  (ours)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        level=per_cent(confidence),
        ladder=ladder(datasets),
        datasets=[_context(dataset, confidence) for dataset in datasets],
        config=as_yaml(config),
    )


def code(text: str) -> Markup:
    """Escaped text, with text between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _context(dataset: Dataset, confidence: float) -> dict[str, Any]:
    description = dataset.description
    details = _DETAILS[description.objective](dataset)
    context = {
        "key": f"data-{dataset.name}",
        "name": dataset.name,
        "about": datacard.about(dataset),
        "verdict": verdict(dataset, confidence),
        "cautions": datacard.cautions(dataset),
        "metric": description.primary,
        "details": details.shown,
        "template": f"{description.objective}.html.j2",
        "audit": trust.checks(dataset.audit),
        "probes": trust.probes(dataset.audit, dataset.config["audit"]),
        "forest": views.forest(dataset) if dataset.groups else None,
        "board": views.leaderboard(dataset),
        "comparisons": views.comparisons(dataset),
        "comparison_note": dataset.comparison["note"],
        "strata": views.strata(dataset),
        "training": plots.training(dataset),
        "warnings": dataset.manifest["warnings"],
        "targets": targets(dataset),
        "tables": datacard.tables(dataset),
        "overview": origins.overview(dataset),
        "records": origins.records(dataset),
        "hashes": datacard.hashes(dataset),
        "downloads": downloads(dataset, details.files),
    }
    parts = [
        ("runs", "Runs", dataset.groups),
        ("audit", "Audit", True),
        *((key, name, True) for key, name in details.parts),
        ("strata", "Strata", context["strata"]),
        ("training", "Training", context["training"]),
        ("data", "Data", True),
        ("origin", "Origin", True),
    ]
    return context | {"parts": [(key, name) for key, name, found in parts if found]}
