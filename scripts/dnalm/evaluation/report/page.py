"""The report: a page for each data set, verdict first, and an index of them if there are several."""

from collections.abc import Sequence
from typing import Any

from dnalm.config.stages.evaluation import ReportSettings
from dnalm.evaluation.report import datacard, embeddings, origins, plans, plots, pretraining, seeds, trust, views
from dnalm.evaluation.report.bit_details import of_bits
from dnalm.evaluation.report.class_details import of_classes
from dnalm.evaluation.report.ladder import ladder
from dnalm.evaluation.report.learning_curves import learning_curves
from dnalm.evaluation.report.number_details import of_numbers, targets
from dnalm.evaluation.report.overview import overview
from dnalm.evaluation.report.published import published
from dnalm.evaluation.report.rendering import as_html
from dnalm.evaluation.report.results import Dataset
from dnalm.evaluation.report.standings import standings
from dnalm.evaluation.report.table_links import downloads
from dnalm.evaluation.report.text import as_yaml, listed, per_cent, plural
from dnalm.evaluation.report.verdict import verdict

_DETAILS = {"classification": of_classes, "regression": of_numbers, "causal": of_bits, "masked": of_bits}
_TITLE = "DNA language model fine-tuning"
INDEX = "index"
"""The name of the first page."""


def render(datasets: Sequence[Dataset], settings: ReportSettings) -> dict[str, str]:
    """The report's pages as HTML, by name: `index`, and one for each of several data sets.

    A single data set has no page of its own: the index is its page. The same results give the same pages. All text is
    escaped except our own SVG, CSS and script, and each page's security policy forbids every request.
    """
    level = per_cent(settings.confidence)
    runs = [group for dataset in datasets for group in dataset.groups]
    models, baselines = (sum(len(group.runs) for group in runs if group.is_baseline is kind) for kind in (False, True))
    bases = [dataset for dataset in datasets if dataset.name not in settings.variants]
    counts = [plural(len(bases), "data set"), plural(models, "model run"), plural(baselines, "baseline")]
    first = {
        "title": _TITLE,
        "subtitle": f"{listed(counts)}: how well models do, and how they compare with simple rules.",
        "back": "",
        "config": as_yaml(settings.config),
    }
    if len(datasets) == 1:
        return {INDEX: as_html("page", d=_context(datasets[0], settings), level=level, **first)}
    named = {dataset.name: dataset for dataset in datasets}
    rungs = [named[name] for name in settings.ladder]
    index = as_html(
        "index",
        overview=overview(datasets, settings.variants, settings.confidence),
        standings=standings(datasets, settings),
        published=published(datasets, settings.published, settings.confidence),
        ladder=ladder(rungs) if rungs else None,
        learning=learning_curves(datasets, settings.variants),
        level=level,
        **first,
    )
    rest = {"title": _TITLE, "subtitle": "", "back": f"{INDEX}.html", "config": ""}
    return {INDEX: index} | {
        name: as_html("page", d=_context(dataset, settings), level=level, **rest) for name, dataset in named.items()
    }


def _context(dataset: Dataset, settings: ReportSettings) -> dict[str, Any]:
    description = dataset.description
    details = _DETAILS[description.objective](dataset)
    return {
        "key": f"data-{dataset.name}",
        "name": dataset.name,
        "about": datacard.about(dataset),
        "verdict": verdict(dataset, settings.confidence),
        "seen_before": pretraining.seen_before(dataset),
        "cautions": [*seeds.remarks(dataset), *plans.looks(dataset), *datacard.cautions(dataset)],
        "metric": description.primary,
        "details": details.shown,
        "template": f"{description.objective}.html.j2",
        "audit": trust.checks(dataset.audit),
        "probes": trust.probes(dataset.audit, dataset.config["audit"]),
        "forest": views.forest(dataset) if dataset.groups else None,
        "board": views.leaderboard(dataset),
        "search": views.search(dataset),
        "published": published([dataset], settings.published, settings.confidence),
        "comparisons": views.comparisons(dataset),
        "comparison_note": dataset.comparison["note"],
        "twins": bool(dataset.comparison["twins"]),
        "plan": plans.declared(dataset),
        "strata": views.strata(dataset),
        "training": plots.training(dataset),
        "maps": embeddings.maps(dataset),
        "warnings": dataset.manifest["warnings"],
        "targets": targets(dataset),
        "tables": datacard.tables(dataset),
        "overview": origins.overview(dataset),
        "records": origins.records(dataset),
        "hashes": datacard.hashes(dataset),
        "downloads": downloads(dataset, details.files),
    }
