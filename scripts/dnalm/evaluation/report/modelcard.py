"""A model card: a finished model's README.md, with the metadata that the Hugging Face hub reads."""

import html
import re
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dnalm.evaluation.report import datacard, plans, pretraining, seeds, trust
from dnalm.evaluation.report.certificates import certificate
from dnalm.evaluation.report.descriptions import Description
from dnalm.evaluation.report.rendering import TEMPLATES
from dnalm.evaluation.report.results import Dataset, Run
from dnalm.evaluation.report.text import as_yaml, count, decimal, duration, energy, per_cent, significant
from dnalm.evaluation.report.verdict import audit_summary, compared

_CODE = re.compile("(`[^`<>&]+`)")
_SIGNS = re.compile(r"[\\`*_\[\]|#~]")


def model_card(dataset: Dataset, checkpoint: str | None, confidence: float) -> str:
    """The card of the one run in `dataset`, as Markdown with YAML front matter.

    checkpoint: the hub id of the model that was fine-tuned, None if it is not on the hub. confidence: level of
    intervals.
    """
    group, run = dataset.members[0]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701  (Markdown; what users name is escaped by `plain`)
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = plain
    record, description = run.record, dataset.description
    return environment.get_template(f"{description.objective}.md.j2").render(
        metadata=as_yaml(_metadata(dataset, run, checkpoint)),
        name=group.name,
        dataset=dataset,
        run=run,
        record=record,
        own_code=record["spec"].get("trust_remote_code", False),
        recipe=record["spec"]["recipe"],
        about=datacard.about(dataset),
        origin=_origin(run),
        labels=datacard.label_names(dataset),
        target=dataset.config.get("target_column"),
        reach=_reach(dataset),
        pipeline=description.pipeline,
        metric=description.primary,
        criterion=description.metric(record["spec"]["recipe"]["best_metric"] or description.primary.name).prose,
        splits=datacard.hashes(dataset),
        records={split: count(dataset.manifest["splits"][split]["records"]) for split, _ in datacard.hashes(dataset)},
        metrics=_metrics(run, description),
        level=per_cent(confidence),
        comparisons=_comparisons(dataset, confidence),
        audit=audit_summary(dataset.audit)[1],
        findings=trust.checks(dataset.audit)["found"],
        seen_before=pretraining.seen_before(dataset),
        rare=_rare(run),
        cautions=[*seeds.remarks(dataset), *plans.looks(dataset), *datacard.cautions(dataset)],
        certificate=certificate(run),
        time=duration(record["seconds"]),
        energy="" if record.get("training_joules") is None else energy(record["training_joules"]),
        decimal=decimal,
    )


def plain(text: str) -> str:
    """Text escaped for Markdown and HTML, on one line; code between backticks stays code.

    Code with characters of HTML tags is escaped too, so that an extra backtick, in a name say, lets no tag through.
    """
    parts = _CODE.split(" ".join(text.split()))
    parts[::2] = [html.escape(_SIGNS.sub(r"\\\g<0>", part), quote=False) for part in parts[::2]]
    return "".join(parts)


def _metadata(dataset: Dataset, run: Run, checkpoint: str | None) -> dict[str, Any]:
    description = dataset.description
    metrics = [
        {"type": metric.hub, "name": metric.title, "value": round(run.metrics[metric.name], 6)}
        for metric in description.metrics
        if run.metrics[metric.name] is not None
    ]
    kind = ["tandem-repeats"] if dataset.config["kind"] == "repeats" else []
    pretrained = checkpoint is not None and run.record["spec"].get("initialisation") != "random"
    base = {"base_model": checkpoint, "base_model_relation": "finetune"} if pretrained else {}
    result = {
        "task": {"type": description.pipeline, "name": description.task},
        "dataset": {"name": dataset.name, "type": dataset.name, "split": "test"},
        "metrics": metrics,
    }
    return {
        "library_name": "transformers",
        "pipeline_tag": description.pipeline,
        "tags": ["dna", "genomics", "biology", *description.tags, *kind],
        **base,
        "metrics": [metric.hub for metric in description.metrics],
        "model-index": [{"name": f"{dataset.name}-{run.model}-{run.recipe}-seed{run.seed}", "results": [result]}],
    }


def _origin(run: Run) -> str:
    spec = run.record["spec"]
    if not spec["checkpoint"]:
        return "trained from random weights"
    if spec.get("initialisation") == "random":
        return f"with the architecture of {spec['checkpoint']}, trained from random weights"
    return f"from {spec['checkpoint']}"


def _metrics(run: Run, description: Description) -> list[tuple[str, str, str, str]]:
    """Name, test value, interval and validation value of each metric."""
    rows = []
    for metric in (*description.metrics, *description.more):
        bounds = run.metrics["intervals"].get(metric.name)
        interval = metric.between(bounds["low"], bounds["high"]) if bounds else "withheld"
        test, validation = (metric.text(source[metric.name]) for source in (run.metrics, run.metrics["validation"]))
        rows.append((metric.title, test, interval, validation))
    return rows


def _comparisons(dataset: Dataset, confidence: float) -> list[str]:
    """Sentences on the comparisons of this model, all seeds together."""
    run = dataset.members[0][1]
    primary = dataset.comparison["primary"]
    sentences = []
    for one in [*([primary] if primary else []), *dataset.comparison["others"], *dataset.comparison["rivals"]]:
        if (one["model"], one["recipe"]) == (run.model, run.recipe):
            subject = f"{run.name} (mean of {one['seeds']} seeds)" if one["seeds"] > 1 else run.name
            _, headline, meaning = compared(one, subject, dataset.description, confidence)
            sentences.append(f"{headline} {meaning} {one['about_note']}".strip())
    return sentences


def _reach(dataset: Dataset) -> str:
    """The range of the training targets; empty for classification."""
    facts = dataset.manifest["splits"]["train"].get("targets")
    return f"{significant(facts['minimum'])} to {significant(facts['maximum'])}" if facts else ""


def _rare(run: Run) -> list[str]:
    found = run.metrics.get("prevalence")
    if not found:
        return []
    parts = [
        f"{decimal(part['precision'])} at a prevalence of {per_cent(part['prevalence'])}"
        for part in found["precision"]
        if part["precision"] is not None
    ]
    return [f"Precision: {'; '.join(parts)}.", found["note"]] if parts else [found["note"]]
